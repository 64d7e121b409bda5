"""A figure as one compact `<svg>` element that can stand in an HTML page beside others."""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING
from xml.sax.saxutils import quoteattr

from ecoscale.drawing.paper import printable
from ecoscale.drawing.settings import sheet_settings

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FONTS = "system-ui,'DejaVu Sans',Arial,sans-serif"


def figure_svg(figure: Figure, *, description: str = "") -> str:
    """A sheet as one compact `<svg>` element that can stand in an HTML page: no prolog, no ids, no style rules.

    `description` is what a screen reader says instead of the drawing.
    """
    text = io.StringIO()
    with sheet_settings():
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    svg = text.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>|<defs>.*?</defs>|<!--.*?-->", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<[^>]*>", lambda match: _compact_tag(match[0]), svg)
    svg = re.sub(r">\s+<", "><", svg).strip()
    label = f'role="img" aria-label={quoteattr(printable(description))}' if description else 'role="img"'
    return svg.replace("<svg", f'<svg {label} font-family="{FONTS}" stroke-linejoin="round"', 1)


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
