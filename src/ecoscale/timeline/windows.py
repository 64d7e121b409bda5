"""From a long record to its windows, each classified as a record of its own."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ecoscale.errors import EcoscaleError, SignalError
from ecoscale.excerpts import Window, require_channels, why_unreadable, window_samples
from ecoscale.inference import Failure
from ecoscale.timeline.episodes import Timeline

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ecoscale.formats.long_records import LongRecord
    from ecoscale.inference import Classifier
    from ecoscale.signal import Signal

WINDOWS_AT_ONCE = 16
"""Windows of one pass of the network: of more, it takes no less time for each."""


def timeline(classifier: Classifier, record: LongRecord, *, hop: float | None = None) -> Timeline:
    """All windows of a record, gathered.

    >>> record = open_long_record("holter.hea")  # doctest: +SKIP
    >>> timeline(Classifier.load(), record).episodes("AF")  # doctest: +SKIP

    Parameters and errors are those of `classify_windows`.
    """
    found = Timeline.of(classifier, record, hop=hop)
    for window in classify_windows(classifier, record, hop=hop):
        found.add(window)
    return found


def classify_windows(classifier: Classifier, record: LongRecord, *, hop: float | None = None) -> Iterator[Window]:
    """Windows of the bundle's length every `hop` seconds (default: half a window), in turn, as they are classified.

    The last window ends where the record ends; a record shorter than a window is one window. Memory does not grow with
    the length. Raises `ChannelError` where the bundle reads channels that the record has not, `SignalError` for a hop
    that is not positive or longer than a window, and `FormatError` where the file is not as it says.
    """
    hop = checked_hop(classifier, hop)
    require_channels(classifier, record.leads, record.source)
    return _classify(classifier, record, hop)


def checked_hop(classifier: Classifier, hop: float | None) -> float:
    """The hop in seconds, half a window if it is None. Raises `SignalError` if it would leave something unread."""
    seconds = classifier.preparation.seconds
    if hop is None:
        return seconds / 2
    if not 0 < hop <= seconds:
        raise SignalError(f"the hop is {hop!r} s; expected more than 0 and at most a window, {seconds:g} s")
    return float(hop)


def window_starts(n_samples: int, window: int, hop: float) -> Iterator[int]:
    """First sample of each window of a record, `window` and `hop` in samples; the last one ends with the record."""
    last = max(0, n_samples - window)
    number = 0
    while (start := round(number * hop)) < last:
        yield start
        number += 1
    yield last


@dataclass(frozen=True)
class _Excerpt:
    """A window's signal, as `Classifier.classify` takes it."""

    signal: Signal
    path: Path
    record: str | None

    def read(self) -> Signal:
        return self.signal


def _classify(classifier: Classifier, record: LongRecord, hop: float) -> Iterator[Window]:
    waiting: deque[tuple[float, float, str]] = deque()

    def readable() -> Iterator[_Excerpt]:
        for start, signal in _excerpts(record, window_samples(classifier.preparation, record.rate), hop * record.rate):
            reason = why_unreadable(signal)
            waiting.append((start / record.rate, (start + signal.n_samples) / record.rate, reason))
            if not reason:
                yield _Excerpt(signal, Path(record.source), record.record or None)

    def unreadable() -> Iterator[Window]:
        while waiting and waiting[0][2]:
            start, stop, reason = waiting.popleft()
            yield Window(start, stop, None, reason)

    for result in classifier.classify(readable(), WINDOWS_AT_ONCE):
        yield from unreadable()
        if isinstance(result, Failure):
            raise EcoscaleError(result.error)
        start, stop, _ = waiting.popleft()
        yield Window(start, stop, result[1])
    yield from unreadable()


def _excerpts(record: LongRecord, window: int, hop: float) -> Iterator[tuple[int, Signal]]:
    """First sample and signal of each window; at most a piece and a window of the record are in memory."""
    starts = window_starts(record.n_samples, window, hop)
    start = next(starts, None)
    buffer = np.empty((len(record.leads), 0), np.float32)
    first = 0
    for piece in record.pieces():
        buffer = np.concatenate((buffer, piece), axis=1)
        while start is not None and (stop := min(start + window, record.n_samples)) <= first + buffer.shape[1]:
            signal = buffer[:, start - first : stop - first]
            yield start, record.part(signal)
            start = next(starts, None)
        used = buffer.shape[1] if start is None else min(start - first, buffer.shape[1])
        buffer, first = buffer[:, used:], first + used
    if first + buffer.shape[1] < record.n_samples:
        raise SignalError(
            f"{record.source}: the signal ends after {(first + buffer.shape[1]) / record.rate:.1f} s; expected "
            f"{record.duration:.1f} s"
        )
