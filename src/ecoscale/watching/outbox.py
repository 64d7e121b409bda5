"""Where results and files go: `results/`, `done/` and `quarantine/`; nothing is there before it is whole."""

from __future__ import annotations

import errno
import os
import shutil
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from ecoscale.errors import ResultsError
from ecoscale.watching.inbox import file_state

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ecoscale.watching.inbox import Arrival
    from ecoscale.watching.journal import Entry

RESULTS, DONE, QUARANTINE, OWN = "results", "done", "quarantine", ".ecoscale-watch"
REASON = ".reason.txt"


class Outbox:
    """A folder that one watcher writes into. `own` holds its journal and what is being written."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.own = folder / OWN
        self.staging = self.own / "staging"

    def open(self) -> None:
        """Make its folders, and throw away what an earlier watcher was writing when it ended."""
        shutil.rmtree(self.staging, ignore_errors=True)
        self.staging.mkdir(parents=True, exist_ok=True)

    def is_free(self, name: str) -> bool:
        """Whether no results are under this name."""
        return not os.path.lexists(self.folder / RESULTS / f"{name}.json")

    @contextmanager
    def staged(self) -> Iterator[Path]:
        """An empty folder to write into, which is gone afterwards."""
        folder = self.staging / "at-hand"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def publish(self, files: Sequence[Path], name: str) -> tuple[Path, ...]:
        """Staged files into `results/`, in this order, over those of an earlier attempt. They are on the disk then."""
        folder = (self.folder / RESULTS / PurePosixPath(name)).parent
        return tuple(_put(file, folder / file.name) for file in files)

    def explain(self, arrival: Arrival, entry: Entry, reason: str) -> Path:
        """Write beside where a file is quarantined why it is."""
        folder = self._away(QUARANTINE, arrival, entry)
        with self.staged() as staging:
            file = staging / f"{PurePosixPath(arrival.key).name}{REASON}"
            file.write_text(reason.rstrip() + "\n", encoding="utf-8", errors="backslashreplace")
            return _put(file, folder / file.name)

    def take(self, inbox: Path, arrival: Arrival, entry: Entry, kind: str) -> None:
        """Move an arrival's files to `done/` or `quarantine/`; that to read last, which says that it is not yet done.

        A file that is no longer the one that was classified stays where it is.
        """
        folder = next(
            folder
            for folder in _numbered(self._away(kind, arrival, entry))
            if all(_has_room(folder / PurePosixPath(path).name, state) for path, state in arrival.files)
        )
        for path, state in reversed(arrival.files):
            source, target = inbox / path, folder / PurePosixPath(path).name
            if file_state(source) == state:
                self._move(source, target, state)

    def _move(self, source: Path, target: Path, state: str) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            source.rename(target)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            with self.staged() as staging:  # to another file system: copied, and gone when the copy is on the disk
                copy = staging / target.name
                shutil.copy2(source, copy)
                _put(copy, target)
            if file_state(source) == state:
                source.unlink()
            return
        if file_state(target) != state and not os.path.lexists(source):
            target.rename(source)  # replaced at the last moment: it is another one, and not yet classified
            return
        _to_disk(target.parent)

    def _away(self, kind: str, arrival: Arrival, entry: Entry) -> Path:
        """Where its files go: as in the inbox, or, after another of its name, into a folder of their own."""
        key, name = PurePosixPath(arrival.key), PurePosixPath(entry.name)
        return self.folder / kind / (key.parent if name.name == (key.stem or key.name) else name)


@contextmanager
def alone(inbox: Path, outbox: Outbox) -> Iterator[None]:
    """Hold both folders for this process, as far as the system has locks. The system lets go when the process ends.

    Raises `ResultsError` where another process has one of them.
    """
    outbox.own.mkdir(parents=True, exist_ok=True)
    held: list[int] = []
    try:
        for path, flags in ((outbox.own / "lock", os.O_RDWR | os.O_CREAT), (inbox, os.O_RDONLY)):
            # Windows has no fcntl, and some network drives have no locks, or none of folders.
            with suppress(ImportError, OSError):
                import fcntl

                held.append(os.open(path, flags, 0o666))
                try:
                    fcntl.flock(held[-1], fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    raise ResultsError(
                        f"{inbox if path == inbox else outbox.folder}: another ecoscale watch has it; end that one, or "
                        "choose another folder"
                    ) from None
        yield
    finally:
        for each in held:
            os.close(each)


def _numbered(folder: Path) -> Iterator[Path]:
    """The folder, and others in it for what would be written over what is there."""
    yield folder
    yield from (folder / str(number) for number in range(2, 1_000_000))


def _has_room(target: Path, state: str) -> bool:
    return not os.path.lexists(target) or file_state(target) == state


def _put(file: Path, target: Path) -> Path:
    """Rename what was written, after it is on the disk, and the name too."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with file.open("rb+") as stream:
        os.fsync(stream.fileno())
    file.replace(target)
    _to_disk(target.parent)
    return target


def _to_disk(folder: Path) -> None:
    with suppress(OSError):  # not of a folder, on Windows and some network drives
        opened = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)
