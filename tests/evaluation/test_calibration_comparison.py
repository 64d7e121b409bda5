"""Calibrations are compared on patients that did not take part in fitting them."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit, logit

from ecoscale.calibration import METHODS
from ecoscale.evaluation import EvaluationError, compare_calibrations, expected_calibration_error, fit_platt, measure


@pytest.fixture
def logits(sample):
    return 3 * logit(np.clip(sample.probabilities, 0.01, 0.99)) + 1


@pytest.fixture
def compared(sample, logits):
    return compare_calibrations(sample.labels, logits, sample.patients, sample.names)


def test_every_method_is_measured_as_the_evaluation_would_measure_its_probabilities(compared, sample):
    assert list(compared.figures) == list(METHODS)
    for method, figures in compared.figures.items():
        macro = measure(sample.labels, compared.probabilities[method], 0.5, sample.names).macro
        assert figures["ece"] == pytest.approx(macro["ece"])
        assert figures["brier"] == pytest.approx(macro["brier"])


def test_no_calibration_is_the_sigmoid(compared, logits):
    np.testing.assert_allclose(compared.probabilities["none"], expit(logits))


def test_logits_that_are_too_steep_and_too_high_are_better_calibrated_by_platt_than_by_none(compared):
    for figure in ("ece", "brier", "log_loss"):
        assert compared.figures["platt"][figure] < compared.figures["none"][figure]


def test_the_labels_of_a_patient_do_not_reach_his_own_probabilities(sample, logits):
    compared = compare_calibrations(sample.labels, logits, sample.patients, methods=["platt"])
    # Absent findings of one patient become unknown: who is dealt where hangs on the present ones alone.
    own = sample.patients == sample.patients[0]
    labels = sample.labels.copy()
    labels[own] = np.where(labels[own] == 0, -1, labels[own])
    again = compare_calibrations(labels, logits, sample.patients, methods=["platt"])
    np.testing.assert_array_equal(again.probabilities["platt"][own], compared.probabilities["platt"][own])
    assert (again.probabilities["platt"][~own] != compared.probabilities["platt"][~own]).any()


def test_cross_fitted_calibration_is_worse_than_the_fit_on_the_same_records(compared, sample, logits):
    fitted = fit_platt(sample.labels, logits).probabilities(logits)
    known = sample.labels >= 0
    loss = np.where(sample.labels == 1, -np.log(fitted), -np.log1p(-fitted))
    own = np.mean([loss[known[:, column], column].mean() for column in range(6)])
    assert compared.figures["platt"]["log_loss"] > own


def test_a_probability_that_rounds_to_one_has_a_finite_loss():
    labels = np.array([[0], [1]] * 5)
    figures = compare_calibrations(labels, np.full((10, 1), 100.0), methods=["none"]).figures["none"]
    assert figures["log_loss"] == pytest.approx(50)
    assert figures["brier"] == pytest.approx(0.5)


def test_a_rare_finding_is_dealt_evenly():
    labels = np.zeros((100, 2), dtype=int)
    labels[:5, 0] = 1
    labels[::2, 1] = 1
    scores = np.random.default_rng(0).normal(size=labels.shape) + labels
    # Five positives in five parts: each fit has four of them, and none is without.
    found = compare_calibrations(labels, scores, methods=["platt", "none"])
    assert (found.probabilities["platt"][:5, 0] != expit(scores[:5, 0])).all()


def test_a_class_of_which_nothing_is_known_is_left_out_of_the_means(sample, logits):
    labels = sample.labels.copy()
    labels[:, 0] = -1
    figures = compare_calibrations(labels, logits, sample.patients, methods=["none"]).figures["none"]
    expected = [expected_calibration_error(labels[:, column], expit(logits[:, column])) for column in range(1, 6)]
    assert figures["ece"] == pytest.approx(np.mean(expected))


def test_fewer_patients_than_parts_are_refused():
    with pytest.raises(EvaluationError, match="at most the 4 patients"):
        compare_calibrations([[0], [1], [0], [1]], np.zeros((4, 1)))
