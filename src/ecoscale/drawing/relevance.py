"""Relevance under the trace: which leads and seconds speak for a finding, legible without colour.

A track of bars runs under each panel: solid bars upward where the signal speaks for the finding, hollow bars downward
where it speaks against. Where it speaks for it strongly, a tint lies behind the trace too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np

from ecoscale.drawing.paper import draw_line, draw_rectangles
from ecoscale.errors import SignalError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from ecoscale.drawing.panels import Panel

FOR_INK = "#0b4f8a"
AGAINST_INK = "#8a4b0b"
AXIS_INK = "#9a8a8a"

# Millimetres: of a bar for a value of 1 up and -1 down, and from the lowest trace down to the track.
UPWARD, DOWNWARD, CLEARANCE = 4.0, 3.0, 1.5
# Values from which a tint lies behind the trace, and how dense it is.
TINTS = ((0.25, 0.10), (0.5, 0.18), (0.75, 0.28))
SMALLEST = 0.02
"""A magnitude below which no bar is drawn: it would be thinner than a line."""

LEGEND = (
    "Bars under the traces: solid upward, speaks for the finding; hollow downward, speaks against it; "
    f"{UPWARD:g} mm up or {DOWNWARD:g} mm down are the largest."
)


class Relevance(Protocol):
    """What a finding rests on: `values` `(leads, steps)` in [-1, 1], step n from `start + n * step` seconds on.

    Positive values speak for the finding; NaN says nothing.
    """

    @property
    def leads(self) -> tuple[str, ...]:
        """Names of the rows of `values`."""
        ...

    @property
    def start(self) -> float:
        """Seconds from the start of the recording to the first step."""
        ...

    @property
    def step(self) -> float:
        """Seconds of a step."""
        ...

    @property
    def values(self) -> NDArray[np.floating]:
        """`(leads, steps)` in [-1, 1]."""
        ...


def check_relevance(relevance: Relevance) -> None:
    """Raise `SignalError` where its values have another shape than its leads say, or leave [-1, 1]."""
    values = np.asarray(relevance.values)
    if values.ndim != 2 or len(values) != len(relevance.leads):
        raise SignalError(
            f"the relevance has values of shape {values.shape}; expected (leads, steps) for its "
            f"{len(relevance.leads)} leads"
        )
    if not relevance.step > 0:
        raise SignalError(f"the relevance has steps of {relevance.step!r} s; expected a positive number")
    largest = float(np.nanmax(np.abs(values), initial=0))
    if largest > 1 + 1e-6:
        raise SignalError(f"the relevance reaches {largest:.3g}; expected values from -1 to 1")


def legend(relevance: Relevance) -> str:
    """The line that explains the bars; it begins with the finding and method where the relevance names them."""
    about = [str(getattr(relevance, name, "")) for name in ("finding", "method")]
    named = f"Relevance for {about[0]}" + (f" by {about[1]}" if about[1] else "") + ". " if about[0] else ""
    return named + LEGEND


def track_axis(lowest: float) -> float:
    """Height of a track's axis above the baseline of a row whose traces reach down to `lowest`, in mm."""
    return min(-UPWARD - CLEARANCE - 2.0, lowest - UPWARD - CLEARANCE)


def draw_track(
    axes: Axes,
    panel: Panel,
    relevance: Relevance,
    left: float,
    baseline: float,
    axis: float,
    start: float,
    speed: float,
) -> None:
    """The bars under a panel that begins at `left` mm, and the tints behind its trace.

    `axis` is that of the track above the baseline, `start` the moment of the recording at the left end of the row.
    """
    if panel.lead not in relevance.leads or not panel.x.size:
        return
    values = np.asarray(relevance.values[relevance.leads.index(panel.lead)], dtype=np.float64)
    begins = (relevance.start - start + relevance.step * np.arange(len(values))) * speed
    stop = min(panel.left + panel.width, float(panel.x[-1]) + speed * relevance.step)
    lefts = np.maximum(begins, panel.left)
    widths = np.minimum(begins + relevance.step * speed, stop) - lefts
    seen = (widths > 1e-9) & np.isfinite(values)
    lefts, widths, values = left + lefts[seen], widths[seen], values[seen]
    if not values.size:
        return
    level = np.full(len(values), baseline + axis)
    top = baseline + max(3.0, float(np.nanmax(panel.y, initial=0.0)))
    for number, (lowest, density) in enumerate(TINTS):
        highest = TINTS[number + 1][0] if number + 1 < len(TINTS) else np.inf
        within = (values >= lowest) & (values < highest)
        columns = np.stack([lefts, level, widths, np.full(len(values), top) - level], axis=1)[within]
        draw_rectangles(axes, _joined(columns), fill=FOR_INK, alpha=density, behind=True)
    up, down = values >= SMALLEST, values <= -SMALLEST
    bars = np.stack([lefts, level, widths, values * UPWARD], axis=1)[up]
    draw_rectangles(axes, bars, fill=FOR_INK)
    bars = np.stack([lefts, level, widths, values * DOWNWARD], axis=1)[down]
    draw_rectangles(axes, bars, edge=AGAINST_INK)
    draw_line(axes, [lefts[0], lefts[-1] + widths[-1]], [level[0]] * 2, "relevance", color=AXIS_INK, width=0.12)


def _joined(columns: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rectangles of which neighbours that touch are one: between two of them a seam would be seen."""
    joined: list[list[float]] = []
    for left, bottom, width, height in columns.tolist():
        if joined and abs(joined[-1][0] + joined[-1][2] - left) < 1e-6:
            joined[-1][2] += width
        else:
            joined.append([left, bottom, width, height])
    return np.array(joined).reshape(-1, 4)


def floors_of(rows: Sequence[Sequence[Panel]], lowest: Sequence[float]) -> list[float]:
    """How far down each row reaches with its track, in mm above its baseline."""
    return [track_axis(low) - DOWNWARD - 0.5 for _, low in zip(rows, lowest, strict=True)]
