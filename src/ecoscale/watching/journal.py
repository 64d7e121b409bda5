"""What was done with each file that arrived, in SQLite: written to the disk before the next step is taken."""

from __future__ import annotations

import errno
import json
import sqlite3
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from ecoscale.watching.inbox import Arrival


class State(StrEnum):
    """How far an arrival has come. What is `MOVED` has left the inbox; seen there again, it is classified again."""

    STARTED = "started"
    DONE = "done"
    QUARANTINED = "quarantined"
    MOVED = "moved"


@dataclass(frozen=True)
class Entry:
    """An arrival in the journal: under which `name` its results are, and how often it was begun."""

    number: int
    name: str
    state: State
    attempts: int


class Journal:
    """The journal at `path`, made where there is none.

    Raises `OSError` where it cannot be written, as on a full disk: what was to be noted is then not noted.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with self._said():
            self._base = sqlite3.connect(path, isolation_level=None)
            self._base.execute("PRAGMA synchronous = FULL")
            self._base.execute(
                "CREATE TABLE IF NOT EXISTS arrivals"
                " (number INTEGER PRIMARY KEY, key TEXT NOT NULL, files TEXT NOT NULL,"
                " name TEXT NOT NULL UNIQUE COLLATE NOCASE, state TEXT NOT NULL, attempts INTEGER NOT NULL,"
                " at TEXT NOT NULL)"
            )
            self._base.execute("CREATE INDEX IF NOT EXISTS by_key ON arrivals (key)")

    def find(self, arrival: Arrival) -> Entry | None:
        """What is known of it.

        Of one that is being moved some files may be gone already: those that are left say which it was.
        """
        now = dict(arrival.files)
        rows = self._all(
            "SELECT number, name, state, attempts, files FROM arrivals WHERE key = ? ORDER BY number DESC",
            _text(arrival.key),
        )
        for number, name, state, attempts, files in rows:
            before = json.loads(files)
            if before == now or (state != State.MOVED and now.items() <= before.items()):
                return Entry(number, json.loads(name), State(state), attempts)
        return None

    def begin(self, arrival: Arrival, entry: Entry | None, is_free: Callable[[str], bool]) -> Entry:
        """Note that it is being classified; its name is the one it had, else a new one that `is_free`."""
        files = json.dumps(dict(arrival.files))
        if entry is None:
            # What was begun under this key and never ended was an earlier state of the same file.
            self._all("DELETE FROM arrivals WHERE key = ? AND state = ?", _text(arrival.key), State.STARTED)
            name = next(name for name in _names(arrival.key) if is_free(name) and not self._has(name))
            self._all(
                "INSERT INTO arrivals (key, files, name, state, attempts, at) VALUES (?, ?, ?, ?, 1, ?)",
                *(_text(arrival.key), files, _text(name), State.STARTED, _now()),
            )
        else:
            attempts = entry.attempts + 1 if entry.state is State.STARTED else 1
            self._all(
                "UPDATE arrivals SET state = ?, attempts = ?, at = ? WHERE number = ?",
                *(State.STARTED, attempts, _now(), entry.number),
            )
        found = self.find(arrival)
        assert found is not None, "it was just noted"
        return found

    def note(self, entry: Entry, state: State) -> Entry:
        """Note how far it has come."""
        self._all("UPDATE arrivals SET state = ?, at = ? WHERE number = ?", state, _now(), entry.number)
        return Entry(entry.number, entry.name, state, entry.attempts)

    def forget(self, entry: Entry) -> None:
        """Strike it out: it has no results, and its name is free again."""
        self._all("DELETE FROM arrivals WHERE number = ?", entry.number)

    def close(self) -> None:
        """Let go of the file."""
        self._base.close()

    def _has(self, name: str) -> bool:
        return bool(self._all("SELECT 1 FROM arrivals WHERE name = ?", _text(name)))

    def _all(self, statement: str, *values: object) -> list[tuple]:
        with self._said():
            return self._base.execute(statement, values).fetchall()

    @contextmanager
    def _said(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            full = getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL
            raise OSError(errno.ENOSPC if full else errno.EIO, f"the journal: {error}", str(self.path)) from error


def _names(key: str) -> Iterator[str]:
    folder, _, file = key.rpartition("/")
    stem = file.rpartition(".")[0] or file
    below = f"{folder}/{stem}" if folder else stem
    yield below
    number = 2
    while True:
        yield f"{below}-{number}"
        number += 1


def _text(name: str) -> str:
    """A name in ASCII: that of a file need not be Unicode, which SQLite's text is."""
    return json.dumps(name)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
