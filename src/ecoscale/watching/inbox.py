"""What lies in the inbox: recordings with all their files, and which of them have ceased to change."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ecoscale.formats.arrays import FOLDER_DIALECT
from ecoscale.formats.wfdb_header import content_lines, read_text

if TYPE_CHECKING:
    from collections.abc import Iterable

UNFINISHED = (".part", ".partial", ".filepart", ".crdownload", ".download", ".tmp", ".temp", ".swp", ".lock", "~")
"""Endings of names under which programs write what they rename when it is whole."""

DIALECT = ".yaml"
"""Behind the name of a table: says how that one is read, and goes with it."""


@dataclass(frozen=True)
class Arrival:
    """A recording in the inbox. `files` are `(path below the inbox, state)`; the first is the one to read, `key`.

    A state is the size and the time of the last change: a file whose state differs is another one.
    """

    files: tuple[tuple[str, str], ...]

    @property
    def key(self) -> str:
        """The file to read, below the inbox, with `/` between folders."""
        return self.files[0][0]


class Inbox:
    """A folder and those in it. Hidden names, and those of files that are being written (`UNFINISHED`), are ignored."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._named: dict[str, tuple[str, tuple[str, ...]]] = {}

    def scan(self) -> tuple[list[Arrival], list[OSError]]:
        """What is there, in the order of names, and why a folder could not be looked into.

        A WFDB header and the signal files that it names, as far as they are there, are one arrival; so are a table and
        the dialect that is beside it for it alone.
        """
        arrivals: list[Arrival] = []
        errors: list[OSError] = []
        named: dict[str, tuple[str, tuple[str, ...]]] = {}
        for at, folders, names in os.walk(self.folder, onerror=errors.append):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            below = Path(at).relative_to(self.folder).as_posix()
            prefix = "" if below == "." else f"{below}/"
            states = {name: state for name in sorted(names) if (state := _state(Path(at, name), name))}
            with_it: dict[str, tuple[str, ...]] = {}
            for name in states:
                if name.lower().endswith(".hea"):
                    path = f"{prefix}{name}"
                    known = self._named.get(path)
                    found = known[1] if known and known[0] == states[name] else _signal_files(Path(at, name))
                    named[path] = states[name], found
                    with_it[name] = tuple(other for other in found if other in states and other != name)
                elif f"{name}{DIALECT}" in states:
                    with_it[name] = (f"{name}{DIALECT}",)
            claimed = {other for others in with_it.values() for other in others}
            arrivals += [
                Arrival(tuple((f"{prefix}{each}", states[each]) for each in (name, *with_it.get(name, ()))))
                for name in states
                if name not in claimed
            ]
        self._named = named
        return arrivals, errors

    def is_unchanged(self, arrival: Arrival) -> bool:
        """Whether the files are those that were seen."""
        return all(_state(self.folder / path, Path(path).name) == state for path, state in arrival.files)


def file_state(path: Path) -> str | None:
    """Size and time of the last change; None for what is not there, or no file."""
    try:
        found = path.stat()
    except (OSError, ValueError):
        return None
    return f"{found.st_size}-{found.st_mtime_ns}" if stat.S_ISREG(found.st_mode) else None


def _state(path: Path, name: str) -> str | None:
    # A folder's dialect stays, and is no arrival.
    if name.startswith(".") or name == FOLDER_DIALECT or name.lower().endswith(UNFINISHED):
        return None
    return file_state(path)


def _signal_files(header: Path) -> tuple[str, ...]:
    try:
        lines = content_lines(read_text(header))
    except OSError:
        return ()
    return tuple(dict.fromkeys(line.split()[0] for line in lines[1:]))


class Settling:
    """Which arrivals have not changed for long enough: `settle` seconds to be tried, `patience` to be given up.

    Times are those of any clock that does not go back, in seconds.
    """

    def __init__(self, settle: float, patience: float) -> None:
        self.settle, self.patience = settle, max(settle, patience)
        self._since: dict[Arrival, float] = {}
        self._tried: set[Arrival] = set()
        self._finished: set[Arrival] = set()

    def see(self, arrivals: Iterable[Arrival], now: float) -> None:
        """Note what is there; an arrival that changed is a new one, and what went away is forgotten."""
        there = set(arrivals)
        self._since = {arrival: self._since.get(arrival, now) for arrival in there}
        self._tried &= there
        self._finished &= there

    def ready(self, now: float) -> list[Arrival]:
        """Those to be tried now, in the order of their names."""
        return sorted((each for each in self._since if self._due(each) <= now), key=lambda each: each.key)

    def is_last_chance(self, arrival: Arrival, now: float) -> bool:
        """Whether what cannot be read now is given up."""
        return now - self._since[arrival] >= self.patience

    def tried(self, arrival: Arrival) -> None:
        """It could not be read: perhaps it is not whole. It is tried again when it changes, or for the last time."""
        self._tried.add(arrival)

    def finish(self, arrival: Arrival) -> None:
        """It is done with, even if it stays."""
        self._finished.add(arrival)

    def next_due(self) -> float | None:
        """When the next one is to be tried; None: none is waiting."""
        return min((due for each in self._since if (due := self._due(each)) < float("inf")), default=None)

    def _due(self, arrival: Arrival) -> float:
        if arrival in self._finished:
            return float("inf")
        return self._since[arrival] + (self.patience if arrival in self._tried else self.settle)
