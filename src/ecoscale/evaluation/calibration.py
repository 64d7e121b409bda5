"""How far a probability can be taken at its word, and Platt's correction where it cannot."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit

from ecoscale.evaluation._arrays import checked_labels, checked_names, checked_scores

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

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
    bins = np.searchsorted(np.linspace(0, 1, n_bins + 1)[1:-1], scores)
    count = np.bincount(bins, minlength=n_bins)
    filled = count > 0
    return ReliabilityCurve(
        predicted=np.bincount(bins, scores, minlength=n_bins)[filled] / count[filled],
        observed=np.bincount(bins, truth, minlength=n_bins)[filled] / count[filled],
        count=count[filled],
    )


def expected_calibration_error(labels: ArrayLike, probabilities: ArrayLike, n_bins: int = CALIBRATION_BINS) -> float:
    """Expected calibration error of one class, over `n_bins` bins of equal width; NaN where no label is known."""
    return reliability_curve(labels, probabilities, n_bins).expected_calibration_error


@dataclass(frozen=True, eq=False)
class PlattScaling:
    """Per class, `probability = sigmoid(slope * logit + intercept)`; unpacks as `slope, intercept`.

    `warnings` says which classes were left as they are (slope 1, intercept 0), and why.
    """

    slope: NDArray[np.float64]
    intercept: NDArray[np.float64]
    warnings: tuple[str, ...] = ()

    def __iter__(self) -> Iterator[NDArray[np.float64]]:
        return iter((self.slope, self.intercept))

    def probabilities(self, logits: ArrayLike) -> NDArray[np.float64]:
        """Calibrated probabilities `(records, classes)`."""
        return expit(np.asarray(logits, dtype=np.float64) * self.slope + self.intercept)


def fit_platt(labels: ArrayLike, logits: ArrayLike, names: Sequence[str] | None = None) -> PlattScaling:
    """Fit Platt's scaling of each class's logit.

    The targets are Platt's, (P + 1) / (P + 2) and 1 / (N + 2) for P positives and N negatives, so that classes that
    the network separates perfectly do not get an infinite slope (Platt 1999, section 2.2).

    Parameters
    ----------
    labels
        `(records, classes)`, 1 present, 0 absent, -1 unknown.
    logits
        `(records, classes)`.
    names
        The classes' names, for the warnings.

    Returns
    -------
    PlattScaling
        With the identity, and a warning, for a class that lacks positives or negatives, and for one whose slope
        comes out negative or zero: there the ranking would turn over.

    Raises
    ------
    EvaluationError
        If the arrays do not fit together.
    """
    truth = checked_labels(labels)
    scores = checked_scores(logits, truth.shape, "logits")
    n_classes = truth.shape[1]
    names = checked_names(names, n_classes)
    slope, intercept, warnings = np.ones(n_classes), np.zeros(n_classes), []
    for position, name in enumerate(names):
        known = truth[:, position] >= 0
        positive, logit = truth[known, position] == 1, scores[known, position]
        if positive.all() or not positive.any():
            missing = "positives" if not positive.any() else "negatives"
            warnings.append(f"{name}: not calibrated, there are no {missing} to fit on")
            continue
        fitted_slope, fitted_intercept = _fit_one(positive, logit)
        if fitted_slope <= 0:
            warnings.append(f"{name}: not calibrated, the fitted slope {fitted_slope:.3g} would turn the ranking over")
            continue
        slope[position], intercept[position] = fitted_slope, fitted_intercept
    return PlattScaling(slope, intercept, tuple(warnings))


def _fit_one(positive: NDArray[np.bool_], logit: NDArray[np.float64]) -> tuple[float, float]:
    """Slope and intercept of one class: logistic regression on Platt's targets."""
    n_positive = int(positive.sum())
    target = np.where(positive, (n_positive + 1) / (n_positive + 2), 1 / (positive.size - n_positive + 2))
    # Fitted on the standardised logit, where one step size suits both parameters.
    centre, spread = logit.mean(), logit.std()
    if spread == 0:
        return 0.0, 0.0
    design = np.stack([(logit - centre) / spread, np.ones_like(logit)], axis=1)

    def loss(parameters: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        activation = design @ parameters
        value = np.mean(np.logaddexp(0, activation) - target * activation)
        return float(value), design.T @ (expit(activation) - target) / target.size

    def curvature(parameters: NDArray[np.float64]) -> NDArray[np.float64]:
        probability = expit(design @ parameters)
        return (design.T * (probability * (1 - probability))) @ design / target.size

    slope, intercept = minimize(
        loss, x0=np.array([1.0, 0.0]), jac=True, hess=curvature, method="trust-exact", options={"gtol": 1e-9}
    ).x
    return float(slope / spread), float(intercept - slope * centre / spread)
