"""The clinical sheet: a 12-lead ECG drawn to scale on standard paper, as PNG, SVG or PDF.

Every coordinate is a millimetre of paper, so that a PDF or SVG printed at 100 % measures with a ruler. Figures are
built without pyplot and without touching matplotlib's global state.
"""

from __future__ import annotations

import io
import re
import textwrap
import threading
import warnings
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from xml.sax.saxutils import quoteattr

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import PathPatch
from matplotlib.path import Path as Outline

from ecoscale.ecg import CHEST_LEADS, LEADS, LIMB_LEADS
from ecoscale.errors import EcoscaleError, LeadError, SignalError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from ecoscale.ecg import ECG

Layout = Literal["3x4+1", "6x2", "12x1"]

# Rows of leads from top to bottom; the leads of a row follow each other in time. None is the rhythm lead.
LAYOUTS: dict[str, tuple[tuple[str | None, ...], ...]] = {
    "3x4+1": (("I", "aVR", "V1", "V4"), ("II", "aVL", "V2", "V5"), ("III", "aVF", "V3", "V6"), (None,)),
    "6x2": tuple(zip(LIMB_LEADS, CHEST_LEADS, strict=True)),
    "12x1": tuple((lead,) for lead in LEADS),
}
SHEET_SECONDS = 10.0
SPEEDS = (12.5, 100.0)
GAINS = (2.5, 40.0)

# Millimetres of paper. At 25 mm/s a sheet is 277 mm wide: it prints to scale on A4 and on Letter.
MARGIN = 6.0
ROW_PITCH = {"3x4+1": 30.0, "6x2": 25.0, "12x1": 15.0}
CALIBRATION_START = 5.0
CALIBRATION_SECONDS = 0.2
LABEL_HEIGHT = 8.0
LARGEST_EXCURSION = 50.0
SHORTEST_PANEL_SECONDS = 0.5
# A lead rests near 0 mV; a median beyond this is the amplifier's offset and would only push the trace off its row.
LARGEST_OFFSET_MILLIVOLT = 1.0

PAPER = "#fffbfa"
FINE_GRID = "#f8d3d3"
BOLD_GRID = "#eba5a5"
INK = "#111111"
FADED_INK = "#6b5555"
ALERT_INK = "#9b1c1c"
TRACE_WIDTH = 0.3
FONTS = "system-ui,'DejaVu Sans',Arial,sans-serif"

_MM_PER_INCH = 25.4
_POINTS_PER_MM = 72 / _MM_PER_INCH
_SAVING = threading.Lock()


@dataclass(frozen=True, eq=False)
class _Panel:
    """One lead's stretch of one row: millimetres from the start of the row, and above its baseline."""

    lead: str
    left: float
    width: float
    x: NDArray[np.float64]
    y: NDArray[np.float64]
    remark: str = ""

    @property
    def label_bottom(self) -> float:
        """Height of the lead's name: above whatever the trace does beneath it."""
        under = self.y[(self.x < self.left + 9) & np.isfinite(self.y)]
        return max(LABEL_HEIGHT, float(under.max()) + 1.5) if under.size else LABEL_HEIGHT


def draw_ecg(
    ecg: ECG,
    *,
    layout: Layout = "3x4+1",
    rhythm_lead: str = "II",
    speed: float = 25.0,
    gain: float = 10.0,
    start: float = 0.0,
    title: str | None = None,
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

    Raises
    ------
    LeadError
        If the rhythm lead is not one of the twelve.
    SignalError
        If `start` is not within the recording.
    EcoscaleError
        If the layout is unknown, or speed or gain are out of range.
    """
    if layout not in LAYOUTS:
        raise EcoscaleError(f"unknown layout {layout!r}; the layouts are {', '.join(LAYOUTS)}")
    if rhythm_lead not in LEADS:
        raise LeadError(f"the rhythm lead is {rhythm_lead!r}; expected one of {', '.join(LEADS)}")
    for name, value, (low, high), unit in (("speed", speed, SPEEDS, "mm/s"), ("gain", gain, GAINS, "mm/mV")):
        if not low <= value <= high:
            raise EcoscaleError(f"the paper's {name} is {value!r} {unit}; expected {low:g} to {high:g} {unit}")
    if not 0 <= start < ecg.duration:
        raise SignalError(
            f"{ecg.source or 'this ECG'}: drawing cannot start at {start!r} s; the recording lasts {ecg.duration:g} s"
        )

    stop = min(start + SHEET_SECONDS, ecg.duration)
    seconds, shown = _window(ecg, start, stop)
    shown, notes = _without_offset(shown)
    rows: list[list[_Panel]] = []
    for names in LAYOUTS[layout]:
        share = max((stop - start) / len(names), SHORTEST_PANEL_SECONDS)
        leads = [name or rhythm_lead for name in names]
        rows.append([_panel(shown, seconds, lead, n * share, share, speed, gain) for n, lead in enumerate(leads)])
    rows, cut = _cut_to_fit(rows, gain)
    notes += cut

    lead_in = _whole_squares(2 * CALIBRATION_START + CALIBRATION_SECONDS * speed)
    paper_width = lead_in + _whole_squares(SHEET_SECONDS * speed)
    spaces = _row_spaces(rows, gain, ROW_PITCH[layout], lead_in, paper_width)
    paper_height = sum(spaces)
    width = paper_width + 2 * MARGIN
    title = _shortened(_printable(_record_name(ecg) if title is None else title), int(paper_width / 2.8))
    header = 8.0 if title else 0.0
    lines = [line for note in notes for line in textwrap.wrap(note, int(paper_width / 1.6))]
    footer = 5.0 + 4.0 * len(lines)
    height = paper_height + 2 * MARGIN + header + footer

    figure = Figure(figsize=(width / _MM_PER_INCH, height / _MM_PER_INCH), facecolor=PAPER)
    figure.set_layout_engine("none")
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, width), ylim=(0, height))
    axes.set_axis_off()
    floor = MARGIN + footer
    _draw_grid(axes, MARGIN, floor, paper_width, paper_height)

    baseline = floor + paper_height
    for space, row in zip(spaces, rows, strict=False):
        baseline -= space
        _draw_calibration(axes, MARGIN, baseline, speed, gain)
        for panel in row:
            _draw_panel(axes, panel, MARGIN + lead_in, baseline)

    if title:
        _write(axes, MARGIN, floor + paper_height + 3, title, 4.2, weight="bold")
    facts = (
        f"{speed:g} mm/s",
        f"{gain:g} mm/mV",
        f"{ecg.rate:g} Hz",
        f"{_seconds(start)} to {_seconds(stop)} s of {_seconds(ecg.duration)} s",
    )
    _write(axes, MARGIN, floor - 4.5, " · ".join(facts), 2.9)
    for number, line in enumerate(lines, start=1):
        _write(axes, MARGIN, floor - 4.5 - 4.0 * number, line, 2.7, color=ALERT_INK)
    return figure


def save_figure(figure: Figure, path: str | Path, *, dpi: float = 200) -> Path:
    """Write a sheet as PNG, SVG or PDF, as the suffix of `path` says; `dpi` is for PNG.

    SVG and PDF have the sheet's true size. Raises `EcoscaleError` for another suffix.
    """
    path = Path(path)
    kind = path.suffix.lower()
    if kind == ".svg":
        prolog = '<?xml version="1.0" encoding="utf-8"?>'
        path.write_text(f"{prolog}\n{figure_svg(figure)}\n", encoding="utf-8")
    elif kind == ".pdf":
        with _settings():
            figure.savefig(path, format="pdf", metadata={"CreationDate": None})
    elif kind == ".png":
        with _settings():
            figure.savefig(path, format="png", dpi=dpi)
    else:
        raise EcoscaleError(f"{path}: cannot draw to {kind or 'a file without suffix'}; use .png, .svg or .pdf")
    return path


def figure_svg(figure: Figure, *, description: str = "") -> str:
    """A sheet as one compact `<svg>` element that can stand in an HTML page: no prolog, no ids, no style rules.

    `description` is what a screen reader says instead of the drawing.
    """
    text = io.StringIO()
    with _settings(), warnings.catch_warnings():
        # Text stays text: whoever shows it has fonts for what DejaVu lacks.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    svg = text.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>|<defs>.*?</defs>|<!--.*?-->", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<[^>]*>", lambda match: _compact_tag(match[0]), svg)
    svg = re.sub(r">\s+<", "><", svg).strip()
    label = f'role="img" aria-label={quoteattr(_printable(description))}' if description else 'role="img"'
    return svg.replace("<svg", f'<svg {label} font-family="{FONTS}" stroke-linejoin="round"', 1)


@contextmanager
def _settings() -> Iterator[None]:
    """Matplotlib as a sheet needs it, whatever the user has set, and as it was afterwards.

    The settings belong to the process: one sheet is written at a time.
    """
    with (
        _SAVING,
        mpl.rc_context(
            {
                "path.simplify": True,
                "path.simplify_threshold": 1 / 9,  # of a point in vector formats: 0.04 mm
                "pdf.fonttype": 42,
                "savefig.bbox": "standard",
                "savefig.facecolor": "auto",
                "svg.fonttype": "none",
            }
        ),
    ):
        yield


def _seconds(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")


def _whole_squares(millimetres: float) -> float:
    """Rounded up to the bold grid."""
    return float(5 * np.ceil(millimetres / 5 - 1e-9))


def _record_name(ecg: ECG) -> str:
    return ecg.record or Path(ecg.source).name


def _printable(text: str) -> str:
    """Without control characters and lone surrogates, which neither XML nor UTF-8 can hold."""
    text = text.encode("utf-8", "replace").decode("utf-8")
    return "".join(character if character.isprintable() else " " for character in text)


def _shortened(text: str, characters: int) -> str:
    return text if len(text) <= characters else f"{text[: characters - 1]}…"


def _window(ecg: ECG, start: float, stop: float) -> tuple[NDArray[np.float64], dict[str, NDArray[np.float64]]]:
    """Seconds since `start`, and each lead's millivolts at them; NaN where a sample is missing."""
    first = int(np.ceil(start * ecg.rate - 1e-6))
    last = int(np.floor(stop * ecg.rate + 1e-6))
    signal = ecg.signal[:, first : last + 1].astype(np.float64)
    signal[~np.isfinite(signal)] = np.nan
    return (first + np.arange(signal.shape[1])) / ecg.rate - start, dict(zip(ecg.leads, signal, strict=True))


def _without_offset(shown: dict[str, NDArray[np.float64]]) -> tuple[dict[str, NDArray[np.float64]], list[str]]:
    """The leads with large constant offsets taken off, and the note that says so."""
    medians = {lead: float(np.nanmedian(row)) for lead, row in shown.items() if np.isfinite(row).any()}
    offsets = {lead: median for lead, median in medians.items() if abs(median) > LARGEST_OFFSET_MILLIVOLT}
    if not offsets:
        return shown, []
    told = ", ".join(f"{lead} {offset:+.3g} mV" for lead, offset in offsets.items())
    note = f"Constant offset taken off to keep the trace on its row: {told}."
    return {lead: row - offsets.get(lead, 0.0) for lead, row in shown.items()}, [note]


def _panel(
    shown: dict[str, NDArray[np.float64]],
    seconds: NDArray[np.float64],
    lead: str,
    offset: float,
    length: float,
    speed: float,
    gain: float,
) -> _Panel:
    """A lead's stretch of `length` seconds from `offset` seconds into the sheet, both ends included."""
    if lead not in shown:
        return _Panel(lead, offset * speed, length * speed, np.empty(0), np.empty(0), "not recorded")
    inside = (seconds >= offset - 1e-6) & (seconds <= offset + length + 1e-6)
    values = shown[lead][inside]
    remark = "" if np.isfinite(values).any() else "no signal"
    return _Panel(lead, offset * speed, length * speed, seconds[inside] * speed, values * gain, remark)


def _cut_to_fit(rows: list[list[_Panel]], gain: float) -> tuple[list[list[_Panel]], list[str]]:
    """Panels cut at the largest excursion that a sheet can hold, and the note that names them."""
    largest: dict[str, float] = {}
    kept = []
    for row in rows:
        kept.append([])
        for panel in row:
            excursion = float(np.nanmax(np.abs(panel.y), initial=0))
            if excursion > LARGEST_EXCURSION:
                largest[panel.lead] = max(largest.get(panel.lead, 0), excursion / gain)
                panel = replace(panel, y=np.clip(panel.y, -LARGEST_EXCURSION, LARGEST_EXCURSION), remark="cut off")
            kept[-1].append(panel)
    if not largest:
        return kept, []
    told = ", ".join(f"{lead} reaches {value:.3g} mV" for lead, value in largest.items())
    return kept, [f"Cut off at {LARGEST_EXCURSION / gain:g} mV, beyond which the trace is not shown: {told}."]


def _row_spaces(
    rows: Sequence[Sequence[_Panel]], gain: float, pitch: float, lead_in: float, width: float
) -> list[float]:
    """Millimetres above each row's baseline, up to the one before, and below the last; whole bold squares.

    Rows move apart only where something stands above something: each is measured in steps of 5 mm along the paper.
    """
    tops = np.zeros((len(rows), int(width / 5) + 1))
    bottoms = np.full_like(tops, -3.0)
    tops[:, : int(lead_in / 5)] = gain
    for row, top, bottom in zip(rows, tops, bottoms, strict=True):
        for panel in row:
            name = int((lead_in + panel.left) / 5)
            top[name : name + 3] = np.maximum(top[name : name + 3], panel.label_bottom + 4)
            seen = np.isfinite(panel.y)
            steps = ((lead_in + panel.x[seen]) / 5).astype(int)
            np.maximum.at(top, steps, panel.y[seen])
            np.minimum.at(bottom, steps, panel.y[seen])
    spaces = [_whole_squares(tops[0].max() + 2)]
    for top, bottom in zip(tops[1:], bottoms[:-1], strict=True):
        spaces.append(max(pitch, _whole_squares((top - bottom).max() + 1)))
    return [*spaces, _whole_squares(max(10.0, 2 - bottoms[-1].min()))]


def _draw_grid(axes: Axes, left: float, floor: float, width: float, height: float) -> None:
    for step, skip, color, line in ((1, 5, FINE_GRID, 0.1), (5, 0, BOLD_GRID, 0.2)):
        columns = [x for x in range(0, round(width) + 1, step) if not skip or x % skip]
        rows = [y for y in range(0, round(height) + 1, step) if not skip or y % skip]
        ends = [((left + x, floor), (left + x, floor + height)) for x in columns]
        ends += [((left, floor + y), (left + width, floor + y)) for y in rows]
        # One path for all lines of a kind: as a LineCollection each would be an element of the SVG.
        outline = Outline(np.reshape(ends, (-1, 2)), np.tile([Outline.MOVETO, Outline.LINETO], len(ends)))
        axes.add_patch(PathPatch(outline, fill=False, edgecolor=color, linewidth=line * _POINTS_PER_MM, clip_on=False))


def _draw_calibration(axes: Axes, left: float, baseline: float, speed: float, gain: float) -> None:
    start = left + CALIBRATION_START
    stop = start + CALIBRATION_SECONDS * speed
    x = [start - 2.5, start, start, stop, stop, stop + 2.5]
    y = [baseline, baseline, baseline + gain, baseline + gain, baseline, baseline]
    axes.add_line(_line(x, y, "calibration", joins="miter"))


def _draw_panel(axes: Axes, panel: _Panel, left: float, baseline: float) -> None:
    x = left + panel.left
    if panel.left > 0:
        ticks = [baseline - 6, baseline - 3, np.nan, baseline + 3, baseline + 6]
        axes.add_line(_line([x] * 5, ticks, "separator"))
    if panel.x.size:
        axes.add_line(_line(left + panel.x, baseline + panel.y, panel.lead))
    y = baseline + panel.label_bottom
    absent = panel.remark in ("not recorded", "no signal")
    _write(axes, x + 1.2, y, panel.lead, 3.7, weight="bold", color=FADED_INK if absent else INK)
    if panel.remark and panel.width > 30:
        aside = x + 3 + 3.2 * len(panel.lead)
        _write(axes, aside, y, panel.remark, 2.7, color=FADED_INK if absent else ALERT_INK)


def _line(
    x: Sequence[float] | NDArray,
    y: Sequence[float] | NDArray,
    label: str,
    *,
    joins: Literal["miter", "round"] = "round",
) -> Line2D:
    return Line2D(
        x,
        y,
        label=label,
        color=INK,
        linestyle="-",
        linewidth=TRACE_WIDTH * _POINTS_PER_MM,
        marker="",
        solid_joinstyle=joins,
        solid_capstyle="round",
        antialiased=True,
        clip_on=False,
    )


def _write(axes: Axes, x: float, y: float, text: str, size: float, *, weight: str = "normal", color: str = INK) -> None:
    """Text of `size` mm from its baseline upward; a record's name is never taken for mathematics."""
    axes.text(
        x,
        y,
        text,
        fontsize=size * _POINTS_PER_MM,
        fontfamily="DejaVu Sans",
        fontweight=weight,
        color=color,
        va="baseline",
        ha="left",
        parse_math=False,
        clip_on=False,
    )


def _compact_tag(tag: str) -> str:
    """A tag without what a sheet has no use for, its numbers to a hundredth of a point; text is never touched."""
    if tag in ("<g>", "</g>") or tag.startswith("<g "):
        return ""
    tag = re.sub(r' id="[^"]*"| xmlns:xlink="[^"]*"| version="[^"]*"| transform="rotate\(-0 [^"]*\)"', "", tag)
    tag = re.sub(r" font-family: [^;]*;| text-anchor: start;", "", tag)
    tag = re.sub(r' d="([^"]*)"', lambda match: f' d="{_compact_path(match[1])}"', tag)
    return re.sub(r"(\.\d\d)\d+", r"\1", tag)


def _compact_path(data: str) -> str:
    """Path data of moves and lines in hundredths of a point, each relative to the last: a third of the bytes."""
    if re.search(r"[^MLz\d\s.-]", data):
        return data
    out: list[str] = []
    x = y = 0
    for command, *numbers in re.findall(r"([MLz])(?:\s+(\S+)\s+(\S+))?", data):
        if command == "z":
            out.append("z")
            continue
        old_x, old_y = x, y
        x, y = (round(100 * float(number)) for number in numbers)
        across, along = _hundredths(x - old_x), _hundredths(y - old_y)
        if command == "M" or (x != old_x and y != old_y):
            # A sign separates numbers, and so does a second decimal point.
            joined = along[0] == "-" or (along[0] == "." and "." in across)
            out.append(f"{'m' if command == 'M' else 'l'}{across}{'' if joined else ' '}{along}")
        elif x != old_x:
            out.append(f"h{across}")
        elif y != old_y:
            out.append(f"v{along}")
    return "".join(out)


def _hundredths(value: int) -> str:
    """One hundredth of `value` in the fewest characters."""
    text = f"{abs(value) / 100:.2f}".lstrip("0").rstrip("0").rstrip(".") or "0"
    return f"-{text}" if value < 0 else text
