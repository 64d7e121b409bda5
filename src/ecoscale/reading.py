"""Recordings read and prepared while the network classifies those before them: in order, and a few at a time.

By threads, not processes: most of the work is numpy's, which lets go of the interpreter; no signal has to be sent from
one process to another; and a user's script needs no `if __name__ == "__main__"`.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain, islice
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from ecoscale.errors import EcoscaleError
from ecoscale.formats import Recording, SignalRecording, read_recordings
from ecoscale.formats.signals import Assumed
from ecoscale.workers import in_threads

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from ecoscale.preparation import Preparation
    from ecoscale.signal import Signal

READ_AT_ONCE = 8
"""Recordings in one job of a reader: enough that handing it over costs nothing, few enough that memory stays small."""


MOST_SAMPLES = 10_000_000
"""Of a channel of a signal that is read whole: 40 MB in float32."""


class Readable(Protocol):
    """Something that yields one signal when it is read, such as `ecoscale.formats.Recording`."""

    @property
    def path(self) -> Path | str:
        """The file, or its URL."""
        ...

    @property
    def record(self) -> str | None:
        """The recording within the file, where it holds several."""
        ...

    def read(self) -> Signal:
        """The ECG, or other signal. Raises `EcoscaleError`."""
        ...


@runtime_checkable
class ReadablePrepared(Readable, Protocol):
    """One that is prepared already, such as a record of a prepared store."""

    def prepared(self, preparation: Preparation) -> PreparedSignal:
        """What a network of that preparation reads of it. Raises `EcoscaleError`."""
        ...


@dataclass(frozen=True, eq=False)
class PreparedSignal:
    """A signal, the network's input `(windows, channels, samples)` made of it, and what is doubtful about either."""

    signal: Signal
    windows: NDArray[np.float32]
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class Failure:
    """A recording that could not be read or classified, and why."""

    source: str
    record: str
    error: str

    def to_dict(self) -> dict[str, object]:
        """As plain values, the form of one line of `ecoscale predict --format json`."""
        return {"source": self.source, "record": self.record, "error": self.error}


def prepare_signal(signal: Signal, preparation: Preparation) -> PreparedSignal:
    """What a network reads of a signal. Raises `ChannelError` where channels are missing, leads that do not follow."""
    return PreparedSignal(signal, preparation.windows(signal), _warnings(signal, preparation))


def to_read(recording: Readable, preparation: Preparation, *, assume: bool = True) -> Readable:
    """The same recording; of a file (`Recording`), read as a preparation needs it: by `read_ecg`, or `read_signal`.

    What a recording of another signal is stated to be are its options `rate`, `unit` (or several, with commas) and
    `leads`, those of `read_ecg`; one with a `longest` is refused beyond `MOST_SAMPLES`. With `assume`, the
    preparation's own stand for what neither they nor the file state, and the signal's notes say so.
    """
    if preparation.is_ecg or not isinstance(recording, Recording) or isinstance(recording, SignalRecording):
        return recording
    known = recording.options
    stated = {"rate": known.get("rate"), "channels": known.get("leads"), "units": known.get("unit")}
    if isinstance(stated["units"], str) and "," in stated["units"]:
        stated["units"] = [unit.strip() for unit in stated["units"].split(",")]
    stated |= {"dialect": known.get("dialect"), "most_samples": MOST_SAMPLES if "longest" in known else None}
    if assume:
        stated["assumed"] = Assumed(preparation.rate, preparation.channels, preparation.units)
    return SignalRecording(recording.path, recording.record, stated)


def read_prepared(
    recordings: Iterable[Readable], preparation: Preparation, batch_size: int, workers: int | None = None
) -> Iterator[PreparedSignal | Failure]:
    """Each recording read and prepared, in order, or why it could not be, while the caller works on those before it.

    `workers` threads read (default: one; 0: this one, when asked). They are at most `batch_size` recordings and two
    jobs each ahead, whatever the number of recordings. The first few are read in this thread: who has no more pays for
    no others. An HDF5 is opened once for the recordings of it in a job.
    """
    workers = 1 if workers is None else workers
    at_once = min(READ_AT_ONCE, batch_size)
    waiting = iter(recordings)
    first = list(islice(waiting, at_once))
    yield from _read(first, preparation)
    jobs = ((job, preparation) for job in iter(lambda: list(islice(waiting, at_once)), []))
    if not workers:
        for job in jobs:
            yield from _read(*job)
    elif (second := next(jobs, None)) is not None:
        ahead = -(-batch_size // at_once) + 2 * workers
        for found in in_threads(_read, chain([second], jobs), workers, ahead):
            yield from found


def _read(recordings: Sequence[Readable], preparation: Preparation) -> list[PreparedSignal | Failure]:
    if any(isinstance(recording, ReadablePrepared) for recording in recordings):
        return [_one(recording, preparation) for recording in recordings]
    # Each step of all of them before the next step: a step's code then stays in the processor's caches, which takes a
    # seventh less time than one recording after the other.
    outcomes = list(_outcomes(recordings, preparation))
    prepared = [
        outcome if isinstance(outcome, Failure) else _with_windows(recording, outcome, preparation)
        for recording, outcome in zip(recordings, outcomes, strict=True)
    ]
    return [
        each if isinstance(each, Failure) else PreparedSignal(*each, _warnings(each[0], preparation))
        for each in prepared
    ]


def _one(recording: Readable, preparation: Preparation) -> PreparedSignal | Failure:
    try:
        if isinstance(recording, ReadablePrepared):
            return recording.prepared(preparation)
        return prepare_signal(to_read(recording, preparation).read(), preparation)
    except EcoscaleError as error:
        return _failure(recording, error)


def _outcomes(recordings: Sequence[Readable], preparation: Preparation) -> Iterator[Signal | Failure]:
    recordings = [to_read(each, preparation) for each in recordings]
    own = [each for each in recordings if isinstance(each, Recording)]
    if len(own) == len(recordings):
        for recording, outcome in zip(own, read_recordings(own), strict=True):
            yield _failure(recording, outcome) if isinstance(outcome, EcoscaleError) else outcome
    else:
        for recording in recordings:
            try:
                yield recording.read()
            except EcoscaleError as error:
                yield _failure(recording, error)


def _with_windows(
    recording: Readable, signal: Signal, preparation: Preparation
) -> tuple[Signal, NDArray[np.float32]] | Failure:
    try:
        return signal, preparation.windows(signal)
    except EcoscaleError as error:
        return _failure(recording, error)


def _warnings(signal: Signal, preparation: Preparation) -> tuple[str, ...]:
    return (*signal.check(), *preparation.warnings(signal))


def _failure(recording: Readable, error: EcoscaleError) -> Failure:
    return Failure(str(recording.path), recording.record or "", str(error))
