"""ECGs on paper to scale: the clinical sheet, pages of strips of long records, and what stands beside them.

Every coordinate is a millimetre of paper, so that a PDF or SVG printed at 100 % measures with a ruler. Figures are
built without pyplot and without touching matplotlib's global state. What may not live here: reading files, results
of a network (`ecoscale.sections` turns those into the sections that are drawn), anything that decides.
"""

from __future__ import annotations

from ecoscale.drawing.column import Row, Section
from ecoscale.drawing.relevance import Relevance
from ecoscale.drawing.saving import save_figure, save_pages
from ecoscale.drawing.sheet import LAYOUTS, SHEET_SECONDS, Layout, Sheet, draw_ecg
from ecoscale.drawing.strip import Strip, lay_out_strip
from ecoscale.drawing.svg import figure_svg

__all__ = [
    "LAYOUTS",
    "SHEET_SECONDS",
    "Layout",
    "Relevance",
    "Row",
    "Section",
    "Sheet",
    "Strip",
    "draw_ecg",
    "figure_svg",
    "lay_out_strip",
    "save_figure",
    "save_pages",
]
