"""Which calibration to take: each method fitted on some of the patients and measured on the others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import log_softmax

from ecoscale.calibration import METHODS, SINGLE_LABEL_METHODS, CalibrationMethod, sigmoid, softmax
from ecoscale.evaluation._arrays import (
    EvaluationError,
    checked_labels,
    checked_names,
    checked_scores,
    mean_of_defined,
    patient_index,
)
from ecoscale.evaluation.calibration import fit_calibration
from ecoscale.evaluation.reliability import expected_calibration_error
from ecoscale.evaluation.single_label import weighted_overall

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True, eq=False)
class CalibrationComparison:
    """Calibrations of the same logits, each record's probability by a fit on other patients.

    `figures` holds for each method the mean over the classes of `ece`, `brier` and `log_loss` (nats), lower is
    better; of classes that exclude each other they are of all together (`weighted_overall`). `probabilities` are the
    cross-fitted probabilities `(records, classes)` that they are of.
    """

    figures: dict[CalibrationMethod, dict[str, float]]
    probabilities: dict[CalibrationMethod, NDArray[np.float64]]
    n_folds: int
    seed: int


def compare_calibrations(
    labels: ArrayLike,
    logits: ArrayLike,
    patients: ArrayLike | None = None,
    names: Sequence[str] | None = None,
    *,
    methods: Sequence[CalibrationMethod] | None = None,
    n_folds: int = 5,
    seed: int = 0,
    single_label: bool = False,
) -> CalibrationComparison:
    """Cross-fit calibrations and measure them.

    Parameters
    ----------
    labels
        `(records, classes)`, 1 present, 0 absent, -1 unknown.
    logits
        `(records, classes)`.
    patients
        `(records,)` ids, whose records stay together; None makes each record its own patient.
    names
        The classes' names.
    methods
        What to compare; by default all there are.
    n_folds
        Parts that the patients are dealt into, those with the rarest findings first and so evenly.
    seed
        Of the dealing.
    single_label
        The classes exclude each other (`fit_calibration`).

    Raises
    ------
    EvaluationError
        If the arrays do not fit together or there are fewer patients than parts.
    """
    truth = checked_labels(labels)
    scores = checked_scores(logits, truth.shape, "logits")
    names = checked_names(names, truth.shape[1])
    patient, n_patients = patient_index(patients, truth.shape[0])
    if not 2 <= n_folds <= n_patients:
        raise EvaluationError(f"n_folds is {n_folds}; expected at least 2 and at most the {n_patients} patients")
    part = _deal(truth, patient, n_patients, n_folds, seed)[patient]
    figures, probabilities = {}, {}
    for method in methods or (SINGLE_LABEL_METHODS if single_label else tuple(METHODS)):
        log_odds = np.empty_like(scores)
        for left_out in range(n_folds):
            inside = part == left_out
            fitted = fit_calibration(truth[~inside], scores[~inside], method, names, single_label=single_label)
            log_odds[inside] = fitted.log_odds(scores[inside])
        if single_label:
            probabilities[method] = softmax(log_odds)
            figures[method] = _softmax_figures(truth, log_odds, probabilities[method])
            continue
        probabilities[method] = sigmoid(log_odds)
        measured = np.array([_figures(truth[:, column], log_odds[:, column]) for column in range(len(names))])
        macro = [float(mean_of_defined(column)) for column in measured.T]
        figures[method] = dict(zip(("ece", "brier", "log_loss"), macro, strict=True))
    return CalibrationComparison(figures, probabilities, n_folds, seed)


def _deal(
    truth: NDArray[np.int8], patient: NDArray[np.intp], n_patients: int, n_folds: int, seed: int
) -> NDArray[np.intp]:
    """The part `(patients,)` of each: dealt in turn, by the rarest finding that a patient has."""
    positives = (truth == 1).sum(axis=0)
    rarest = np.full(n_patients, np.iinfo(np.int64).max)
    np.minimum.at(rarest, patient, np.where(truth == 1, positives, rarest[0]).min(axis=1))
    order = np.random.default_rng(seed).permutation(n_patients)
    part = np.empty(n_patients, dtype=np.intp)
    part[order[np.argsort(rarest[order], kind="stable")]] = np.arange(n_patients) % n_folds
    return part


def _figures(column: NDArray[np.int8], log_odds: NDArray[np.float64]) -> tuple[float, float, float]:
    """Calibration error, Brier score and log loss of one class; NaN where no label is known."""
    known = column >= 0
    if not known.any():
        return float("nan"), float("nan"), float("nan")
    truth, odds = column[known], log_odds[known]
    probability = sigmoid(odds)
    # From the log-odds, so that a probability that rounds to 0 or 1 has the loss that it is due, and no infinite one.
    log_loss = np.mean(np.logaddexp(0, odds) - truth * odds)
    return (
        expected_calibration_error(truth, probability),
        float(np.mean((probability - truth) ** 2)),
        float(log_loss),
    )


def _softmax_figures(
    truth: NDArray[np.int8], logits: NDArray[np.float64], probabilities: NDArray[np.float64]
) -> dict[str, float]:
    """Calibration error, Brier score and log loss of classes that exclude each other."""
    everyone = np.ones((len(truth), 1), dtype=np.int32)
    overall = {name: float(value[0]) for name, value in weighted_overall(truth, probabilities, everyone).items()}
    known = truth[:, 0] >= 0
    # From the logits, so that a probability that rounds to 0 has the loss that it is due.
    log_loss = -log_softmax(logits[known], axis=1)[truth[known] == 1].mean() if known.any() else np.nan
    return {"ece": overall["ece"], "brier": overall["brier"], "log_loss": float(log_loss)}
