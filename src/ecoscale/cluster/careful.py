"""A part that its worker did not live to finish: its records read once in a process apart, to find who ended it.

A record may end the process that reads it: by more memory than there is, or by a fault in a library's C code. Such a
record is one that cannot be classified, as any other, and its part's others go on.
"""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

from ecoscale.errors import FormatError
from ecoscale.reading import read_prepared

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from ecoscale.preparation import Preparation
    from ecoscale.reading import PreparedSignal, Readable
    from ecoscale.signal import Signal


def without_those_that_end(records: Sequence[Readable], preparation: Preparation) -> list[Readable]:
    """The records; in place of those whose reading ends a process, one that says so when it is read."""
    spared = list(records)
    first = 0
    while first < len(records):
        read, status = _read_apart(records[first:], preparation)
        first += read
        if first < len(records):
            spared[first] = Deadly(records[first].path, records[first].record, _said(status))
            first += 1
    return spared


@dataclass(frozen=True)
class Deadly:
    """A record whose reading ends the process; `how` it ended."""

    path: Path | str
    record: str | None
    how: str

    def read(self) -> Signal:
        """Raises `FormatError`."""
        self._refuse()

    def prepared(self, _: Preparation) -> PreparedSignal:
        """Raises `FormatError`."""
        self._refuse()

    def _refuse(self) -> NoReturn:
        raise FormatError(
            f"{self.path}: reading it ended the process that did ({self.how}): it needs more memory than there is, or "
            "is damaged in a way that its format's library does not survive"
        )


def _read_apart(records: Sequence[Readable], preparation: Preparation) -> tuple[int, int]:
    """How many of the records were read by a process of its own before it ended, and its exit status."""
    # As this process finds its modules, which a launcher may have told it alone.
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-c", "from ecoscale.cluster.careful import read_all; read_all()"]
    done = subprocess.run(
        command,
        input=pickle.dumps((records, preparation)),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment,
        check=False,
    )
    return len(done.stdout), done.returncode


def read_all() -> None:
    """Read the records that come by standard input; a byte on standard output for each."""
    records, preparation = pickle.load(sys.stdin.buffer)
    for _ in read_prepared(records, preparation, batch_size=1, workers=0):
        os.write(1, b".")


def _said(status: int) -> str:
    if status >= 0:
        return f"exit status {status}"
    try:
        return signal.Signals(-status).name
    except ValueError:
        return f"signal {-status}"
