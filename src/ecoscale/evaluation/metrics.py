"""What a set of probabilities is worth, per class and as the mean over the classes (macro)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from sklearn.metrics import average_precision_score, roc_auc_score

from ecoscale.evaluation._arrays import (
    Number,
    checked,
    checked_labels,
    checked_names,
    checked_scores,
    checked_thresholds,
    decisions,
    mean_of_defined,
)
from ecoscale.evaluation.reliability import expected_calibration_error

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

METRICS = ("auroc", "average_precision", "f1", "sensitivity", "specificity", "ppv", "npv", "ece", "brier")


@dataclass(frozen=True)
class ClassMetrics:
    """One class, measured over the records whose label is known.

    `auroc` and `average_precision` do not depend on the threshold; `ece` (15 bins of equal width) and `brier` measure
    calibration. What cannot be computed is NaN: AUROC without positives or without negatives; average precision,
    F1 and sensitivity without positives; specificity without negatives; `ppv` (precision) where nothing is called
    positive; `npv` where nothing is called negative. `threshold` is NaN for classes that exclude each other, of which
    the most probable one is called positive.
    """

    name: str
    threshold: Number
    positives: int
    negatives: int
    unknown: int
    tp: int
    fp: int
    fn: int
    tn: int
    auroc: Number
    average_precision: Number
    f1: Number
    sensitivity: Number
    specificity: Number
    ppv: Number
    npv: Number
    ece: Number
    brier: Number


@dataclass(frozen=True)
class Metrics:
    """All classes, and for each of `METRICS` the mean over the classes where it is defined.

    `undefined` names, for each metric that needs it, the classes left out of its mean.
    """

    classes: tuple[ClassMetrics, ...]
    macro: dict[str, Number]
    undefined: dict[str, tuple[str, ...]]

    def __getitem__(self, name: str) -> ClassMetrics:
        return next(found for found in self.classes if found.name == name)


def decision_counts(
    labels: ArrayLike, probabilities: ArrayLike, thresholds: ArrayLike | None
) -> dict[str, NDArray[np.int64]]:
    """`tp`, `fp`, `fn` and `tn`, each `(classes,)`; a probability that equals its threshold counts as present.

    Without thresholds the classes exclude each other, and the most probable one counts as present.
    """
    truth, scores = checked(labels, probabilities, single_label=thresholds is None)
    called = decisions(scores, thresholds)
    present, absent = truth == 1, truth == 0
    return {
        "tp": (called & present).sum(axis=0),
        "fp": (called & absent).sum(axis=0),
        "fn": (~called & present).sum(axis=0),
        "tn": (~called & absent).sum(axis=0),
    }


def decision_rates(tp: ArrayLike, fp: ArrayLike, fn: ArrayLike, tn: ArrayLike) -> dict[str, NDArray[np.float64]]:
    """F1, sensitivity, specificity, PPV and NPV of counts (or sums of weights) of any one shape; NaN where undefined.

    F1 is undefined where there are no positives: it would count false alarms only.
    """
    tp, fp, fn, tn = (np.asarray(count, dtype=np.float64) for count in (tp, fp, fn, tn))

    def share(part: NDArray[np.float64], whole: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.divide(part, whole, out=np.full(part.shape, np.nan), where=whole > 0)

    return {
        "f1": np.where(tp + fn > 0, share(2 * tp, 2 * tp + fp + fn), np.nan),
        "sensitivity": share(tp, tp + fn),
        "specificity": share(tn, tn + fp),
        "ppv": share(tp, tp + fp),
        "npv": share(tn, tn + fn),
    }


def class_auroc(labels: ArrayLike, scores: ArrayLike) -> NDArray[np.float64]:
    """AUROC of each class `(classes,)` from any finite scores, logits too; NaN without positives or negatives."""
    truth = checked_labels(labels)
    values = checked_scores(scores, truth.shape, "scores")
    found = np.full(truth.shape[1], np.nan)
    for position, (column, score) in enumerate(zip(truth.T, values.T, strict=True)):
        known = column >= 0
        if (column == 0).any() and (column == 1).any():
            found[position] = roc_auc_score(column[known], score[known])
    return found


def macro_auroc(labels: ArrayLike, scores: ArrayLike) -> float:
    """Mean AUROC over the classes that have positives and negatives; NaN if none has. Logits will do as scores."""
    return float(mean_of_defined(class_auroc(labels, scores)))


def measure(
    labels: ArrayLike,
    probabilities: ArrayLike,
    thresholds: ArrayLike | None = 0.5,
    names: Sequence[str] | None = None,
) -> Metrics:
    """Measure every class and the macro means.

    Parameters
    ----------
    labels
        `(records, classes)`, 1 present, 0 absent, -1 unknown. An unknown label takes its record out of that class
        and out of no other.
    probabilities
        `(records, classes)`, in [0, 1].
    thresholds
        `(classes,)`, or one for all; a probability that reaches it counts as present. None: the classes exclude each
        other, and the most probable one counts as present. Each class is then measured against the rest.
    names
        The classes' names.

    Raises
    ------
    EvaluationError
        If the arrays do not fit together or hold what they may not.
    """
    truth, scores = checked(labels, probabilities, single_label=thresholds is None)
    n_classes = truth.shape[1]
    names, counts = checked_names(names, n_classes), decision_counts(truth, scores, thresholds)
    at = np.full(n_classes, np.nan) if thresholds is None else checked_thresholds(thresholds, n_classes)
    values = decision_rates(**counts) | {
        "auroc": class_auroc(truth, scores),
        "average_precision": np.full(n_classes, np.nan),
        "ece": np.full(n_classes, np.nan),
        "brier": np.full(n_classes, np.nan),
    }
    for position in range(n_classes):
        known = truth[:, position] >= 0
        column, score = truth[known, position], scores[known, position]
        if (column == 1).any():
            values["average_precision"][position] = average_precision_score(column, score)
        if column.size:
            values["ece"][position] = expected_calibration_error(column, score)
            values["brier"][position] = np.mean((score - column) ** 2)
    classes = tuple(
        ClassMetrics(
            name=name,
            threshold=float(at[position]),
            positives=int((truth[:, position] == 1).sum()),
            negatives=int((truth[:, position] == 0).sum()),
            unknown=int((truth[:, position] == -1).sum()),
            tp=int(counts["tp"][position]),
            fp=int(counts["fp"][position]),
            fn=int(counts["fn"][position]),
            tn=int(counts["tn"][position]),
            **{key: float(values[key][position]) for key in METRICS},
        )
        for position, name in enumerate(names)
    )
    left_out = {
        key: tuple(name for name, value in zip(names, values[key], strict=True) if np.isnan(value)) for key in METRICS
    }
    return Metrics(
        classes=classes,
        macro={key: float(mean_of_defined(values[key])) for key in METRICS},
        undefined={key: missing for key, missing in left_out.items() if missing},
    )


def decimals(value: float, digits: int = 3) -> str:
    """Three decimals without the leading zero, as the field prints shares; a dash for NaN."""
    if math.isnan(value):
        return "–"  # noqa: RUF001
    text = f"{value:.{digits}f}"
    return text[1:] if text.startswith("0.") else text
