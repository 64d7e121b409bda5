"""How far a probability can be taken at its word."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

CALIBRATION_BINS = 15
"""Bins of equal width between 0 and 1, as in Guo et al. 2017 (arXiv 1706.04599)."""


@dataclass(frozen=True, eq=False)
class ReliabilityCurve:
    """One class's predicted probabilities against what came true, in bins of equal width; empty bins left out.

    `predicted` is the mean probability in each bin, `observed` the share of positives, `count` the records.
    """

    predicted: NDArray[np.float64]
    observed: NDArray[np.float64]
    count: NDArray[np.int64]

    @property
    def expected_calibration_error(self) -> float:
        """Mean of |observed - predicted| over the records; NaN where there are none."""
        if not self.count.sum():
            return float("nan")
        return float(np.average(np.abs(self.observed - self.predicted), weights=self.count))


def reliability_curve(labels: ArrayLike, probabilities: ArrayLike, n_bins: int = CALIBRATION_BINS) -> ReliabilityCurve:
    """The reliability curve of one class: `labels` and `probabilities` `(records,)`, unknown labels (-1) left out."""
    truth = np.asarray(labels)
    known = truth >= 0
    truth, scores = truth[known], np.asarray(probabilities, dtype=np.float64)[known]
    bins = calibration_bin(scores, n_bins)
    count = np.bincount(bins, minlength=n_bins)
    filled = count > 0
    return ReliabilityCurve(
        predicted=np.bincount(bins, scores, minlength=n_bins)[filled] / count[filled],
        observed=np.bincount(bins, truth, minlength=n_bins)[filled] / count[filled],
        count=count[filled],
    )


def calibration_bin(probabilities: NDArray[np.float64], n_bins: int = CALIBRATION_BINS) -> NDArray[np.intp]:
    """The bin of each probability, from 0."""
    return np.searchsorted(np.linspace(0, 1, n_bins + 1)[1:-1], probabilities)


def expected_calibration_error(labels: ArrayLike, probabilities: ArrayLike, n_bins: int = CALIBRATION_BINS) -> float:
    """Expected calibration error of one class, over `n_bins` bins of equal width; NaN where no label is known."""
    return reliability_curve(labels, probabilities, n_bins).expected_calibration_error
