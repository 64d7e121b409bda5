"""Series of one or of several lengths as one array, and their standardisation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from ecoscale.errors import SeriesError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

Standardise = Literal["training", "series"]


@dataclass(frozen=True)
class SeriesSet:
    """`values` `(cases, channels, longest)`, and `lengths` `(cases,)` where they differ; zeros fill shorter ones up.

    Nothing that is computed from a set depends on what its series are filled up with.
    """

    values: NDArray[np.floating]
    lengths: NDArray[np.int64] | None = None

    @classmethod
    def of(cls, series: NDArray[np.floating] | Sequence[NDArray[np.floating]]) -> SeriesSet:
        """From `(cases, channels, samples)`, or from a `(channels, samples)` for each case.

        Raises `SeriesError` where the numbers of channels differ.
        """
        if isinstance(series, np.ndarray):
            return cls(series)
        channels = sorted({len(case) for case in series})
        if len(channels) > 1:
            raise SeriesError(f"series of {' and '.join(map(str, channels))} channels; expected as many in each")
        lengths = np.array([case.shape[-1] for case in series])
        values = np.zeros((len(series), channels[0], lengths.max()))
        for row, case in zip(values, series, strict=True):
            row[:, : case.shape[-1]] = case
        return cls(values, None if (lengths == lengths[0]).all() else lengths)

    def __len__(self) -> int:
        return len(self.values)

    @property
    def n_channels(self) -> int:
        """Channels of a series."""
        return self.values.shape[1]

    @property
    def longest(self) -> int:
        """Samples of the longest series."""
        return self.values.shape[-1]

    @property
    def shortest(self) -> int:
        """Samples of the shortest series."""
        return self.longest if self.lengths is None else int(self.lengths.min())

    @property
    def _inside(self) -> NDArray[np.bool_]:
        """`(cases, 1, longest)`: which samples are a series' own."""
        lengths = np.full(len(self), self.longest) if self.lengths is None else self.lengths
        return np.arange(self.longest) < lengths[:, None, None]

    def take(self, cases: NDArray[np.int64] | slice) -> SeriesSet:
        """Some of the series, filled up to the longest of them."""
        if self.lengths is None:
            return SeriesSet(self.values[cases])
        lengths = self.lengths[cases]
        return SeriesSet(self.values[cases][..., : lengths.max()], lengths)

    def at_least(self, n_samples: int) -> SeriesSet:
        """The same, series of fewer samples filled up to so many by zeros that count as their own."""
        if self.shortest >= n_samples:
            return self
        missing = max(0, n_samples - self.longest)
        values = np.pad(self.values, ((0, 0), (0, 0), (0, missing)))
        return SeriesSet(values, None if self.lengths is None else self.lengths.clip(min=n_samples))

    def moments(self, *, each: bool = False) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
        """Mean and standard deviation of each channel: `(channels, 1)` of all series, `(cases, channels, 1)` of `each`.

        A channel that does not change has a deviation of 1.
        """
        axes = (2,) if each else (0, 2)
        inside = self._inside
        values = self.values.astype(np.float64, copy=False)
        mean = values.mean(axis=axes, keepdims=True, where=inside)
        deviation = values.std(axis=axes, keepdims=True, where=inside)
        deviation = np.where(deviation > 1e-12 * np.abs(mean), deviation, 1.0)
        return (mean, deviation) if each else (mean[0], deviation[0])

    def standardised(self, mean: NDArray[np.floating], deviation: NDArray[np.floating]) -> SeriesSet:
        """Less the mean, by the deviation, in single precision."""
        values = ((self.values - mean) / deviation).astype(np.float32)
        if self.lengths is not None:
            values[np.broadcast_to(~self._inside, values.shape)] = 0
        return SeriesSet(values, self.lengths)
