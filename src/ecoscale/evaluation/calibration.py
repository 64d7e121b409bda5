"""Fitting what turns logits into probabilities: Platt's scaling, one temperature, or centred isotonic regression.

Of classes that exclude each other, it is the temperature of their softmax.

Every method is strictly increasing, so that AUROC and average precision stay what they were.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import minimize, root_scalar
from scipy.special import expit, logit, softmax
from sklearn.isotonic import isotonic_regression

from ecoscale.calibration import METHODS, SINGLE_LABEL_METHODS, Calibration, CalibrationCurve
from ecoscale.evaluation._arrays import (
    EvaluationError,
    checked_labels,
    checked_names,
    checked_scores,
    refuse_several_classes,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

    from ecoscale.calibration import CalibrationMethod

    Known = tuple[NDArray[np.bool_], NDArray[np.float64]]
    """Of one class: whether each known record is positive, and its logit."""


def fit_calibration(
    labels: ArrayLike,
    logits: ArrayLike,
    method: CalibrationMethod = "platt",
    names: Sequence[str] | None = None,
    *,
    single_label: bool = False,
) -> Calibration:
    """Fit a calibration to each class's logits.

    All methods fit to Platt's targets, (P + 1) / (P + 2) and 1 / (N + 2) for P positives and N negatives, so that
    classes that the network separates perfectly do not get an infinite slope (Platt 1999, section 2.2).

    Parameters
    ----------
    labels
        `(records, classes)`, 1 present, 0 absent, -1 unknown.
    logits
        `(records, classes)`.
    method
        - `"platt"`: a slope and an intercept for each class (Platt 1999).
        - `"temperature"`: all logits divided by one temperature, which every class that has positives and negatives
          takes part in fitting (Guo et al. 2017, arXiv 1706.04599, section 4.2).
        - `"isotonic"`: for each class isotonic regression (Zadrozny and Elkan 2002) with each plateau shrunk to its
          centre and straight lines in log-odds between the centres, after centred isotonic regression (Oron and
          Flournoy 2017, Statistics in Biopharmaceutical Research 9, 258-267): plateaus would make records equal that
          the network tells apart, and lower AUROC. Beyond the outermost centres it goes on with Platt's slope.
        - `"none"`: the sigmoid of the logit.
    names
        The classes' names, for the warnings.
    single_label
        The classes exclude each other. The method is then `"temperature"`, by which the logits are divided before
        their softmax (Guo et al. 2017, section 4.2), or `"none"`. It is fitted by maximum likelihood, to Platt's
        targets for K classes: (n + 1) / (n + K) for a record's own class, which n records have, and an equal share of
        the rest for the others. Records whose class is unknown are left out.

    Returns
    -------
    Calibration
        With the identity, and a warning, for a class that lacks positives or negatives, and for one whose slope
        comes out negative or zero: there the ranking would turn over.

    Raises
    ------
    EvaluationError
        If the arrays do not fit together, or there is no such method, or not for classes that exclude each other.
    """
    methods = SINGLE_LABEL_METHODS if single_label else tuple(METHODS)
    if method not in methods:
        raise EvaluationError(
            f"method is {method!r}; expected one of {', '.join(methods)}"
            + (" for classes that exclude each other" if single_label and method in METHODS else "")
        )
    truth = checked_labels(labels)
    scores = checked_scores(logits, truth.shape, "logits")
    names = checked_names(names, truth.shape[1])
    if method == "none":
        return Calibration(method, (CalibrationCurve(),) * len(names), single_label=single_label)
    if single_label:
        return _fit_softmax_temperature(truth, scores, names)
    columns: dict[str, Known] = {}
    for position, name in enumerate(names):
        known = truth[:, position] >= 0
        columns[name] = truth[known, position] == 1, scores[known, position]
    if method == "temperature":
        return _fit_temperature(columns)
    curves, warnings = [], []
    for name, (positive, score) in columns.items():
        curve, warning = CalibrationCurve(), _missing(positive)
        if not warning:
            slope, intercept = _fit_line(positive, score)
            if slope <= 0:
                warning = f"the fitted slope {slope:.3g} would turn the ranking over"
            elif method == "platt":
                curve = CalibrationCurve(slope, intercept)
            else:
                curve = CalibrationCurve(slope, knots=_fit_knots(positive, score))
        curves.append(curve)
        if warning:
            warnings.append(f"{name}: not calibrated, {warning}")
    return Calibration(method, tuple(curves), tuple(warnings))


def fit_platt(labels: ArrayLike, logits: ArrayLike, names: Sequence[str] | None = None) -> Calibration:
    """Fit Platt's scaling of each class's logit; see `fit_calibration`."""
    return fit_calibration(labels, logits, "platt", names)


def _missing(positive: NDArray[np.bool_]) -> str:
    """Why a class has nothing to fit on; empty if it has."""
    if positive.any() and not positive.all():
        return ""
    return f"there are no {'negatives' if positive.any() else 'positives'} to fit on"


def _targets(positive: NDArray[np.bool_]) -> tuple[float, float]:
    """Platt's targets of negatives and positives."""
    n_positive = int(positive.sum())
    return 1 / (positive.size - n_positive + 2), (n_positive + 1) / (n_positive + 2)


def _fit_line(positive: NDArray[np.bool_], score: NDArray[np.float64]) -> tuple[float, float]:
    """Slope and intercept of one class: logistic regression on Platt's targets."""
    # Fitted on the standardised logit, where one step size suits both parameters.
    centre, spread = score.mean(), score.std()
    if spread == 0:
        return 0.0, 0.0
    design = np.stack([(score - centre) / spread, np.ones_like(score)], axis=1)
    slope, intercept = _logistic_regression(design, np.where(positive, *reversed(_targets(positive))))
    return float(slope / spread), float(intercept - slope * centre / spread)


def _fit_temperature(columns: dict[str, Known]) -> Calibration:
    """One slope, the inverse of the temperature, for all classes."""
    missing = {name: reason for name, (positive, _) in columns.items() if (reason := _missing(positive))}
    warnings = [f"{name}: {reason}; it has the other findings' temperature" for name, reason in missing.items()]
    usable = [known for name, known in columns.items() if name not in missing]
    slope = 1.0
    if not usable:
        warnings = [f"{name}: not calibrated, {reason}" for name, reason in missing.items()]
    else:
        scores = np.concatenate([score for _, score in usable])
        target = np.concatenate([np.where(positive, *reversed(_targets(positive))) for positive, _ in usable])
        size = float(np.sqrt(np.mean(scores**2)))
        fitted = float(_logistic_regression(scores[:, None] / size, target)[0] / size) if size else 0.0
        if fitted > 0:
            slope = fitted
        else:
            warnings.append(f"not calibrated, the fitted slope {fitted:.3g} would turn the ranking over")
    return Calibration("temperature", (CalibrationCurve(slope),) * len(columns), tuple(warnings))


def _fit_softmax_temperature(truth: NDArray[np.int8], logits: NDArray[np.float64], names: Sequence[str]) -> Calibration:
    """One slope, the inverse of the temperature, for the softmax over all classes."""
    refuse_several_classes(truth)
    known = truth[:, 0] >= 0
    truth, logits = truth[known], logits[known]
    count = truth.sum(axis=0, dtype=np.int64)
    warnings = [
        f"{name}: there are no records of it to fit on; it has the other classes' temperature"
        for name, number in zip(names, count, strict=True)
        if not number and count.any()
    ]
    slope = 1.0
    # Against each row's mean: what all classes have in common, the softmax does not see.
    logits = logits - logits.mean(axis=1, keepdims=True)
    size = float(np.sqrt(np.mean(logits**2))) if len(logits) else 0.0
    if not size:
        warnings.append(
            f"not calibrated, there are no {'differences between logits' if len(logits) else 'records'} to fit on"
        )
    else:
        scores, own = logits / size, (count + 1) / (count + len(names))
        wanted = np.where(truth == 1, own, (1 - (truth * own).sum(axis=1, keepdims=True)) / (len(names) - 1))

        def rise(candidate: float) -> float:
            """Of the negative log-likelihood, which is convex in the slope."""
            return float(np.mean(((softmax(candidate * scores, axis=1) - wanted) * scores).sum(axis=1)))

        if rise(0.0) >= 0:
            warnings.append("not calibrated, the fitted slope is not positive and would turn the ranking over")
        else:
            above = 1.0
            while rise(above) <= 0:
                above *= 2
            slope = root_scalar(rise, bracket=(0.0, above), method="brentq", xtol=1e-12).root / size
    return Calibration("temperature", (CalibrationCurve(slope),) * len(names), tuple(warnings), single_label=True)


def _fit_knots(positive: NDArray[np.bool_], score: NDArray[np.float64]) -> tuple[tuple[float, float], ...]:
    """Centres of the plateaus of the isotonic regression: mean logit, and log-odds of the share of positives there.

    There are at least two, since Platt's slope is positive: the regression is flat only where nothing rises.
    """
    distinct, place, count = np.unique(score, return_inverse=True, return_counts=True)
    shares = isotonic_regression(np.bincount(place, positive) / count, sample_weight=count)
    # Plateaus of one share that differ in its last bits are one: as two they would be next to flat.
    values, plateau = np.unique(shares.round(12), return_inverse=True)
    centres = np.bincount(plateau, distinct * count) / np.bincount(plateau, count)
    low, high = _targets(positive)
    return tuple(zip(centres.tolist(), logit(low + values * (high - low)).tolist(), strict=True))


def _logistic_regression(design: NDArray[np.float64], target: NDArray[np.float64]) -> NDArray[np.float64]:
    """The parameters `(columns,)` that minimise the log loss against targets in (0, 1)."""

    def loss(parameters: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        activation = design @ parameters
        value = np.mean(np.logaddexp(0, activation) - target * activation)
        return float(value), design.T @ (expit(activation) - target) / target.size

    def curvature(parameters: NDArray[np.float64]) -> NDArray[np.float64]:
        probability = expit(design @ parameters)
        return (design.T * (probability * (1 - probability))) @ design / target.size

    start = np.zeros(design.shape[1])
    start[0] = 1.0
    return minimize(loss, x0=start, jac=True, hess=curvature, method="trust-exact", options={"gtol": 1e-9}).x
