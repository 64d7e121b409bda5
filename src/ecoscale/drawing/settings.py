"""Matplotlib as a sheet needs it while it is written, whatever the user has set."""

from __future__ import annotations

import threading
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING

import matplotlib as mpl

if TYPE_CHECKING:
    from collections.abc import Iterator

_SAVING = threading.Lock()


@contextmanager
def sheet_settings() -> Iterator[None]:
    """The settings of a sheet, and as they were afterwards.

    They belong to the process: one sheet is written at a time.
    """
    with (
        _SAVING,
        warnings.catch_warnings(),
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
        # A name in a script that DejaVu lacks: an SVG's viewer has a font, elsewhere a box stands for it.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        yield
