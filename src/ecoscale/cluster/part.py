"""One part of an archive: its records read and classified as `ecoscale predict` does, its two files written."""

from __future__ import annotations

import os
import socket
import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ecoscale.cluster.careful import without_those_that_end
from ecoscale.cluster.run import rows_of
from ecoscale.errors import EcoscaleError, FormatError, ResultsError
from ecoscale.reading import ReadablePrepared, prepare_signal, to_read
from ecoscale.result_rows import result_row
from ecoscale.results import measured_too, parquet_schema, unicode_row
from ecoscale.sources import fetched, from_row

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    import pyarrow

    from ecoscale.cluster.folder import ResultsFolder
    from ecoscale.cluster.run import Part
    from ecoscale.inference import Classifier
    from ecoscale.preparation import Preparation
    from ecoscale.reading import PreparedSignal, Readable
    from ecoscale.signal import Signal


MOST_ATTEMPTS = 4
"""Times that a part is begun; each but the last ended with the process that had begun it."""


@dataclass(frozen=True)
class Reading:
    """How records are read and classified: options of `read_ecg`, and those of `Classifier.classify`."""

    options: dict[str, Any] = field(default_factory=dict)
    batch_size: int = 32
    workers: int | None = None
    measured: bool = False


@dataclass(frozen=True)
class PartOutcome:
    """What came of a part: how many of its `records` `failed`, and who did it in how much time and memory.

    `error` says why it is not done: the disk is full, or storage cannot be reached. `seconds` is 0 where it was done
    before. `peak_mb` is the process's largest resident memory so far.
    """

    listing: int
    number: int
    records: int
    failed: int = 0
    seconds: float = 0.0
    peak_mb: float = 0.0
    process: int = 0
    machine: str = ""
    error: str = ""


class PartClassifier:
    """Classifies parts of a run, one after the other, with one bundle in memory."""

    def __init__(
        self, folder: ResultsFolder, classifier: Classifier, settings: dict[str, Any], reading: Reading
    ) -> None:
        self._folder, self._classifier, self._settings, self._reading = folder, classifier, settings, reading

    def classify(self, part: Part) -> PartOutcome:
        """Classify a part and write its files, unless it is done already.

        A record that cannot be read or classified, whatever the reason, becomes a row of the part's failures.
        """
        try:
            failed, seconds = self._classify(part)
        except EcoscaleError as error:
            return PartOutcome(part.listing, part.number, part.records, error=str(error))
        return PartOutcome(
            part.listing, part.number, part.records, failed, seconds, peak_mb(), os.getpid(), socket.gethostname()
        )

    def _classify(self, part: Part) -> tuple[int, float]:
        """How many records failed, and the seconds it took."""
        began = time.perf_counter()
        if self._folder.has(part.findings):
            return 0, 0.0
        records = [from_row(row, self._reading.options) for row in rows_of(self._folder, part)]
        begun = int(self._folder.read(part.attempts) or 0)
        if begun >= MOST_ATTEMPTS:
            raise ResultsError(
                f"{part.name}: {begun} processes that had begun it were ended from outside, which is what happens "
                "where memory runs out; have fewer workers on a machine, or smaller parts, and go on with --resume"
            )
        self._folder.write(part.attempts, str(begun + 1).encode())
        if begun:
            records = without_those_that_end(records, self._classifier.preparation)
        try:
            rows = list(self._rows(records))
        except EcoscaleError:
            raise
        except Exception:  # a bug, on one record: the others shall not pay for it
            rows = list(self._rows([_Guarded(record) for record in records]))
        failed = [row for row in rows if "error" in row]
        # The findings last: a part with them is done.
        if failed:
            self._write(part.failed, failed, failed_schema(self._settings))
        self._write(part.findings, [row for row in rows if "error" not in row], findings_schema(self._settings))
        self._folder.remove(part.attempts)
        return len(failed), time.perf_counter() - began

    def _rows(self, records: Sequence[Readable]) -> Iterator[dict[str, Any]]:
        results = self._classifier.classify(fetched(records), self._reading.batch_size, self._reading.workers)
        for result in measured_too(results) if self._reading.measured else results:
            yield unicode_row(result_row(result))

    def _write(self, name: str, rows: list[dict[str, Any]], schema: Any) -> None:
        import pyarrow
        import pyarrow.parquet

        with self._folder.new_file(name) as path:
            pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows, schema), path)


def findings_schema(settings: dict[str, Any]) -> pyarrow.Schema:
    """The columns of `findings`: those of `ecoscale predict --format parquet` but for `error`."""
    whole = parquet_schema(settings)
    return whole.remove(whole.get_field_index("error"))


def failed_schema(settings: dict[str, Any]) -> pyarrow.Schema:
    """The columns of `failed`."""
    import pyarrow

    text = pyarrow.string()
    return pyarrow.schema([("source", text), ("record", text), ("error", text)], parquet_schema(settings).metadata)


def peak_mb() -> float:
    """Peak of this process's resident memory so far, MB; NaN on Windows."""
    try:
        import resource
    except ImportError:
        return float("nan")
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e6


@dataclass(frozen=True)
class _Guarded:
    """A record of which any error that reading and preparing raises is one that says which record it was."""

    inner: Readable

    @property
    def path(self) -> Path | str:
        return self.inner.path

    @property
    def record(self) -> str | None:
        return self.inner.record

    def read(self) -> Signal:
        return self.inner.read()

    def prepared(self, preparation: Preparation) -> PreparedSignal:
        try:
            if isinstance(self.inner, ReadablePrepared):
                return self.inner.prepared(preparation)
            return prepare_signal(to_read(self.inner, preparation).read(), preparation)
        except EcoscaleError:
            raise
        except Exception as error:
            raise FormatError(
                f"{self.path}: reading it failed in a way that is not foreseen ({type(error).__name__}: {error}); this "
                "is a bug of ecoscale, please report it"
            ) from error
