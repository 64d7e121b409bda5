"""Sections of writing beside or under a sheet: findings with their probability, measurements, remarks."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from ecoscale.drawing.paper import (
    ALERT_INK,
    CHARACTER_WIDTH,
    FADED_INK,
    INK,
    draw_rectangles,
    printable,
    shortened,
    write,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes

COLUMN_WIDTH = 78.0
"""Width of a column in mm."""

HEADING, TEXT, SMALL = 3.4, 2.8, 2.3
BAR_INK, BAR_GROUND = "#444444", "#e6dcda"
PRESENT_INK = "#0b4f8a"


@dataclass(frozen=True)
class Row:
    """A line of a section: what it is of, its value at the right, and a smaller line beneath.

    With a `share` (0 to 1) it has a bar of that length, and a mark at `threshold`; `strong` is what stands out.
    """

    text: str
    value: str = ""
    detail: str = ""
    share: float | None = None
    threshold: float | None = None
    strong: bool = False


@dataclass(frozen=True)
class Section:
    """A heading and its rows."""

    heading: str
    rows: tuple[Row, ...]
    tone: Literal["plain", "alert", "faded"] = "plain"


@dataclass(frozen=True)
class _Line:
    """A line of writing or a bar, by its distance from the top of the column."""

    depth: float
    indent: float = 0.0
    text: str = ""
    size: float = TEXT
    bold: bool = False
    color: str = INK
    right: bool = False
    bar: tuple[float, float | None, bool] | None = None


def sections_height(sections: Sequence[Section], width: float = COLUMN_WIDTH) -> float:
    """Millimetres that the sections take in a column."""
    return _laid_out(sections, width)[1]


def draw_sections(
    axes: Axes, sections: Sequence[Section], left: float, top: float, width: float = COLUMN_WIDTH
) -> float:
    """Write the sections downward from `top`; gives the height at which they end."""
    lines, height = _laid_out(sections, width)
    for line in lines:
        y = top - line.depth
        if line.bar is not None:
            _draw_bar(axes, left + line.indent, y, width - line.indent, *line.bar)
        else:
            x = left + width if line.right else left + line.indent
            align = "right" if line.right else "left"
            weight = "bold" if line.bold else "normal"
            write(axes, x, y, line.text, line.size, weight=weight, color=line.color, align=align)
    return top - height


def _laid_out(sections: Sequence[Section], width: float) -> tuple[list[_Line], float]:
    lines: list[_Line] = []
    depth = 0.0
    for section in sections:
        color = {"plain": INK, "alert": ALERT_INK, "faded": FADED_INK}[section.tone]
        if section.heading:
            depth += HEADING + 0.6
            lines.append(_Line(depth, text=section.heading, size=HEADING, bold=True, color=color))
            depth += 1.8
        for row in section.rows:
            depth = _lay_out_row(lines, row, depth, width, section.tone, color)
        depth += 2.6
    return lines, depth


def _lay_out_row(lines: list[_Line], row: Row, depth: float, width: float, tone: str, color: str) -> float:
    size = SMALL if tone == "faded" else TEXT
    ink = PRESENT_INK if row.strong else color
    room = width - (len(row.value) * CHARACTER_WIDTH * size * 1.05 + 2 if row.value else 0)
    wrapped = _wrapped(row.text, room, size, bold=row.strong) if row.text or row.value else []
    for number, text in enumerate(wrapped):
        depth += size + 1.1
        lines.append(_Line(depth, text=text, size=size, bold=row.strong, color=ink))
        if number == 0 and row.value:
            lines.append(_Line(depth, text=row.value, size=size, bold=row.strong, color=ink, right=True))
    if row.share is not None:
        depth += 2.6
        lines.append(_Line(depth, bar=(row.share, row.threshold, row.strong)))
    for text in _wrapped(row.detail, width, SMALL) if row.detail else ():
        depth += SMALL + 0.8
        lines.append(_Line(depth, text=text, size=SMALL, color=FADED_INK))
    return depth + (1.2 if row.share is not None or row.detail else 0.4)


def _wrapped(text: str, width: float, size: float, *, bold: bool = False) -> list[str]:
    # Bold letters of DejaVu are a ninth wider.
    characters = max(8, int(width / (size * CHARACTER_WIDTH * (1.11 if bold else 1.0))))
    return [shortened(line, characters) for line in textwrap.wrap(printable(text), characters)] or [""]


def _draw_bar(
    axes: Axes, left: float, bottom: float, width: float, share: float, threshold: float | None, strong: bool
) -> None:
    draw_rectangles(axes, np.array([[left, bottom, width, 1.3]]), fill=BAR_GROUND)
    if share > 0:
        draw_rectangles(
            axes, np.array([[left, bottom, width * min(share, 1.0), 1.3]]), fill=PRESENT_INK if strong else BAR_INK
        )
    if threshold is not None:
        draw_rectangles(axes, np.array([[left + width * threshold - 0.15, bottom - 0.5, 0.3, 2.3]]), fill=INK)
