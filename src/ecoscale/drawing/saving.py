"""Writing sheets and pages of strips: PNG, SVG or PDF, as the suffix says."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

from ecoscale.drawing.paper import printable
from ecoscale.drawing.settings import sheet_settings
from ecoscale.drawing.svg import figure_svg
from ecoscale.errors import EcoscaleError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from matplotlib.figure import Figure

SUFFIXES = (".png", ".svg", ".pdf")


def save_figure(figure: Figure, path: str | Path, *, dpi: float = 200) -> Path:
    """Write a sheet as PNG, SVG or PDF, as the suffix of `path` says; `dpi` is for PNG.

    SVG and PDF have the sheet's true size. Raises `EcoscaleError` for another suffix.
    """
    path = Path(path)
    kind = _kind(path)
    if kind == ".svg":
        prolog = '<?xml version="1.0" encoding="utf-8"?>'
        path.write_text(f"{prolog}\n{figure_svg(figure)}\n", encoding="utf-8")
    elif kind == ".pdf":
        with sheet_settings():
            figure.savefig(path, format="pdf", metadata={"CreationDate": None})
    else:
        with sheet_settings():
            figure.savefig(path, format="png", dpi=dpi)
    return path


def save_pages(pages: Iterable[Figure], path: str | Path, n_pages: int, *, dpi: float = 200) -> list[Path]:
    """Write pages as they come: into one PDF, or as PNG or SVG a file each, `NAME-01.png` and so on.

    One page alone is written to `path` as it is. Memory holds one page. The files written are given back in order.
    Raises `EcoscaleError` for another suffix.
    """
    path = Path(path)
    if _kind(path) != ".pdf":
        digits = max(2, len(str(n_pages)))
        return [
            save_figure(
                page,
                path if n_pages == 1 else path.with_name(f"{path.stem}-{number:0{digits}}{path.suffix}"),
                dpi=dpi,
            )
            for number, page in enumerate(pages, start=1)
        ]
    with pdf_pages(path) as add:
        for page in pages:
            add(page)
    return [path]


@contextmanager
def pdf_pages(target: Path | IO[bytes], title: str = "ECG") -> Iterator[Callable[[Figure], None]]:
    """A PDF of several pages: gives what adds a figure as its next one, each in its true size."""
    from matplotlib.backends.backend_pdf import PdfPages

    def add(figure: Figure) -> None:
        with sheet_settings():
            document.savefig(figure)

    about = {"Title": printable(title), "Creator": "ecoscale", "CreationDate": None}
    document = PdfPages(target, metadata=about)
    try:
        yield add
    finally:
        with sheet_settings():  # the fonts of all pages are written now
            document.close()


def _kind(path: Path) -> str:
    kind = path.suffix.lower()
    if kind not in SUFFIXES:
        raise EcoscaleError(f"{path}: cannot draw to {kind or 'a file without suffix'}; use .png, .svg or .pdf")
    return kind
