"""A live signal: samples as they come, and every few seconds what the last window shows.

A window is classified as a record of its own (`ecoscale.excerpts`), so a stream says of it what `Classifier.predict`
says of the same samples in a file.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ecoscale.ecg import ECG, UNIT
from ecoscale.errors import SignalError
from ecoscale.excerpts import Window, require_channels, why_unreadable, window_samples
from ecoscale.formats.leads import canonical_leads
from ecoscale.formats.quantities import required_millivolts
from ecoscale.signal import Signal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

    from ecoscale.inference import Classifier
    from ecoscale.preparation import Preparation

SOURCE = "stream"
"""The `source` of a stream's predictions, and how its errors begin."""

WINDOWS_HELD = 4
"""Length of the buffer in windows: a window is moved to its beginning once in three windows' time."""

WINDOWS_AT_ONCE = 16
"""Windows that one push classifies together, at most: a push of hours takes no more memory than its samples."""

LARGEST_DRIFT = 0.01
"""Share by which timestamps and samples may disagree on the length of a window before it gets a warning."""


@dataclass(frozen=True)
class LiveWindow(Window):
    """A window of a stream. `confirmed` are the findings present in `k` of the last `n` windows (`Stream`)."""

    confirmed: tuple[str, ...] = ()
    clock_warnings: tuple[str, ...] = ()

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is doubtful about the window and its timestamps, each as `code: explanation`."""
        return (*super().warnings, *self.clock_warnings)


class Stream:
    """Classifies a live signal.

    >>> stream = Stream(classifier, rate=500, leads=LEADS)  # doctest: +SKIP
    >>> for samples in device:  # doctest: +SKIP
    ...     for window in stream.push(samples):
    ...         print(window.start, window.stop, window.present)

    Parameters
    ----------
    classifier
        What classifies the windows.
    rate
        Samples per second of the device's clock (Hz).
    leads
        Names of the rows of what is pushed; default: the leads that the bundle reads. Of a bundle of another signal:
        its channels.
    unit
        Of what is pushed: mV, uV, V or nV; default mV. Of another signal: one for all rows, or one each; default: those
        that the bundle reads.
    hop
        Seconds from one result to the next (default 5); windows overlap where it is shorter than a window.
    tolerance
        Seconds by which a chunk's timestamp may be off the time that follows from the samples before it. So much is
        taken for jitter of the timestamps: the samples themselves are evenly spaced, by the device's clock, and nothing
        is resampled. What is later by more is a gap.
    persistence
        `(k, n)`: a finding is `confirmed` where `k` of the last `n` windows show it.
        Windows that are not classified count as not showing it. A gap that empties the buffer starts anew.

    Raises
    ------
    ChannelError
        If the bundle reads channels that are not among `leads`; a `LeadError` where they are leads that do not follow.
    SignalError
        If the rate, the hop, the tolerance or the persistence cannot be.
    FormatError
        If the unit is not one of voltage.
    """

    def __init__(
        self,
        classifier: Classifier,
        *,
        rate: float,
        leads: Sequence[str] | None = None,
        unit: str | Sequence[str] | None = None,
        hop: float = 5.0,
        tolerance: float = 0.05,
        persistence: tuple[int, int] = (1, 1),
    ) -> None:
        preparation = classifier.preparation
        names, units, factor = _rows_of(preparation, leads, unit)
        require_channels(classifier, names, SOURCE)
        if not (np.isfinite(rate) and rate > 0):
            raise SignalError(f"{SOURCE}: the rate is {rate!r}; expected a positive number of samples per second")
        if not (np.isfinite(hop) and round(hop * rate) > 0):
            raise SignalError(f"{SOURCE}: the hop is {hop!r} s; expected at least one sample")
        if not (np.isfinite(tolerance) and tolerance > 0):
            raise SignalError(f"{SOURCE}: the tolerance is {tolerance!r} s; expected a positive number")
        if len(persistence) != 2 or not 1 <= persistence[0] <= persistence[1]:
            raise SignalError(f"{SOURCE}: the persistence is {persistence}; expected (k, n) with 1 <= k <= n")
        self.classifier, self.rate, self.leads, self.hop = classifier, float(rate), tuple(names), float(hop)
        self.tolerance, self.persistence = float(tolerance), persistence
        self._units, self._factor = units, factor
        self._window = window_samples(classifier.preparation, self.rate)
        self._buffer = np.empty((len(names), WINDOWS_HELD * self._window), np.float32)
        self.reset()

    def reset(self) -> None:
        """Forget all that was pushed: the next sample is the first."""
        self._pushed = 0  # samples and missing ones, since the first
        self._known = (0, 0.0)  # a sample and its time, from which those of others follow
        self._begin(0)

    def _begin(self, position: int) -> None:
        """Start anew with an empty buffer, its first sample the one at `position`."""
        self._base = position  # of the first window
        self._first = position  # of the buffer
        self._held = 0
        self._number = 0  # of the next window
        self._jitter: deque[tuple[int, float]] = deque()
        self._recent: deque[tuple[str, ...]] = deque(maxlen=self.persistence[1])

    @property
    def seconds(self) -> float:
        """Length of all that was pushed, gaps among it."""
        return self._pushed / self.rate

    def push(self, samples: ArrayLike, time: float | None = None) -> list[LiveWindow]:
        """Take samples, and give the windows that they complete, in order.

        `samples` is `(leads, n)`, or `(leads,)` for one of each lead (with a single lead: `(n,)`); NaN is a missing
        sample. `time` is when the first of them was taken, in seconds of any clock that does not jump: then `start`
        and `stop` of the windows are by that clock, and time that passed without samples is a gap (`gap`). Without
        it they count from the first sample. Raises `SignalError` for another shape, and for a `time` before the last
        sample.
        """
        chunk = self._numbers(samples)
        if chunk.ndim == 1:
            chunk = chunk[None] if len(self.leads) == 1 else chunk[:, None]
        if chunk.ndim != 2 or len(chunk) != len(self.leads) or chunk.dtype.kind not in "iuf":
            raise SignalError(
                f"{SOURCE}: samples of shape {np.shape(samples)} and type {chunk.dtype}; expected numbers "
                f"({len(self.leads)}, n), a row for each of {', '.join(self.leads)}"
            )
        found = [] if time is None else self._until(float(time))
        with np.errstate(over="ignore"):  # what no float32 holds is no voltage: infinite, and so missing
            return [*found, *self._take((chunk * self._factor).astype(np.float32, copy=False))]

    def _numbers(self, samples: ArrayLike) -> NDArray:
        """What is pushed as an array; what is masked is missing."""
        try:
            if isinstance(samples, np.ma.MaskedArray) and samples.dtype.kind in "iuf":
                return np.ma.filled(samples.astype(float), np.nan)
            return np.asarray(samples)
        except ValueError as error:
            raise SignalError(
                f"{SOURCE}: the samples are no array ({error}); expected as many of each of {', '.join(self.leads)}"
            ) from error

    def gap(self, seconds: float) -> list[LiveWindow]:
        """Declare that so many seconds passed without samples; give the windows that end in them.

        A gap shorter than a window is missing samples, which classification fills by interpolation and warns of, or
        which leave too little of a window to be classified. A longer one empties the buffer: the next window is whole
        again one window after it, and none ends in it. Raises `SignalError` for what is not a positive number.
        """
        if not (np.isfinite(seconds) and seconds > 0):
            raise SignalError(f"{SOURCE}: a gap of {seconds!r} s; expected a positive number of seconds")
        return self._skip(float(seconds))

    def _skip(self, seconds: float) -> list[LiveWindow]:
        missing = round(seconds * self.rate)
        if missing < self._window:
            return self._take(np.full((len(self.leads), missing), np.nan, np.float32))
        self._pushed += missing
        self._begin(self._pushed)
        return []

    def _until(self, time: float) -> list[LiveWindow]:
        """What the time of the next sample says: jitter, or a gap."""
        if not np.isfinite(time):
            raise SignalError(f"{SOURCE}: the time is {time!r}; expected seconds")
        if not self._pushed:
            self._known = (0, time)
            return []
        late = time - self._next
        if late < -self.tolerance:
            raise SignalError(
                f"{SOURCE}: the time {time:.3f} s is {-late:.3f} s before that of the next sample, {self._next:.3f} s; "
                f"expected times that do not go back by more than the tolerance, {self.tolerance:g} s: is the rate "
                "right? reset() begins anew"
            )
        found = self._skip(late) if late > self.tolerance else []
        self._jitter.append((self._pushed, time - self._next))
        self._known = (self._pushed, time)
        return found

    @property
    def _next(self) -> float:
        """The time of the next sample in seconds."""
        at, time = self._known
        return time + (self._pushed - at) / self.rate

    def _take(self, chunk: NDArray) -> list[LiveWindow]:
        """Put samples in mV into the buffer; classify each window that they complete."""
        found: list[LiveWindow] = []
        due: list[tuple[Signal, float, float, tuple[str, ...]]] = []
        while chunk.shape[1]:
            start = self._base + round(self._number * self.hop * self.rate)
            if self._held == self._buffer.shape[1]:
                # What the next window needs goes to the beginning.
                keep = max(0, min(self._held, self._first + self._held - start))
                self._buffer[:, :keep] = self._buffer[:, self._held - keep : self._held].copy()
                self._first += self._held - keep
                self._held = keep
            # Up to the end of the next window, so that no sample of it is pushed out by those after it.
            room = min(self._buffer.shape[1] - self._held, start + self._window - (self._first + self._held))
            part, chunk = chunk[:, :room], chunk[:, room:]
            self._buffer[:, self._held : self._held + part.shape[1]] = part
            self._held += part.shape[1]
            self._pushed += part.shape[1]
            if self._first + self._held == start + self._window:
                signal = self._buffer[:, start - self._first : self._held].copy()
                ecg, stop = self._recording(signal), self._next
                due.append((ecg, stop - self._window / self.rate, stop, self._clock(start)))
                self._number += 1
            if len(due) == WINDOWS_AT_ONCE or not chunk.shape[1]:
                found += self._classified(due)
                due.clear()
        return found

    def _recording(self, samples: NDArray[np.float32]) -> Signal:
        if self._units is None:
            return ECG(samples, self.rate, self.leads, source=SOURCE)
        return Signal(samples, self.rate, self.leads, self._units, source=SOURCE)

    def _clock(self, start: int) -> tuple[str, ...]:
        """The warning of a window whose timestamps say another length than its samples."""
        while self._jitter and self._jitter[0][0] <= start:
            self._jitter.popleft()
        drift = sum(late for _, late in self._jitter)
        length = self._window / self.rate
        if abs(drift) <= max(LARGEST_DRIFT * length, 2 * self.tolerance):
            return ()
        return (
            f"rate_drift: by its timestamps the window lasts {length + drift:.2f} s, by its samples {length:.2f} s; is "
            f"the rate {self._window / (length + drift):.4g} Hz instead of {self.rate:g} Hz?",
        )

    def _classified(self, due: list[tuple[Signal, float, float, tuple[str, ...]]]) -> list[LiveWindow]:
        if not due:
            return []
        reasons = [why_unreadable(ecg) for ecg, *_ in due]
        readable = [ecg for (ecg, *_), reason in zip(due, reasons, strict=True) if not reason]
        predictions = iter(self.classifier.predict_batch(readable))
        found = []
        for (_, start, stop, clock), reason in zip(due, reasons, strict=True):
            prediction = None if reason else next(predictions)
            self._recent.append(() if prediction is None else prediction.present)
            confirmed = tuple(
                label.name
                for label in self.classifier.labels
                if sum(label.name in present for present in self._recent) >= self.persistence[0]
            )
            found.append(LiveWindow(start, stop, prediction, reason, confirmed, clock))
        return found


def _rows_of(
    preparation: Preparation, names: Sequence[str] | None, unit: str | Sequence[str] | None
) -> tuple[tuple[str, ...], tuple[str, ...] | None, float]:
    """What is pushed to a stream: names, units (None: an ECG's), and by what it is multiplied to be in them."""
    if preparation.is_ecg:
        leads = preparation.channels if names is None else canonical_leads(names, SOURCE)
        return leads, None, required_millivolts(_one(unit), SOURCE, "the unit")
    channels = preparation.channels if names is None else tuple(names)
    if unit is not None:
        return channels, (unit,) * len(channels) if isinstance(unit, str) else tuple(unit), 1.0
    usual = dict(zip(preparation.channels, preparation.units, strict=True))
    return channels, tuple(usual.get(name, "") for name in channels), 1.0


def _one(unit: str | Sequence[str] | None) -> str:
    if unit is None:
        return UNIT
    return unit if isinstance(unit, str) else ", ".join(unit)
