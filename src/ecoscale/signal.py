"""The signal contract: channels by name, each with its unit, at one rate, and the checks that every read runs.

`ecoscale.ecg.ECG` is the clinical case. Reading files belongs to `ecoscale.formats`; nothing here guesses a unit, a
rate or a name.
"""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass, replace
from fractions import Fraction
from functools import lru_cache
from numbers import Real
from typing import TYPE_CHECKING, ClassVar, Self

import numpy as np

from ecoscale.errors import ChannelError, SignalError
from ecoscale.filtering import resample
from ecoscale.units import plain_unit, unit_factor

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import ArrayLike, NDArray

# Limits of the checks, none of which knows what is measured.
FLAT_SHARE = 0.5
SATURATED_RUN = 3
SATURATED_RATIO = 8
SATURATED_VALUES = 32


@dataclass(frozen=True, eq=False)
class Signal:
    """One recording of any kind.

    Parameters
    ----------
    signal
        `(channels, samples)`, each channel in its unit; stored as float32. NaN marks a missing sample.
    rate
        Samples per second (Hz).
    channels
        Names in the order of the rows of `signal`, none twice.
    units
        One for all channels, such as `"uV"`, or one a channel; stored as one a channel, micro signs as `u`. An empty
        text is a number without a unit.
    source
        Where it came from, usually the path that was read.
    record
        The name of the recording within its source (a record name, an exam id).
    notes
        What the reader did that the user should know (padding removed, a unit given by hand). They come out in the
        `warnings` of every result.

    Raises
    ------
    SignalError
        If the signal is not a non-empty `(channels, samples)` array, the rate is not a positive number, or there is
        neither one unit nor one for each channel.
    ChannelError
        If a name is empty or occurs twice, or the number of names differs from the number of rows.
    """

    signal: NDArray[np.float32]
    rate: float
    channels: tuple[str, ...]
    units: Sequence[str]
    _: KW_ONLY
    source: str = ""
    record: str = ""
    notes: tuple[str, ...] = ()

    _kind: ClassVar[str] = "signal"
    _row: ClassVar[str] = "channel"
    _wrong_names: ClassVar[type[ChannelError]] = ChannelError

    def __post_init__(self) -> None:
        try:
            signal = np.asarray(self.signal, dtype=np.float32)
        except (TypeError, ValueError) as error:
            raise SignalError(f"{self._where}: the signal is not an array of numbers ({error})") from error
        if signal.ndim != 2 or signal.size == 0:
            raise SignalError(
                f"{self._where}: the signal has shape {signal.shape}; expected ({self._row}s, samples), not empty"
            )
        if not _is_rate(self.rate):
            raise SignalError(
                f"{self._where}: the rate is {self.rate!r}; expected a positive number of samples per second"
            )
        channels = self._checked_names(len(signal))
        units = (self.units,) * len(channels) if isinstance(self.units, str) else tuple(self.units)
        if len(units) != len(channels):
            raise SignalError(
                f"{self._where}: {len(units)} units for {len(channels)} channels; expected one for all or one a channel"
            )
        object.__setattr__(self, "signal", signal)
        object.__setattr__(self, "rate", float(self.rate))
        object.__setattr__(self, "channels", channels)
        object.__setattr__(self, "units", tuple(map(plain_unit, units)))
        object.__setattr__(self, "notes", tuple(self.notes))

    def _checked_names(self, n_rows: int) -> tuple[str, ...]:
        if isinstance(self.channels, str):
            raise ChannelError(f"{self._where}: channels is the text {self.channels!r}; expected names, one a row")
        names = tuple(self.channels)
        if len(names) != n_rows:
            raise self._wrong_names(
                f"{self._where}: {len(names)} {self._row} names for {n_rows} rows of signal; the signal must be "
                f"({self._row}s, samples), one name a row"
            )
        self._refuse_unknown(names)
        if len(set(names)) != len(names):
            raise self._wrong_names(f"{self._where}: a {self._row} is named twice in {', '.join(names)}")
        return names

    def _refuse_unknown(self, names: tuple[str, ...]) -> None:
        if not all(names):
            raise ChannelError(f"{self._where}: a channel has no name among {', '.join(map(repr, names))}")

    @property
    def _where(self) -> str:
        return self.source or f"this {self._kind}"

    @property
    def n_channels(self) -> int:
        """Number of channels."""
        return self.signal.shape[0]

    @property
    def n_samples(self) -> int:
        """Samples in each channel."""
        return self.signal.shape[1]

    @property
    def duration(self) -> float:
        """Length in seconds."""
        return self.n_samples / self.rate

    def __repr__(self) -> str:
        name = " ".join(filter(None, (self.source, self.record))) or self._kind
        return f"<{name}: {self.n_channels} {self._row}s, {self.duration:.2f} s at {self.rate:g} Hz>"

    def select(self, channels: Iterable[str]) -> Self:
        """These channels, in this order. Raises `ChannelError` naming those that are missing."""
        wanted = tuple(channels)
        if wanted == self.channels:
            return self
        if missing := [name for name in wanted if name not in self.channels]:
            raise self._wrong_names(
                f"{self._where}: no {self._row} {', '.join(missing)} (it has {', '.join(self.channels)})"
                + self._remedy_of_missing()
            )
        rows = [self.channels.index(name) for name in wanted]
        return self._with_rows(self.signal[rows], wanted, tuple(self.units[row] for row in rows))

    def _remedy_of_missing(self) -> str:
        return "; names are compared letter by letter"

    def _with_rows(self, signal: NDArray[np.float32], channels: tuple[str, ...], units: tuple[str, ...]) -> Self:
        return replace(self, signal=signal, channels=channels, units=units)

    def in_units(self, units: Sequence[str]) -> Self:
        """Each channel in the unit asked for, one a channel: voltages are converted (V, mV, uV, nV).

        Raises `SignalError` naming the channel where any other unit differs.
        """
        if tuple(units) == self.units:
            return self
        factors = [unit_factor(own, wanted) for own, wanted in zip(self.units, units, strict=True)]
        for name, own, wanted, factor in zip(self.channels, self.units, units, factors, strict=True):
            if factor is None:
                raise SignalError(
                    f"{self._where}: channel {name} is in {own!r}; expected {wanted!r}: convert the samples, or state "
                    f"the unit as {wanted!r} if it is the same"
                )
        column = np.array(factors, dtype=np.float32)[:, None]
        return self._with_rows(self.signal * column, self.channels, tuple(map(plain_unit, units)))

    def fill_gaps(self) -> Self:
        """Missing (not finite) samples filled by linear interpolation within their channel; zeros in an empty one."""
        if bool(np.isfinite(self.signal).all()):
            return self
        good = np.isfinite(self.signal)
        signal = np.zeros_like(self.signal)
        samples = np.arange(self.n_samples)
        for row, channel, ok in zip(signal, self.signal, good, strict=True):
            if ok.any():
                row[:] = np.interp(samples, samples[ok], channel[ok])
        return replace(self, signal=signal)

    def resample(self, rate: float) -> Self:
        """At another rate in Hz, by polyphase filtering (anti-aliased; `ecoscale.filtering.resample`).

        Missing samples are filled first (`fill_gaps`): a filter would spread them.
        """
        if rate == self.rate:
            return self
        if not _is_rate(rate):
            raise SignalError(f"cannot resample to {rate!r} Hz; expected a positive rate")
        ratio = _ratio(rate / self.rate)
        if ratio == 0:
            raise SignalError(f"cannot resample from {self.rate:g} to {rate:g} Hz: the ratio is out of range")
        whole = self.fill_gaps()
        return replace(whole, signal=resample(whole.signal, ratio.numerator, ratio.denominator), rate=rate)

    def check(self) -> tuple[str, ...]:
        """What is doubtful about this recording, each as `code: explanation`; empty when nothing is.

        Codes: `missing_samples`, `constant_channel`, `flat_channel` (no change for half of the recording) and
        `saturated`. The reader's own `notes` come first.
        """
        whole = self.fill_gaps().signal
        return (*self.notes, *self._missing(whole), *self._doubts(whole))

    def _missing(self, whole: NDArray[np.float32]) -> list[str]:
        """What is said of samples that `whole` has and the signal has not."""
        if whole is self.signal:
            return []
        finite = np.isfinite(self.signal)
        share = {name: 1 - ok.mean() for name, ok in zip(self.channels, finite, strict=True) if not ok.all()}
        return [
            "missing_samples: "
            + ", ".join(f"{name} {100 * part:.1f} %" for name, part in share.items())
            + " not a number; filled by interpolation for classification"
        ]

    def _doubts(self, whole: NDArray[np.float32]) -> list[str]:
        """What is doubtful about a signal without gaps."""
        found = []
        resting = dict(self._resting(whole, max(2, FLAT_SHARE * self.n_samples)))
        constant = [name for name, run in resting.items() if run == self.n_samples]
        if constant:
            found.append(f"constant_channel: {', '.join(constant)} is the same number throughout; sensor off, or empty")
        if flat := [f"{name} {run / self.rate:.3g} s" for name, run in resting.items() if name not in constant]:
            found.append(f"flat_channel: no change at all in {', '.join(flat)}; sensor off, or padding")
        saturated = [name for name, row in zip(self.channels, whole, strict=True) if _is_clipped(row)]
        if saturated:
            found.append(
                f"saturated: {', '.join(saturated)} rests at its extreme value; the sensor or amplifier clipped"
            )
        return found

    def _resting(self, whole: NDArray[np.float32], shortest: float) -> list[tuple[str, int]]:
        """Channels that rest for at least so many samples, each with its longest rest in samples."""
        # A rest that long holds four neighbours of samples a quarter as far apart; most channels have no such four.
        apart = whole[:, :: max(1, int(shortest / 4))]
        same = apart[:, 1:] == apart[:, :-1]
        resting = same[:, 2:] & same[:, 1:-1] & same[:, :-2]
        suspects = np.flatnonzero(resting.any(axis=1) | (shortest < 4))
        runs = [(self.channels[row], longest_run(whole[row])) for row in suspects]
        return [(name, run) for name, run in runs if run >= shortest]


def _is_clipped(row: NDArray[np.float32]) -> bool:
    """Whether a channel takes its extreme value far more often than the next one, and rests there.

    A sine in steps, which lingers at its ends, takes the last step about 2.4 times as often as the one before, however
    fine they are. Signals of few values say nothing, and zeros are padding, or what a count begins at.
    """
    values, counts = np.unique(row, return_counts=True)
    if len(values) < SATURATED_VALUES:
        return False
    return any(
        values[end] != 0
        and counts[end] >= SATURATED_RATIO * counts[beside]
        and longest_run(np.where(row == values[end], 0, np.arange(1, len(row) + 1))) >= SATURATED_RUN
        for end, beside in ((0, 1), (-1, -2))
    )


@lru_cache(maxsize=16)
def _ratio(factor: float) -> Fraction:
    return Fraction(factor).limit_denominator(2000)


def _is_rate(rate: object) -> bool:
    return isinstance(rate, Real) and 0 < float(rate) < np.inf


def longest_run(row: ArrayLike) -> int:
    """Length in samples of the longest stretch without any change in a one-dimensional signal."""
    row = np.asarray(row)
    edges = np.flatnonzero(np.concatenate(([True], row[1:] != row[:-1], [True])))
    return int(np.diff(edges).max())
