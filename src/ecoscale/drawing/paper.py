"""Paper: a figure measured in millimetres, its grid, the calibration pulse, lines and writing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import PathPatch
from matplotlib.path import Path as Outline

from ecoscale.errors import EcoscaleError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from numpy.typing import NDArray

SPEEDS = (12.5, 100.0)
"""Speeds of a sheet's paper, in mm/s."""
GAINS = (2.5, 40.0)
"""Gains, in mm/mV."""

# Millimetres of paper. At 25 mm/s a sheet is 277 mm wide: it prints to scale on A4 and on Letter.
MARGIN = 6.0
CALIBRATION_START = 5.0
CALIBRATION_SECONDS = 0.2

PAPER = "#fffbfa"
FINE_GRID = "#f8d3d3"
BOLD_GRID = "#eba5a5"
INK = "#111111"
FADED_INK = "#6b5555"
ALERT_INK = "#9b1c1c"
TRACE_WIDTH = 0.3
CHARACTER_WIDTH = 0.59
"""Mean width of a character of DejaVu Sans, as a part of the size of the writing."""

MM_PER_INCH = 25.4
POINTS_PER_MM = 72 / MM_PER_INCH


def check_scale(speed: float, gain: float, speeds: tuple[float, float] = SPEEDS) -> None:
    """Raise `EcoscaleError` where speed (mm/s) or gain (mm/mV) are out of range."""
    for name, value, (low, high), unit in (("speed", speed, speeds, "mm/s"), ("gain", gain, GAINS, "mm/mV")):
        if not low <= value <= high:
            raise EcoscaleError(f"the paper's {name} is {value!r} {unit}; expected {low:g} to {high:g} {unit}")


def blank_figure(width: float, height: float) -> tuple[Figure, Axes]:
    """A figure of that size, and its one axes, which measures in millimetres from the lower left corner."""
    figure = Figure(figsize=(width / MM_PER_INCH, height / MM_PER_INCH), facecolor=PAPER)
    figure.set_layout_engine("none")
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, width), ylim=(0, height))
    axes.set_axis_off()
    return figure, axes


def whole_squares(millimetres: float) -> float:
    """Rounded up to the bold grid."""
    return float(5 * np.ceil(millimetres / 5 - 1e-9))


def lead_in_width(speed: float) -> float:
    """Width of the paper before the traces, where the calibration pulse stands."""
    return whole_squares(2 * CALIBRATION_START + CALIBRATION_SECONDS * speed)


def draw_grid(axes: Axes, left: float, floor: float, width: float, height: float) -> None:
    """Lines every 1 mm and every 5 mm."""
    for step, skip, color, line in ((1, 5, FINE_GRID, 0.1), (5, 0, BOLD_GRID, 0.2)):
        columns = [x for x in range(0, round(width) + 1, step) if not skip or x % skip]
        rows = [y for y in range(0, round(height) + 1, step) if not skip or y % skip]
        ends = [((left + x, floor), (left + x, floor + height)) for x in columns]
        ends += [((left, floor + y), (left + width, floor + y)) for y in rows]
        # One path for all lines of a kind: as a LineCollection each would be an element of the SVG.
        outline = Outline(np.reshape(ends, (-1, 2)), np.tile([Outline.MOVETO, Outline.LINETO], len(ends)))
        axes.add_patch(PathPatch(outline, fill=False, edgecolor=color, linewidth=line * POINTS_PER_MM, clip_on=False))


def draw_calibration(axes: Axes, left: float, baseline: float, speed: float, gain: float) -> None:
    """The pulse of 1 mV and 0.2 s before a row."""
    start = left + CALIBRATION_START
    stop = start + CALIBRATION_SECONDS * speed
    x = [start - 2.5, start, start, stop, stop, stop + 2.5]
    y = [baseline, baseline, baseline + gain, baseline + gain, baseline, baseline]
    draw_line(axes, x, y, "calibration", joins="miter")


def draw_line(
    axes: Axes,
    x: Sequence[float] | NDArray,
    y: Sequence[float] | NDArray,
    label: str,
    *,
    joins: Literal["miter", "round"] = "round",
    color: str = INK,
    width: float = TRACE_WIDTH,
) -> None:
    """A line through points; not finite ones are gaps. `label` says what it is to who looks at the figure's lines."""
    line = Line2D(
        x,
        y,
        label=label,
        color=color,
        linestyle="-",
        linewidth=width * POINTS_PER_MM,
        marker="",
        solid_joinstyle=joins,
        solid_capstyle="round",
        antialiased=True,
        clip_on=False,
    )
    axes.add_line(line)


def draw_rectangles(
    axes: Axes,
    corners: NDArray[np.float64],
    *,
    fill: str | None = None,
    edge: str | None = None,
    alpha: float = 1.0,
    behind: bool = False,
) -> None:
    """Rectangles `(n, 4)`, each left, bottom, width and height, as one path; `behind` what was drawn before."""
    if not len(corners):
        return
    left, bottom, width, height = corners.T
    xy = np.stack(
        [
            np.stack([left, left + width, left + width, left, left], axis=1),
            np.stack([bottom, bottom, bottom + height, bottom + height, bottom], axis=1),
        ],
        axis=2,
    )
    codes = np.tile([Outline.MOVETO, *[Outline.LINETO] * 3, Outline.CLOSEPOLY], len(corners))
    axes.add_patch(
        PathPatch(
            Outline(xy.reshape(-1, 2), codes),
            facecolor=fill or "none",
            edgecolor=edge or "none",
            linewidth=0.12 * POINTS_PER_MM if edge else 0,
            alpha=alpha,
            clip_on=False,
            zorder=0.5 if behind else 1.5,
        )
    )


def write(
    axes: Axes,
    x: float,
    y: float,
    text: str,
    size: float,
    *,
    weight: str = "normal",
    color: str = INK,
    align: Literal["left", "right", "center"] = "left",
) -> None:
    """Text of `size` mm from its baseline upward; a record's name is never taken for mathematics."""
    axes.text(
        x,
        y,
        text,
        fontsize=size * POINTS_PER_MM,
        fontfamily="DejaVu Sans",
        fontweight=weight,
        color=color,
        va="baseline",
        ha=align,
        parse_math=False,
        clip_on=False,
    )


def printable(text: str) -> str:
    """Without control characters and lone surrogates, which neither XML nor UTF-8 can hold."""
    text = text.encode("utf-8", "replace").decode("utf-8")
    return "".join(character if character.isprintable() else " " for character in text)


def shortened(text: str, characters: int) -> str:
    """At most so many characters, the last of them an ellipsis where some were left out."""
    return text if len(text) <= characters else f"{text[: characters - 1]}…"


def seconds_text(value: float) -> str:
    """Seconds to a hundredth, without zeros at the end."""
    return f"{value:.2f}".rstrip("0").rstrip(".")
