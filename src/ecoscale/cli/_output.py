"""Where results go, and the progress bar, which goes to standard error so that results stay clean."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path


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
