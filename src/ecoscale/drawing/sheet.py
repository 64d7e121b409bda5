"""The clinical sheet: ten seconds of a 12-lead ECG in columns, with what stands beside and under it."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ecoscale.drawing.column import COLUMN_WIDTH, draw_sections, sections_height
from ecoscale.drawing.panels import (
    Panel,
    cut_to_fit,
    draw_panel,
    lowest_of,
    panel_of,
    row_spaces,
    signal_window,
    without_offset,
)
from ecoscale.drawing.paper import (
    ALERT_INK,
    MARGIN,
    blank_figure,
    check_scale,
    draw_calibration,
    draw_grid,
    lead_in_width,
    printable,
    seconds_text,
    shortened,
    whole_squares,
    write,
)
from ecoscale.drawing.relevance import check_relevance, draw_track, floors_of, legend, track_axis
from ecoscale.ecg import CHEST_LEADS, LEADS, LIMB_LEADS
from ecoscale.errors import EcoscaleError, LeadError, SignalError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ecoscale.drawing.column import Section
    from ecoscale.drawing.relevance import Relevance
    from ecoscale.ecg import ECG

Layout = Literal["3x4+1", "6x2", "12x1"]

# Rows of leads from top to bottom; the leads of a row follow each other in time. None is the rhythm lead.
LAYOUTS: dict[str, tuple[tuple[str | None, ...], ...]] = {
    "3x4+1": (("I", "aVR", "V1", "V4"), ("II", "aVL", "V2", "V5"), ("III", "aVF", "V3", "V6"), (None,)),
    "6x2": tuple(zip(LIMB_LEADS, CHEST_LEADS, strict=True)),
    "12x1": tuple((lead,) for lead in LEADS),
}
SHEET_SECONDS = 10.0
SHORTEST_PANEL_SECONDS = 0.5
ROW_PITCH = {"3x4+1": 30.0, "6x2": 25.0, "12x1": 15.0}
"""Least distance from baseline to baseline, in mm."""


@dataclass(frozen=True, eq=False)
class Sheet:
    """An ECG laid out on paper: it knows its size and can be drawn anywhere on a figure in millimetres.

    `width` and `height` are those of the paper with the writing above and below it, without margins. `title` and
    `facts` are what is written above and below, `notes` what the drawing had to change, `key` explains the relevance.
    """

    rows: tuple[tuple[Panel, ...], ...]
    spaces: tuple[float, ...]
    lowest: tuple[float, ...]
    speed: float
    gain: float
    start: float
    title: str
    facts: str
    notes: tuple[str, ...]
    key: tuple[str, ...]
    relevance: Relevance | None = None

    @classmethod
    def of(
        cls,
        ecg: ECG,
        *,
        layout: Layout = "3x4+1",
        rhythm_lead: str = "II",
        speed: float = 25.0,
        gain: float = 10.0,
        start: float = 0.0,
        title: str | None = None,
        relevance: Relevance | None = None,
    ) -> Sheet:
        """Lay out ten seconds of an ECG; parameters and errors are those of `draw_ecg`."""
        if layout not in LAYOUTS:
            raise EcoscaleError(f"unknown layout {layout!r}; the layouts are {', '.join(LAYOUTS)}")
        if rhythm_lead not in LEADS:
            raise LeadError(f"the rhythm lead is {rhythm_lead!r}; expected one of {', '.join(LEADS)}")
        check_scale(speed, gain)
        if not 0 <= start < ecg.duration:
            raise SignalError(
                f"{ecg.source or 'this ECG'}: drawing cannot start at {start!r} s; the recording lasts "
                f"{ecg.duration:g} s"
            )
        if relevance is not None:
            check_relevance(relevance)

        stop = min(start + SHEET_SECONDS, ecg.duration)
        seconds, shown = signal_window(ecg, start, stop)
        shown, notes = without_offset(shown)
        rows: list[list[Panel]] = []
        for names in LAYOUTS[layout]:
            share = max((stop - start) / len(names), SHORTEST_PANEL_SECONDS)
            leads = [name or rhythm_lead for name in names]
            rows.append([panel_of(shown, seconds, lead, n * share, share, speed, gain) for n, lead in enumerate(leads)])
        rows, cut = cut_to_fit(rows, gain)
        notes += cut

        lead_in = lead_in_width(speed)
        paper_width = lead_in + whole_squares(SHEET_SECONDS * speed)
        lowest = [lowest_of(row) for row in rows]
        floors = [None] * len(rows) if relevance is None else floors_of(rows, lowest)
        spaces = row_spaces(rows, floors, gain, ROW_PITCH[layout], lead_in, paper_width)
        title = printable((ecg.record or Path(ecg.source).name) if title is None else title)
        characters = int(paper_width / 1.6)
        facts = (
            f"{speed:g} mm/s",
            f"{gain:g} mm/mV",
            f"{ecg.rate:g} Hz",
            f"{seconds_text(start)} to {seconds_text(stop)} s of {seconds_text(ecg.duration)} s",
        )
        return cls(
            tuple(map(tuple, rows)),
            tuple(spaces),
            tuple(lowest),
            speed,
            gain,
            start,
            shortened(title, int(paper_width / 2.8)),
            " · ".join(facts),
            tuple(line for note in notes for line in textwrap.wrap(note, characters)),
            () if relevance is None else tuple(textwrap.wrap(printable(legend(relevance)), characters)),
            relevance,
        )

    @property
    def width(self) -> float:
        """Of the paper, in mm."""
        return lead_in_width(self.speed) + whole_squares(SHEET_SECONDS * self.speed)

    @property
    def paper_height(self) -> float:
        """Of the paper alone, in mm."""
        return sum(self.spaces)

    @property
    def header(self) -> float:
        """Millimetres above the paper."""
        return 8.0 if self.title else 0.0

    @property
    def footer(self) -> float:
        """Millimetres below the paper."""
        return 5.0 + 4.0 * (len(self.notes) + len(self.key))

    @property
    def height(self) -> float:
        """Of the paper with the writing above and below it, in mm."""
        return self.header + self.paper_height + self.footer

    def draw(self, axes: Axes, left: float, bottom: float) -> None:
        """Draw it with its lower left corner there, on axes that measure in millimetres."""
        floor = bottom + self.footer
        lead_in = lead_in_width(self.speed)
        draw_grid(axes, left, floor, self.width, self.paper_height)
        baseline = floor + self.paper_height
        for space, row, lowest in zip(self.spaces, self.rows, self.lowest, strict=False):
            baseline -= space
            draw_calibration(axes, left, baseline, self.speed, self.gain)
            for panel in row:
                if self.relevance is not None:
                    axis = track_axis(lowest)
                    draw_track(axes, panel, self.relevance, left + lead_in, baseline, axis, self.start, self.speed)
                draw_panel(axes, panel, left + lead_in, baseline)
        if self.title:
            write(axes, left, floor + self.paper_height + 3, self.title, 4.2, weight="bold")
        write(axes, left, floor - 4.5, self.facts, 2.9)
        for number, line in enumerate(self.key, start=1):
            write(axes, left, floor - 4.5 - 4.0 * number, line, 2.7)
        for number, line in enumerate(self.notes, start=1 + len(self.key)):
            write(axes, left, floor - 4.5 - 4.0 * number, line, 2.7, color=ALERT_INK)


def draw_ecg(
    ecg: ECG,
    *,
    layout: Layout = "3x4+1",
    rhythm_lead: str = "II",
    speed: float = 25.0,
    gain: float = 10.0,
    start: float = 0.0,
    title: str | None = None,
    relevance: Relevance | None = None,
    beside: Sequence[Section] = (),
) -> Figure:
    """Draw ten seconds of an ECG on paper with a 1 mm and a 5 mm grid.

    The figure has its true size, and its one axes measures in millimetres. Columns follow each other in time, so each
    stands above the same moment of the rhythm strip. Where fewer than ten seconds remain, the columns share those and
    the rest of the paper stays blank. Missing samples are gaps; a missing lead is an empty panel with its name. Rows
    move apart so that no trace runs into another. What the drawing had to change is written on the sheet: an offset
    above 1 mV that was taken off, or an excursion beyond 50 mm that was cut.

    Parameters
    ----------
    ecg
        Any of the twelve leads, in mV.
    layout
        `3x4+1` (four columns of 2.5 s above a rhythm strip), `6x2` (limb leads beside chest leads, 5 s each) or
        `12x1` (every lead for 10 s).
    rhythm_lead
        The lead of the rhythm strip.
    speed
        Paper speed in mm/s, 12.5 to 100.
    gain
        Amplitude in mm/mV, 2.5 to 40.
    start
        The first moment drawn, in seconds from the start of the recording.
    title
        Written above the paper; by default the name of the record. An empty string leaves it out.
    relevance
        Which leads and seconds speak for a finding and against it: bars under each trace, and a line that explains
        them (`ecoscale.drawing.relevance`).
    beside
        What stands to the right of the paper, such as findings (`ecoscale.sections`). The figure is wider by that
        column.

    Raises
    ------
    LeadError
        If the rhythm lead is not one of the twelve.
    SignalError
        If `start` is not within the recording, or the relevance is not of the shape that it says.
    EcoscaleError
        If the layout is unknown, or speed or gain are out of range.
    """
    sheet = Sheet.of(
        ecg,
        layout=layout,
        rhythm_lead=rhythm_lead,
        speed=speed,
        gain=gain,
        start=start,
        title=title,
        relevance=relevance,
    )
    column = COLUMN_WIDTH + MARGIN if beside else 0.0
    height = max(sheet.height, sheet.header + sections_height(beside) if beside else 0.0) + 2 * MARGIN
    figure, axes = blank_figure(sheet.width + column + 2 * MARGIN, height)
    sheet.draw(axes, MARGIN, height - MARGIN - sheet.height)
    if beside:
        draw_sections(axes, beside, MARGIN + sheet.width + MARGIN, height - MARGIN - sheet.header)
    return figure
