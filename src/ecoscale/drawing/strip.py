"""Long records as pages of strips: one or more leads, a row after the other in time, times at the rows' heads."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from ecoscale.drawing.paper import (
    ALERT_INK,
    FADED_INK,
    MARGIN,
    blank_figure,
    check_scale,
    draw_calibration,
    draw_grid,
    draw_line,
    lead_in_width,
    printable,
    shortened,
    write,
)
from ecoscale.errors import EcoscaleError, LeadError, SignalError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

STRIP_SPEEDS = (2.5, 100.0)
"""Paper speeds of strips, in mm/s: the slowest has 100 s in a row."""
ROW_WIDTH = 250.0
PAPER_HEIGHT = 165.0
"""Height of a page's paper in mm: with its writing and margins a page fits on A4, across."""
ROW_PITCH, LEAD_PITCH = 25.0, 20.0
"""From a row to the next in mm, and between the leads of a row where it has several."""
DEFAULT_LEADS = ("II", "V1", "V5", "I")
"""The lead of a strip where none is named: the first of these that there is, or the record's first."""
LARGEST_OFFSET_MILLIVOLT = 0.3


class LongSignal(Protocol):
    """A recording that is read in pieces, such as `ecoscale.formats.long_records.LongRecord`."""

    @property
    def source(self) -> str: ...  # noqa: D102
    @property
    def record(self) -> str: ...  # noqa: D102
    @property
    def rate(self) -> float: ...  # noqa: D102
    @property
    def leads(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def n_samples(self) -> int: ...  # noqa: D102
    @property
    def duration(self) -> float: ...  # noqa: D102
    def pieces(self) -> Iterator[NDArray[np.float32]]: ...  # noqa: D102
    def clock(self, seconds: float) -> str | None: ...  # noqa: D102


@dataclass(frozen=True, eq=False)
class Strip:
    """A long record laid out on pages. `pages` draws them while the record is read.

    `row_seconds` are in a row, `n_rows` rows on a page, `start` and `stop` (seconds of the record) bound what is drawn.
    """

    record: LongSignal
    leads: tuple[str, ...]
    speed: float
    gain: float
    start: float
    stop: float
    n_rows: int
    title: str

    @property
    def row_seconds(self) -> float:
        """Seconds in a row."""
        return ROW_WIDTH / self.speed

    @property
    def n_pages(self) -> int:
        """Pages that it takes."""
        return max(1, int(np.ceil((self.stop - self.start) / (self.row_seconds * self.n_rows) - 1e-9)))

    def pages(self, first: int = 1, last: int | None = None) -> Iterator[Figure]:
        """The pages from `first` to `last`, both included; the record is read as far as they need.

        Memory holds one page and its signal. Raises `FormatError` where the file is not as it says.
        """
        last = self.n_pages if last is None else min(last, self.n_pages)
        rows = islice(self._rows(first - 1), max(0, last - first + 1) * self.n_rows)
        for number in range(first, last + 1):
            yield self._page(number, list(islice(rows, self.n_rows)))

    def _rows(self, pages_before: int) -> Iterator[tuple[float, NDArray[np.float64]]]:
        """Beginning (s) and signal `(leads, samples)` of each row, from that page on."""
        rate, leads = self.record.rate, [self.record.leads.index(lead) for lead in self.leads]
        begin = self.start + pages_before * self.n_rows * self.row_seconds
        n_rows = int(np.ceil((self.stop - begin) / self.row_seconds - 1e-9))
        # A row ends with the sample that the next begins with, so that the line goes on.
        edges = np.round((begin + self.row_seconds * np.arange(n_rows + 1)) * rate).astype(int)
        edges[-1] = min(edges[-1], round(self.stop * rate), self.record.n_samples)
        row, at, held = 0, 0, np.empty((len(leads), 0))
        for piece in self.record.pieces():
            end = at + piece.shape[1]
            if end > edges[row]:
                held = np.concatenate([held, piece[leads, max(0, edges[row] - at) :]], axis=1)
            at = end
            while row < n_rows and at > edges[row + 1]:
                length = edges[row + 1] - edges[row]
                yield float(edges[row] / rate), held[:, : length + 1].astype(np.float64)
                held, row = held[:, length:], row + 1
            if row == n_rows:
                return
        if row < n_rows and held.shape[1]:
            yield float(edges[row] / rate), held.astype(np.float64)

    def _page(self, number: int, rows: list[tuple[float, NDArray[np.float64]]]) -> Figure:
        lead_in = lead_in_width(self.speed)
        width, header, footer = lead_in + ROW_WIDTH, 8.0, 9.0
        figure, axes = blank_figure(width + 2 * MARGIN, PAPER_HEIGHT + header + footer + 2 * MARGIN)
        floor = MARGIN + footer
        draw_grid(axes, MARGIN, floor, width, PAPER_HEIGHT)
        pitch = _row_pitch(len(self.leads))
        offsets = cut = False
        for index, (begin, signal) in enumerate(rows):
            top = floor + PAPER_HEIGHT - 5 - index * pitch
            write(axes, MARGIN + 1, top - 1.5, self._time(begin), 2.7, weight="bold")
            for order, (lead, values) in enumerate(zip(self.leads, signal, strict=True)):
                baseline = top - 15 - order * LEAD_PITCH
                shifted, clipped = self._draw_trace(axes, lead, values, MARGIN + lead_in, baseline)
                offsets, cut = offsets or shifted, cut or clipped
                if index == 0 and self.speed >= 12.5:
                    draw_calibration(axes, MARGIN, baseline, self.speed, self.gain)
                write(axes, MARGIN + lead_in - 1.2, baseline - 4.5, lead, 3.2, weight="bold", align="right")
        write(axes, MARGIN, floor + PAPER_HEIGHT + 3, self.title, 4.2, weight="bold")
        self._write_foot(axes, floor, width, number, offsets, cut)
        return figure

    def _draw_trace(
        self, axes: Axes, lead: str, values: NDArray[np.float64], left: float, baseline: float
    ) -> tuple[bool, bool]:
        """Draw a lead's row; says whether an offset was taken off, and whether it was cut."""
        values[~np.isfinite(values)] = np.nan
        if np.isnan(values).all():
            write(axes, left + 12, baseline + 1, "no signal", 2.7, color=FADED_INK)
            return False, False
        offset = float(np.nanmedian(values))
        shifted = abs(offset) > LARGEST_OFFSET_MILLIVOLT
        y = (values - offset if shifted else values) * self.gain
        bound = _row_pitch(1)
        cut = bool(np.nanmax(np.abs(y)) > bound)
        x = left + np.arange(len(y)) / self.record.rate * self.speed
        draw_line(axes, x, baseline + np.clip(y, -bound, bound), lead)
        if cut:
            write(axes, left + ROW_WIDTH - 1, baseline + 8, "cut off", 2.3, color=ALERT_INK, align="right")
        return shifted, cut

    def _time(self, seconds: float) -> str:
        elapsed = elapsed_text(seconds)
        clock = self.record.clock(seconds)
        return elapsed if clock is None else f"{clock}  ({elapsed})"

    def _write_foot(self, axes: Axes, floor: float, width: float, number: int, offsets: bool, cut: bool) -> None:
        facts = [
            ", ".join(self.leads),
            f"{self.speed:g} mm/s",
            f"{self.gain:g} mm/mV",
            f"{self.record.rate:g} Hz",
            f"{self.row_seconds:g} s a row",
        ]
        write(axes, MARGIN, floor - 4.5, " · ".join(facts), 2.9)
        write(axes, MARGIN + width, floor - 4.5, f"page {number:,} of {self.n_pages:,}", 2.9, align="right")
        notes = []
        if offsets:
            notes.append(f"Constant offsets above {LARGEST_OFFSET_MILLIVOLT:g} mV are taken off, row by row.")
        if cut:
            notes.append(f"Rows marked so are cut off at {_row_pitch(1) / self.gain:.3g} mV.")
        if notes:
            write(axes, MARGIN, floor - 8.5, " ".join(notes), 2.7, color=ALERT_INK)


def lay_out_strip(
    record: LongSignal,
    *,
    leads: Sequence[str] = (),
    speed: float = 25.0,
    gain: float = 10.0,
    start: float = 0.0,
    seconds: float | None = None,
    title: str | None = None,
) -> Strip:
    """Lay out a record as pages of strips, each of which prints to scale on A4 and on Letter, across.

    Parameters
    ----------
    record
        The record (`ecoscale.formats.long_records.open_long_record`), in mV.
    leads
        The leads of each row, one under the other; by default one: II, else V1, V5 or I, else the first.
    speed
        Paper speed in mm/s, 2.5 to 100. A row is 250 mm: 10 s at 25 mm/s, 100 s at 2.5 mm/s.
    gain
        Amplitude in mm/mV, 2.5 to 40.
    start, seconds
        What is drawn of the record, in seconds; to its end by default.
    title
        Above each page; by default the name of the record.

    Raises
    ------
    LeadError
        If a lead is not recorded, or more are asked for than a page has room for.
    SignalError
        If `start` is not within the record.
    EcoscaleError
        If speed, gain or seconds are out of range.
    """
    check_scale(speed, gain, STRIP_SPEEDS)
    name = record.source or "this record"
    leads = tuple(leads) or (next((lead for lead in DEFAULT_LEADS if lead in record.leads), record.leads[0]),)
    if missing := [lead for lead in leads if lead not in record.leads]:
        raise LeadError(f"{name}: no lead {', '.join(missing)} to draw; it has {', '.join(record.leads)}")
    n_rows = int((PAPER_HEIGHT - 5) // _row_pitch(len(leads)))
    if not n_rows:
        most = max(n for n in range(1, 13) if _row_pitch(n) <= PAPER_HEIGHT - 5)
        raise LeadError(f"{len(leads)} leads are asked for; a page of strips has room for {most}")
    if not 0 <= start < record.duration:
        raise SignalError(f"{name}: drawing cannot start at {start!r} s; the recording lasts {record.duration:g} s")
    if seconds is not None and not seconds > 0:
        raise EcoscaleError(f"{seconds!r} s are to be drawn; expected a positive number")
    stop = record.duration if seconds is None else min(record.duration, start + seconds)
    title = printable((record.record or Path(record.source).name) if title is None else title)
    return Strip(record, leads, speed, gain, start, stop, n_rows, shortened(title, 90))


def elapsed_text(seconds: float) -> str:
    """`h:mm:ss`, and tenths where there are some."""
    tenths = round(seconds * 10)
    whole, part = divmod(tenths, 10)
    text = f"{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}"
    return f"{text}.{part}" if part else text


def _row_pitch(n_leads: int) -> float:
    """Millimetres from the head of a row to that of the next."""
    return ROW_PITCH + (n_leads - 1) * LEAD_PITCH
