"""Where a probability becomes a decision, and what F1 is worth when the same records chose the threshold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from scipy.spatial import ConvexHull
from sklearn.metrics import precision_recall_curve

from ecoscale.evaluation._arrays import (
    EvaluationError,
    Number,
    checked,
    checked_names,
    mean_of_defined,
    patient_index,
)
from ecoscale.evaluation.metrics import decision_rates

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

ThresholdMethod = Literal["f1", "sensitivity"]

DEFAULT_THRESHOLD = 0.5
"""What a class gets that has too few positives to choose by."""


@dataclass(frozen=True, eq=False)
class ChosenThresholds:
    """Thresholds and how they were chosen.

    `values` is `(classes,)`; `left` and `warnings` name the classes that had too few positives and got 0.5.
    """

    values: NDArray[np.float64]
    method: ThresholdMethod
    target: float | None = None
    warnings: tuple[str, ...] = ()
    left: tuple[str, ...] = ()


@dataclass(frozen=True)
class CrossFittedF1:
    """F1 with each record's decision made at a threshold that other patients' records chose.

    `f1` holds each class by name, NaN where fewer than two patients have it; `macro` is the mean of the others.
    """

    f1: dict[str, Number]
    macro: Number
    n_folds: int
    seed: int


def choose_thresholds(
    labels: ArrayLike,
    probabilities: ArrayLike,
    method: ThresholdMethod = "f1",
    target: float | None = None,
    names: Sequence[str] | None = None,
    *,
    fewest_positives: int = 1,
) -> ChosenThresholds:
    """Choose a threshold for each class.

    It lies midway between two neighbouring probabilities that occur, so that it does not hang on the last digit of
    one record.

    Parameters
    ----------
    labels
        `(records, classes)`, 1 present, 0 absent, -1 unknown.
    probabilities
        `(records, classes)`, in [0, 1].
    method
        `"f1"`: the highest F1 on these records, the higher threshold among equals. `"sensitivity"`: the highest
        threshold whose sensitivity on these records is at least `target`.
    target
        The wanted sensitivity, in (0, 1]; only with `"sensitivity"`.
    names
        The classes' names, for the warnings.
    fewest_positives
        With fewer a class keeps 0.5 and gets a warning: the best F1 of two or three records hangs on chance, and may
        lie at a threshold that every other record passes.

    Raises
    ------
    EvaluationError
        If the arrays do not fit together, or method and target do not.
    """
    truth, scores = checked(labels, probabilities)
    if method not in ("f1", "sensitivity"):
        raise EvaluationError(f"method is {method!r}; expected 'f1' or 'sensitivity'")
    if method == "sensitivity" and (target is None or not 0 < target <= 1):
        raise EvaluationError(f"target is {target}; method 'sensitivity' needs a sensitivity above 0 and up to 1")
    if method == "f1" and target is not None:
        raise EvaluationError(f"target is {target}; it has a meaning with method 'sensitivity' only")
    names = checked_names(names, truth.shape[1])
    values = np.full(truth.shape[1], DEFAULT_THRESHOLD)
    warnings, left = [], []
    for position, name in enumerate(names):
        known = truth[:, position] >= 0
        column = truth[known, position]
        positives = int((column == 1).sum())
        if positives >= max(1, fewest_positives):
            values[position] = _choose_one(column, scores[known, position], target)
        else:
            there_are = {0: "there are no positives", 1: "there is one positive"}.get(
                positives, f"there are only {positives} positives"
            )
            warnings.append(f"{name}: threshold left at {DEFAULT_THRESHOLD}, {there_are} to choose by")
            left.append(name)
    return ChosenThresholds(values, method, target, tuple(warnings), tuple(left))


def _choose_one(column: NDArray[np.int8], scores: NDArray[np.float64], sensitivity: float | None) -> float:
    """The threshold of one class that has positives: best F1, or the highest that reaches `sensitivity`."""
    precision, recall, distinct = precision_recall_curve(column, scores)
    precision, recall = precision[:-1], recall[:-1]  # the last point calls nothing positive and has no threshold
    if sensitivity is None:
        together = precision + recall
        f1 = np.divide(2 * precision * recall, together, out=np.zeros_like(together), where=together > 0)
        # Equal F1 can differ in its last bits.
        good = f1 >= f1.max() - 1e-12
    else:
        good = recall >= sensitivity - 1e-12
    best = int(np.flatnonzero(good)[-1])
    return _midway(distinct[best - 1] if best else 0.0, distinct[best])


def operating_points(labels: ArrayLike, probabilities: ArrayLike) -> tuple[tuple[float, float, float], ...]:
    """The thresholds of one class among which the F1-optimal one lies, whatever the prevalence.

    At any prevalence, points of equal F1 lie on a straight line of the ROC plane, so that the best of all is a corner
    of the ROC curve's convex hull (Provost and Fawcett 2001, doi 10.1023/A:1007601015854). They are few.

    Parameters
    ----------
    labels
        `(records,)`, 1 present, 0 absent, -1 unknown.
    probabilities
        `(records,)`, in [0, 1].

    Returns
    -------
    tuple
        `(threshold, sensitivity, specificity)` of each corner, the highest threshold first; empty for a class that
        lacks positives or negatives.
    """
    truth, scores = checked(np.asarray(labels)[:, None], np.asarray(probabilities)[:, None])
    known = truth[:, 0] >= 0
    column, scores = truth[known, 0], scores[known, 0]
    n_positive, n_negative = int((column == 1).sum()), int((column == 0).sum())
    if not n_positive or not n_negative:
        return ()
    distinct, place = np.unique(-scores, return_inverse=True)
    hits = np.cumsum(np.bincount(place, column == 1))
    alarms = np.cumsum(np.bincount(place, column == 0))
    # With both ends of the axis below the curve, only its upper side can be a corner.
    below = np.array([[0, 0], [n_negative, 0]])
    corners = ConvexHull(np.concatenate([np.stack([alarms, hits], axis=1), below])).vertices
    reached = (-np.append(distinct, 0.0)).tolist()
    return tuple(
        (
            _midway(reached[corner + 1], reached[corner]),
            float(hits[corner] / n_positive),
            float(1 - alarms[corner] / n_negative),
        )
        for corner in sorted(corners)
        if corner < distinct.size
    )


def _midway(below: float, reached: float) -> float:
    """A threshold between two neighbouring probabilities that lets the upper one through and the lower one not."""
    midway = (below + reached) / 2
    return float(midway if midway > below else reached)


def cross_fitted_f1(
    labels: ArrayLike,
    probabilities: ArrayLike,
    patients: ArrayLike | None = None,
    names: Sequence[str] | None = None,
    *,
    n_folds: int = 5,
    seed: int = 0,
) -> CrossFittedF1:
    """F1 at F1-optimal thresholds, honest where thresholds must be chosen and measured on the same records.

    For each class the patients are dealt into `n_folds` parts, those with the finding evenly; each part is decided
    at the threshold that the other parts choose; the decisions of all parts are counted together.

    Parameters
    ----------
    labels
        `(records, classes)`, 1 present, 0 absent, -1 unknown.
    probabilities
        `(records, classes)`, in [0, 1].
    patients
        `(records,)` ids, whose records stay together; None makes each record its own patient.
    names
        The classes' names.
    n_folds
        Parts, at least 2.
    seed
        Of the dealing.

    Raises
    ------
    EvaluationError
        If the arrays do not fit together or there are fewer patients than parts.
    """
    truth, scores = checked(labels, probabilities)
    names = checked_names(names, truth.shape[1])
    patient, n_patients = patient_index(patients, truth.shape[0])
    if not 2 <= n_folds <= n_patients:
        raise EvaluationError(f"n_folds is {n_folds}; expected at least 2 and at most the {n_patients} patients")
    generator = np.random.default_rng(seed)
    found = {}
    for position, name in enumerate(names):
        known = truth[:, position] >= 0
        column, score, owner = truth[known, position], scores[known, position], patient[known]
        order = generator.permutation(n_patients)
        has_finding = np.bincount(owner, column == 1, minlength=n_patients) > 0
        if has_finding.sum() < 2:
            found[name] = float("nan")
            continue
        dealt = order[np.argsort(~has_finding[order], kind="stable")]
        part = np.empty(n_patients, dtype=np.intp)
        part[dealt] = np.arange(n_patients) % n_folds
        called = np.zeros(column.size, dtype=bool)
        for left_out in range(n_folds):
            inside = part[owner] == left_out
            called[inside] = score[inside] >= _choose_one(column[~inside], score[~inside], None)
        rates = decision_rates(
            tp=(called & (column == 1)).sum(),
            fp=(called & (column == 0)).sum(),
            fn=(~called & (column == 1)).sum(),
            tn=(~called & (column == 0)).sum(),
        )
        found[name] = float(rates["f1"])
    return CrossFittedF1(found, float(mean_of_defined(np.array(list(found.values())))), n_folds, seed)
