"""What verbs share: options on files that do not describe themselves, output, and the progress bar.

Progress goes to standard error, so that results stay clean.
"""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

FAILED = 1
"""Exit status when at least one recording could not be read or classified."""

Rate = Annotated[
    float | None,
    typer.Option(help="Samples per second, for .npy and tables, which do not state it.", show_default=False),
]
Unit = Annotated[str | None, typer.Option(help="mV, uV or V, for .npy and tables.", show_default=False)]
Lead_names = Annotated[
    str | None, typer.Option(help="Lead names in order, for .npy and tables: I,II,V1,...", show_default=False)
]


def stated(rate: float | None, unit: str | None, leads: str | None) -> dict[str, Any]:
    """What the user states about files, as options of `read_ecg`."""
    options = {"rate": rate, "unit": unit, "leads": None if leads is None else leads.replace(",", " ").split()}
    return {name: value for name, value in options.items() if value is not None}


@contextmanager
def open_output(path: Path | None) -> Iterator[IO[str]]:
    """The file at `path`, or standard output."""
    if path is None:
        yield sys.stdout
    else:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", encoding="utf-8", newline="") as stream:
            yield stream


def tracked(items: Iterable, description: str, show: bool = True) -> Iterable:
    """The items, counted by a progress bar where standard error is a terminal."""
    if not show or not sys.stderr.isatty():
        return items
    from rich.console import Console
    from rich.progress import track

    return track(items, description, console=Console(stderr=True), transient=True)
