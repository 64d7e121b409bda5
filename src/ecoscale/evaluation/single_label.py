"""What probabilities of classes that exclude each other are worth as a whole, beside what each class is worth.

A record's class is its most probable one. Macro F1 and macro AUROC, one class against the rest, are in `metrics`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ecoscale.evaluation._arrays import checked, mean_of_defined
from ecoscale.evaluation.bootstrap import Interval, check_plan, interval, patient_multiplicities
from ecoscale.evaluation.reliability import CALIBRATION_BINS, calibration_bin

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

OVERALL_METRICS = ("accuracy", "balanced_accuracy", "log_loss", "brier", "ece")


def weighted_overall(labels: ArrayLike, probabilities: ArrayLike, weights: ArrayLike) -> dict[str, NDArray[np.float64]]:
    """`OVERALL_METRICS` under several weightings of the records at once.

    - `accuracy`: the share of records whose most probable class is right.
    - `balanced_accuracy`: the mean over the classes that occur of the share of their records that is told right.
    - `log_loss`: in nats.
    - `brier`: the mean squared distance of the probabilities from the class, summed over the classes, from 0 to 2
      (Brier 1950, doi 10.1175/1520-0493(1950)078<0001:VOFEIT>2.0.CO;2).
    - `ece`: how far the probability of the most probable class is from the share that it is right in, over 15 bins
      (Guo et al. 2017, arXiv 1706.04599, equation 3).

    Parameters
    ----------
    labels
        `(records, classes)`, in each row one class 1 and the others 0, or all -1 where the class is not known.
    probabilities
        `(records, classes)`, which sum to one.
    weights
        `(records, weightings)`, whole numbers: how often each record counts.

    Returns
    -------
    dict
        Metric to `(weightings,)`, NaN where no known record counts; but for `ece`, the values that scikit-learn gives
        with `sample_weight`.
    """
    truth, scores = checked(labels, probabilities, single_label=True)
    known = truth[:, 0] >= 0
    truth, scores = truth[known], scores[known]
    times = np.asarray(weights, dtype=np.float64)[known].T
    total = times.sum(axis=1)
    called, own, row = scores.argmax(axis=1), truth.argmax(axis=1), np.arange(len(truth))
    right = (called == own).astype(np.float64)
    of_class = times @ truth
    recall = np.divide(
        times @ (truth * right[:, None]), of_class, out=np.full_like(of_class, np.nan), where=of_class > 0
    )
    confidence = scores[row, called]
    apart = np.zeros((len(truth), CALIBRATION_BINS))
    apart[row, calibration_bin(confidence)] = right - confidence

    def mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.divide(values, total, out=np.full_like(total, np.nan), where=total > 0)

    # As in scikit-learn: a class that was given the probability 0 costs much, and not infinitely much.
    loss = -np.log(scores[row, own].clip(np.finfo(np.float64).eps))
    return {
        "accuracy": mean(times @ right),
        "balanced_accuracy": mean_of_defined(recall),
        "log_loss": mean(times @ loss),
        "brier": mean(times @ ((scores - truth) ** 2).sum(axis=1)),
        "ece": mean(np.abs(times @ apart).sum(axis=1)),
    }


def overall_intervals(
    labels: ArrayLike,
    probabilities: ArrayLike,
    patients: ArrayLike | None = None,
    n_resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> dict[str, Interval]:
    """Each of `OVERALL_METRICS` with its percentile interval, on the resamples of `bootstrap_intervals`."""
    check_plan(n_resamples, level)
    n_records = len(np.asarray(labels))
    blocks = [
        weighted_overall(labels, probabilities, times)
        for times in patient_multiplicities(patients, n_records, n_resamples, seed)
    ]
    estimates = weighted_overall(labels, probabilities, np.ones((n_records, 1), dtype=np.int32))
    return {
        metric: interval(estimates[metric][0], np.concatenate([block[metric] for block in blocks]), level)
        for metric in OVERALL_METRICS
    }


def paired_overall_difference(
    labels: ArrayLike,
    first: ArrayLike,
    second: ArrayLike,
    patients: ArrayLike | None = None,
    n_resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> dict[str, Interval]:
    """Each of `OVERALL_METRICS` of the first network minus the second's, on the resamples of `paired_difference`."""
    check_plan(n_resamples, level)
    n_records = len(np.asarray(labels))

    def difference(times: NDArray[np.int32]) -> dict[str, NDArray[np.float64]]:
        one, other = (weighted_overall(labels, probabilities, times) for probabilities in (first, second))
        return {metric: one[metric] - other[metric] for metric in OVERALL_METRICS}

    blocks = [difference(times) for times in patient_multiplicities(patients, n_records, n_resamples, seed)]
    estimates = difference(np.ones((n_records, 1), dtype=np.int32))
    return {
        metric: interval(estimates[metric][0], np.concatenate([block[metric] for block in blocks]), level)
        for metric in OVERALL_METRICS
    }
