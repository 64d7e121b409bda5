"""A timeline drawn: a row for each finding, its probability as colour, its episodes as bars; below, what is doubtful.

Many windows share a pixel in 24 hours: each column of pixels shows the highest probability of its windows, so that a
short episode is seen.
"""

from __future__ import annotations

from datetime import datetime, time, timedelta
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
from matplotlib.colors import LinearSegmentedColormap, ListedColormap
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter, date2num
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, MaxNLocator, MultipleLocator

from ecoscale.errors import EcoscaleError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from matplotlib.axes import Axes
    from matplotlib.image import AxesImage
    from numpy.typing import NDArray

    from ecoscale.timeline.episodes import Timeline

COLUMNS = 1200
"""Columns of the picture, at most: about a pixel each in print."""

MOST_ROWS = 12
"""Of more findings, those are drawn that are present, the longest first."""

_INK, _PALE, _PRESENT, _DOUBTFUL, _UNREAD = "#1b2430", "#c3cad4", "#d5651a", "#8a94a3", "#dfe3e8"
_BLUES = LinearSegmentedColormap.from_list("probability", ["#f6f9fc", "#b9d3ea", "#5b9bd0", "#2b7bba", "#123f66"])
_STYLE: dict[Any, Any] = {
    "font.family": "sans-serif",
    "font.size": 9,
    "svg.fonttype": "none",
    "svg.hashsalt": "ecoscale",
    "text.parse_math": False,
    "text.color": _INK,
    "axes.edgecolor": _PALE,
    "axes.labelcolor": _INK,
    "xtick.color": _PALE,
    "ytick.color": _PALE,
    "xtick.labelcolor": _INK,
    "ytick.labelcolor": _INK,
}
_STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400)


def draw_timeline(timeline: Timeline, *, title: str | None = None) -> Figure:
    """A row for each finding over the time of day, or over the time since the beginning where that is not known.

    Raises `EcoscaleError` for a timeline without windows.
    """
    if not timeline.n_windows:
        raise EcoscaleError(f"{timeline.record.source}: no windows, so nothing to draw")
    names = _shown(timeline)
    marks = timeline.doubtful
    height = 1.35 + 0.42 * len(names) + 0.22 * len(marks)
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(10, height), layout="constrained")
        ratios = [0.42 * len(names)] + ([0.22 * len(marks)] if marks else [])
        grid = figure.subplots(len(ratios), 1, sharex=True, squeeze=False, height_ratios=ratios)[:, 0]
        picture = _draw_findings(grid[0], timeline, names)
        if marks:
            _draw_doubts(grid[1], timeline, marks)
            grid[0].tick_params(axis="x", length=0)
        _label_time(grid[-1], timeline)
        bar = figure.colorbar(picture, ax=list(grid), fraction=0.02, pad=0.01, aspect=30, ticks=[0, 0.5, 1])
        bar.set_label("probability", size=8)
        bar.ax.tick_params(labelsize=8, length=0)
        bar.outline.set_visible(False)  # pyright: ignore[reportCallIssue] - a spine, whatever the stubs say
        name = timeline.record.record or timeline.record.source
        grid[0].set_title(name if title is None else title, loc="left", fontweight="bold", fontsize=10)
        grid[0].set_title(_facts(timeline), loc="right", fontsize=8)
        colours = [("present", _PRESENT)]
        if not timeline.classified.all():
            colours.append(("not classified", _UNREAD))
        figure.legend(
            handles=[Patch(color=colour, label=label) for label, colour in colours],
            loc="outside lower right",
            ncols=2,
            frameon=False,
            fontsize=8,
            handlelength=1,
            handleheight=0.8,
        )
        figure.draw_without_rendering()
        figure.set_layout_engine("none")
    return figure


def save_timeline(figure: Figure, path: Path) -> None:
    """Write the picture as PNG, SVG or PDF, by the suffix. Raises `EcoscaleError` for another."""
    kind = path.suffix.lower()
    metadata = {
        ".png": {"Software": "ecoscale"},
        ".svg": {"Date": None, "Creator": "ecoscale"},
        ".pdf": {"CreationDate": None},
    }
    if kind not in metadata:
        raise EcoscaleError(f"{path}: cannot draw to {kind or 'a file without suffix'}; use .png, .svg or .pdf")
    path.parent.mkdir(parents=True, exist_ok=True)
    with mpl.rc_context(_STYLE):
        figure.savefig(path, format=kind[1:], dpi=160, facecolor="white", metadata=metadata[kind])


def _shown(timeline: Timeline) -> list[str]:
    if len(timeline.names) <= MOST_ROWS:
        return list(timeline.names)
    present = [name for name in timeline.names if timeline.share(name) > 0]
    longest = set(sorted(present, key=timeline.share, reverse=True)[:MOST_ROWS])
    return [name for name in timeline.names if name in longest] or list(timeline.names[:1])


def _columns(timeline: Timeline, values: NDArray[np.float32]) -> NDArray[np.float32]:
    """`(rows, windows)` at the picture's columns: the largest of the windows in each, NaN where there is none."""
    edges = timeline.edges
    n = min(COLUMNS, max(1, round(4 * timeline.n_windows)))
    bounds = np.linspace(edges[0], edges[-1], n + 1)
    first = np.clip(np.searchsorted(edges, bounds[:-1], side="right") - 1, 0, timeline.n_windows - 1)
    last = np.clip(np.searchsorted(edges, bounds[1:], side="left"), first + 1, timeline.n_windows)
    filled = np.where(np.isnan(values), -np.inf, values)
    columns = np.stack([filled[:, a:b].max(axis=1) for a, b in zip(first, last, strict=True)], axis=1)
    return np.where(np.isinf(columns), np.nan, columns).astype(np.float32)


def _draw_findings(axes: Axes, timeline: Timeline, names: list[str]) -> AxesImage:
    rows = timeline.probabilities[:, [timeline.names.index(name) for name in names]].T
    extent = (*_span(timeline), len(names) - 0.5, -0.5)
    axes.set_facecolor(_UNREAD)
    picture = axes.imshow(
        _columns(timeline, rows), cmap=_BLUES, vmin=0, vmax=1, aspect="auto", extent=extent, interpolation="nearest"
    )
    to_axis = _to_axis(timeline)
    shortest = (extent[1] - extent[0]) / 400  # so that one window of a day is seen
    for row, name in enumerate(names):
        bars = [(to_axis(episode.start), to_axis(episode.stop)) for episode in timeline.episodes(name)]
        spans = [(begin, max(end - begin, shortest)) for begin, end in bars]
        axes.broken_barh(spans, (row + 0.3, 0.2), facecolors=_PRESENT, linewidth=0)
    axes.set_yticks(range(len(names)), [_row_label(timeline, name) for name in names])
    axes.set_yticks(np.arange(len(names) - 1) + 0.5, minor=True)
    axes.grid(which="minor", axis="y", color="white", linewidth=3)
    axes.tick_params(which="both", axis="y", length=0)
    axes.spines[:].set_visible(False)
    return picture


def _row_label(timeline: Timeline, name: str) -> str:
    share = timeline.share(name)
    if np.isnan(share):
        return name
    return f"{name}  {100 * share:.0f} %" if not 0 < share < 0.005 else f"{name}  <1 %"


def _draw_doubts(axes: Axes, timeline: Timeline, marks: dict[str, NDArray[np.bool_]]) -> None:
    rows = np.array(list(marks.values()), np.float32)
    axes.imshow(
        _columns(timeline, rows),
        cmap=ListedColormap(["#ffffff", _DOUBTFUL]),
        vmin=0,
        vmax=1,
        aspect="auto",
        extent=(*_span(timeline), len(marks) - 0.5, -0.5),
        interpolation="nearest",
    )
    axes.set_yticks(range(len(marks)), [code.replace("_", " ") for code in marks], fontsize=7.5)
    axes.set_yticks(np.arange(len(marks) - 1) + 0.5, minor=True)
    axes.grid(which="minor", axis="y", color="white", linewidth=1.5)
    axes.tick_params(which="both", axis="y", length=0)
    axes.spines[:].set_visible(False)


def _begin(timeline: Timeline) -> datetime | None:
    start = timeline.record.start
    return datetime.combine(datetime(2000, 1, 1), start) if isinstance(start, time) else start


def _to_axis(timeline: Timeline) -> Callable[[float], float]:
    """From seconds since the beginning to what the axis counts: days of a date, or seconds."""
    begin = _begin(timeline)
    if begin is None:
        return float
    return lambda seconds: float(date2num(begin + timedelta(seconds=seconds)))


def _span(timeline: Timeline) -> tuple[float, float]:
    to_axis, edges = _to_axis(timeline), timeline.edges
    return to_axis(float(edges[0])), to_axis(float(edges[-1]))


def _label_time(axes: Axes, timeline: Timeline) -> None:
    axes.tick_params(axis="x", length=3)
    begin = _begin(timeline)
    if begin is None:
        duration = float(timeline.edges[-1])
        step = next((step for step in _STEPS if duration / step <= 12), _STEPS[-1])
        axes.xaxis.set_major_locator(MultipleLocator(step) if duration / step <= 40 else MaxNLocator(12))
        form = "{0}:{1:02}" if step % 60 == 0 else "{0}:{1:02}:{2:02}"
        axes.xaxis.set_major_formatter(
            FuncFormatter(lambda x, _: form.format(int(x) // 3600, int(x) // 60 % 60, int(x) % 60))
        )
        axes.set_xlabel(f"time since the beginning, {'h:min' if step % 60 == 0 else 'h:min:s'}")
        return
    locator = AutoDateLocator(minticks=6, maxticks=13)
    axes.xaxis.set_major_locator(locator)
    dated = isinstance(timeline.record.start, datetime)
    # An undated record has a time of day only: the day it is drawn on is none.
    forms = ["%Y", "%b", "%d %b", "%H:%M", "%H:%M", "%H:%M:%S"] if dated else [*["%H:%M"] * 5, "%H:%M:%S"]
    axes.xaxis.set_major_formatter(
        ConciseDateFormatter(locator, formats=forms, zero_formats=forms, offset_formats=[""] * 6, show_offset=False)
    )
    axes.set_xlabel(f"time of day, from {begin:%d %B %Y}" if dated else "time of day")


def _facts(timeline: Timeline) -> str:
    hours = timeline.record.duration / 3600
    length = f"{hours:.1f} h" if hours >= 1 else f"{60 * hours:.1f} min"
    return f"{length} · windows of {timeline.window:g} s every {timeline.hop:g} s · {timeline.bundle}"
