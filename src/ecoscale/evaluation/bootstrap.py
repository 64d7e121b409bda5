"""How sure a figure is: percentile intervals from resampling patients, not records.

A resample draws as many patients as there are, with replacement, each with all its records. It is kept as the number
of times that each record occurs, so that a thousand resamples cost a few sums over one sorted array.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ecoscale.evaluation._arrays import (
    EvaluationError,
    Number,
    checked,
    checked_names,
    decisions,
    mean_of_defined,
    patient_index,
)
from ecoscale.evaluation.metrics import decision_rates

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import ArrayLike, NDArray

RESAMPLED_METRICS = ("auroc", "average_precision", "f1", "sensitivity", "specificity")

# Record multiplicities held at a time: bounds the memory at about a hundred megabytes, whatever the number of records.
_BLOCK = 4_000_000


@dataclass(frozen=True)
class Interval:
    """An estimate and its percentile interval; `undefined` is the share of resamples in which it did not exist."""

    estimate: Number
    low: Number
    high: Number
    undefined: float = 0.0


@dataclass(frozen=True)
class BootstrapIntervals:
    """For each of `RESAMPLED_METRICS` an interval per class, and for the macro mean.

    `classes[name][metric]` and `macro[metric]`. A macro mean runs over the classes that a resample defines.
    """

    classes: dict[str, dict[str, Interval]]
    macro: dict[str, Interval]
    level: float
    n_resamples: int
    n_patients: int
    seed: int


@dataclass(frozen=True)
class PairedDifference:
    """First minus second, on the same resamples: `classes[name][metric]` and `macro[metric]`.

    `first_better[metric]` is the share of resamples in which the first's macro mean is higher (a tie counts half).
    """

    classes: dict[str, dict[str, Interval]]
    macro: dict[str, Interval]
    first_better: dict[str, Number]
    level: float
    n_resamples: int
    n_patients: int
    seed: int


def patient_multiplicities(
    patients: ArrayLike | None, n_records: int, n_resamples: int = 1000, seed: int = 0
) -> Iterator[NDArray[np.int32]]:
    """How often each record occurs in each resample of patients, in blocks `(records, resamples in the block)`."""
    patient, n_patients = patient_index(patients, n_records)
    generator = np.random.default_rng(seed)
    block = max(1, _BLOCK // n_records)
    for start in range(0, n_resamples, block):
        size = min(block, n_resamples - start)
        drawn = generator.integers(n_patients, size=(size, n_patients)) * size + np.arange(size)[:, None]
        times = np.bincount(drawn.ravel(), minlength=n_patients * size).reshape(n_patients, size)
        yield times[patient].astype(np.int32)


def weighted_metrics(
    labels: ArrayLike, probabilities: ArrayLike, thresholds: ArrayLike | None, weights: ArrayLike
) -> dict[str, NDArray[np.float64]]:
    """`RESAMPLED_METRICS` under several weightings of the records at once.

    Parameters
    ----------
    labels
        `(records, classes)`, 1 present, 0 absent, -1 unknown.
    probabilities
        `(records, classes)`, in [0, 1].
    thresholds
        `(classes,)`, or one for all; None: the classes exclude each other, and the most probable one is present.
    weights
        `(records, weightings)`, whole numbers: how often each record counts.

    Returns
    -------
    dict
        Metric to `(weightings, classes)`, NaN where undefined; the values that scikit-learn gives with
        `sample_weight`.
    """
    truth, scores = checked(labels, probabilities, single_label=thresholds is None)
    times = np.asarray(weights)
    # float64 makes these products a matrix multiplication, and holds whole numbers exactly.
    table = times.T.astype(np.float64)
    called, present, absent = decisions(scores, thresholds), truth == 1, truth == 0
    rates = decision_rates(
        tp=table @ (called & present),
        fp=table @ (called & absent),
        fn=table @ (~called & present),
        tn=table @ (~called & absent),
    )
    ranked = [_ranking(truth[:, position], scores[:, position], times) for position in range(truth.shape[1])]
    return {
        "auroc": np.stack([auroc for auroc, _ in ranked], axis=1),
        "average_precision": np.stack([precision for _, precision in ranked], axis=1),
        "f1": rates["f1"],
        "sensitivity": rates["sensitivity"],
        "specificity": rates["specificity"],
    }


def _ranking(
    column: NDArray[np.int8], scores: NDArray[np.float64], times: NDArray[np.integer]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """AUROC and average precision of one class under each weighting `(weightings,)`."""
    n_weightings = times.shape[1]
    nothing = np.full(n_weightings, np.nan)
    order = np.flatnonzero(column >= 0)
    order = order[np.argsort(-scores[order], kind="stable")]
    column, scores = column[order], scores[order]
    if not (column == 1).any():
        return nothing, nothing.copy()
    # Records of one score stand or fall together. Both areas grow only at scores that a positive has.
    last = np.flatnonzero(np.append(np.diff(scores) != 0, True))
    first = np.append(0, last[:-1] + 1)
    positives_before = np.append(0, np.cumsum(column == 1))
    steps = positives_before[last + 1] > positives_before[first]
    first, last = first[steps], last[steps]

    everything = np.zeros((column.size + 1, n_weightings), dtype=np.int64)
    np.cumsum(times[order], axis=0, out=everything[1:])
    called_before, called = everything[first], everything[last + 1]
    is_positive = column == 1
    positive = np.zeros((int(is_positive.sum()) + 1, n_weightings), dtype=np.int64)
    np.cumsum(times[order[is_positive]], axis=0, out=positive[1:])
    found_before, found = positive[positives_before[first]], positive[positives_before[last + 1]]

    gained = (found - found_before).astype(np.float64)
    n_positive = found[-1]
    n_negative = everything[-1] - n_positive
    false_before, false = called_before - found_before, called - found
    ranked_below = n_negative - (false_before + false) / 2
    pairs = n_positive * n_negative.astype(np.float64)
    auroc = np.divide((gained * ranked_below).sum(axis=0), pairs, out=nothing.copy(), where=pairs > 0)
    precision = np.divide(found, called, out=np.zeros(found.shape), where=called > 0)
    average_precision = np.divide((gained * precision).sum(axis=0), n_positive, out=nothing, where=n_positive > 0)
    return auroc, average_precision


def bootstrap_intervals(
    labels: ArrayLike,
    probabilities: ArrayLike,
    thresholds: ArrayLike | None,
    patients: ArrayLike | None = None,
    n_resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
    names: Sequence[str] | None = None,
) -> BootstrapIntervals:
    """Percentile intervals of AUROC, average precision, F1, sensitivity and specificity, by resampling patients.

    The thresholds stay as given: what the intervals cover is the choice of patients, not that of thresholds or of the
    network. A sensitivity of 1 gets the interval 1 to 1, as resampling cannot show what never happened.

    Parameters
    ----------
    labels
        `(records, classes)`, 1 present, 0 absent, -1 unknown.
    probabilities
        `(records, classes)`, in [0, 1].
    thresholds
        `(classes,)`, or one for all; None: the classes exclude each other, and the most probable one is present.
    patients
        `(records,)` ids; None makes each record its own patient.
    n_resamples, level, seed
        Resamples, coverage in (0, 1), and seed of the drawing.
    names
        The classes' names.

    Raises
    ------
    EvaluationError
        If the arrays do not fit together, or `n_resamples` or `level` make no sense.
    """
    truth, scores = checked(labels, probabilities)
    names = checked_names(names, truth.shape[1])
    check_plan(n_resamples, level)
    blocks = [
        weighted_metrics(truth, scores, thresholds, times)
        for times in patient_multiplicities(patients, truth.shape[0], n_resamples, seed)
    ]
    resampled = {metric: np.concatenate([block[metric] for block in blocks]) for metric in RESAMPLED_METRICS}
    estimates = weighted_metrics(truth, scores, thresholds, np.ones((truth.shape[0], 1), dtype=np.int32))
    return BootstrapIntervals(
        classes={
            name: {
                metric: interval(estimates[metric][0, position], resampled[metric][:, position], level)
                for metric in RESAMPLED_METRICS
            }
            for position, name in enumerate(names)
        },
        macro={
            metric: interval(mean_of_defined(estimates[metric])[0], mean_of_defined(resampled[metric]), level)
            for metric in RESAMPLED_METRICS
        },
        level=level,
        n_resamples=n_resamples,
        n_patients=patient_index(patients, truth.shape[0])[1],
        seed=seed,
    )


def paired_difference(
    labels: ArrayLike,
    first: ArrayLike,
    second: ArrayLike,
    thresholds_first: ArrayLike | None,
    thresholds_second: ArrayLike | None,
    patients: ArrayLike | None = None,
    n_resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
    names: Sequence[str] | None = None,
) -> PairedDifference:
    """By how much the first of two networks is better on the same records, with percentile intervals.

    Both are measured on every resample, so that what makes a resample hard for both cancels out.

    Parameters
    ----------
    labels
        `(records, classes)`, 1 present, 0 absent, -1 unknown.
    first, second
        Probabilities `(records, classes)` of the two networks.
    thresholds_first, thresholds_second
        Their thresholds, `(classes,)` or one for all; None: the most probable class, where they exclude each other.
    patients, n_resamples, level, seed, names
        As in `bootstrap_intervals`.

    Raises
    ------
    EvaluationError
        If the arrays do not fit together, or `n_resamples` or `level` make no sense.
    """
    truth, scores_first = checked(labels, first)
    _, scores_second = checked(labels, second)
    names = checked_names(names, truth.shape[1])
    check_plan(n_resamples, level)

    def difference(times: NDArray[np.int32]) -> dict[str, NDArray[np.float64]]:
        one = weighted_metrics(truth, scores_first, thresholds_first, times)
        other = weighted_metrics(truth, scores_second, thresholds_second, times)
        return {metric: one[metric] - other[metric] for metric in RESAMPLED_METRICS}

    blocks = [difference(times) for times in patient_multiplicities(patients, truth.shape[0], n_resamples, seed)]
    resampled = {metric: np.concatenate([block[metric] for block in blocks]) for metric in RESAMPLED_METRICS}
    estimates = difference(np.ones((truth.shape[0], 1), dtype=np.int32))
    macro = {metric: mean_of_defined(resampled[metric]) for metric in RESAMPLED_METRICS}
    return PairedDifference(
        classes={
            name: {
                metric: interval(estimates[metric][0, position], resampled[metric][:, position], level)
                for metric in RESAMPLED_METRICS
            }
            for position, name in enumerate(names)
        },
        macro={
            metric: interval(mean_of_defined(estimates[metric])[0], macro[metric], level)
            for metric in RESAMPLED_METRICS
        },
        first_better={
            metric: float(mean_of_defined(np.where(np.isnan(values), np.nan, (np.sign(values) + 1) / 2)))
            for metric, values in macro.items()
        },
        level=level,
        n_resamples=n_resamples,
        n_patients=patient_index(patients, truth.shape[0])[1],
        seed=seed,
    )


def check_plan(n_resamples: int, level: float) -> None:
    """Raise `EvaluationError` unless there is a resample and the level lies in (0, 1)."""
    if n_resamples < 1 or not 0 < level < 1:
        raise EvaluationError(
            f"n_resamples is {n_resamples} and level {level}; expected at least one resample and a level in (0, 1)"
        )


def interval(estimate: float, resampled: NDArray[np.float64], level: float) -> Interval:
    """The percentile interval of what resamples gave `(resamples,)`, those left out in which it is NaN."""
    defined = resampled[~np.isnan(resampled)]
    low, high = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2]) if defined.size else (np.nan, np.nan)
    return Interval(float(estimate), float(low), float(high), 1 - defined.size / resampled.size)
