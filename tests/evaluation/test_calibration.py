from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.special import expit, logit
from sklearn.calibration import calibration_curve

from ecoscale.evaluation import EvaluationError, expected_calibration_error, fit_platt, reliability_curve


def test_the_reliability_curve_is_the_one_scikit_learn_gives_and_counts_its_records(sample):
    column, score = sample.labels[:, 0], sample.probabilities[:, 0]
    known = column >= 0
    observed, predicted = calibration_curve(column[known], score[known], n_bins=15)
    curve = reliability_curve(column, score)
    np.testing.assert_allclose(curve.observed, observed)
    np.testing.assert_allclose(curve.predicted, predicted)
    assert curve.count.sum() == known.sum()


def test_calibration_error_of_a_case_worked_by_hand():
    # Two bins: 0.1 predicted, 1/4 observed, 4 records; 0.9 predicted, 1/2 observed, 2 records.
    error = expected_calibration_error([0, 0, 0, 1, 1, 0], [0.1] * 4 + [0.9] * 2)
    assert error == pytest.approx((4 * 0.15 + 2 * 0.4) / 6)


def test_probabilities_of_nought_and_one_fall_into_the_outer_bins():
    assert reliability_curve([0, 1], [0.0, 1.0]).count.tolist() == [1, 1]
    assert expected_calibration_error([0, 1], [0.0, 1.0]) == 0


def test_calibration_error_without_known_labels_is_nan():
    assert math.isnan(expected_calibration_error([-1, -1], [0.2, 0.3]))


def test_platt_scaling_recovers_the_distortion_it_undoes():
    generator = np.random.default_rng(0)
    true_logits = generator.normal(-1, 2, size=(20_000, 2))
    labels = (generator.random(true_logits.shape) < expit(true_logits)).astype(int)
    fitted = fit_platt(labels, (true_logits - 0.7) / np.array([0.5, 3]))
    np.testing.assert_allclose(fitted.slope, [0.5, 3], rtol=0.05)
    np.testing.assert_allclose(fitted.intercept, [0.7, 0.7], atol=0.08)
    assert fitted.warnings == ()


def test_platt_scaling_lowers_the_calibration_error_and_keeps_the_ranking(sample):
    logits = 3 * logit(np.clip(sample.probabilities, 0.01, 0.99)) + 1
    fitted = fit_platt(sample.labels, logits, sample.names)
    calibrated = fitted.probabilities(logits)
    for position in range(logits.shape[1]):
        column = sample.labels[:, position]
        before = expected_calibration_error(column, expit(logits[:, position]))
        assert expected_calibration_error(column, calibrated[:, position]) < before
    np.testing.assert_array_equal(np.argsort(calibrated, axis=0, kind="stable"), np.argsort(logits, 0, kind="stable"))


def test_perfectly_separated_classes_get_a_finite_slope():
    slope, intercept = fit_platt(np.array([[0]] * 5 + [[1]] * 5), np.linspace(-4, 4, 10)[:, None])
    assert 0 < slope[0] < 10
    assert intercept[0] == pytest.approx(0, abs=1e-6)


def test_the_fit_is_where_platts_loss_is_flat():
    labels = np.array([0, 0, 1, 0, 1, 1, 1, 0])
    logits = np.array([-900.0, -300, -200, 0, 50, 400, 800, 100])
    slope, intercept = fit_platt(labels[:, None], logits[:, None])
    target = np.where(labels == 1, 5 / 6, 1 / 6)
    excess = expit(slope * logits + intercept) - target
    assert excess.sum() == pytest.approx(0, abs=1e-6)
    assert (excess * logits).sum() == pytest.approx(0, abs=1e-3)


@pytest.mark.parametrize(
    ("labels", "logits", "reason"),
    [
        ([0, 0, 0, -1], [1.0, 2, 3, 4], "no positives"),
        ([1, 1, 1, -1], [1.0, 2, 3, 4], "no negatives"),
        ([1, 1, 0, 0], [1.0, 2, 3, 4], "turn the ranking over"),
        ([1, 1, 0, 0], [2.0, 2, 2, 2], "turn the ranking over"),
    ],
)
def test_a_class_that_cannot_be_calibrated_is_left_as_it_is_with_a_warning(labels, logits, reason):
    fitted = fit_platt(np.array(labels)[:, None], np.array(logits)[:, None], ["SB"])
    assert (fitted.slope[0], fitted.intercept[0]) == (1, 0)
    assert len(fitted.warnings) == 1
    assert fitted.warnings[0].startswith("SB: not calibrated")
    assert reason in fitted.warnings[0]


def test_unknown_labels_take_no_part_in_the_fit(sample):
    logits = logit(np.clip(sample.probabilities[:, :1], 0.01, 0.99))
    labels = sample.labels[:, :1]
    known = labels[:, 0] >= 0
    np.testing.assert_array_equal(fit_platt(labels, logits).slope, fit_platt(labels[known], logits[known]).slope)


def test_infinite_logits_are_refused():
    with pytest.raises(EvaluationError, match="logits are NaN or infinite"):
        fit_platt([[1], [0]], [[np.inf], [0.0]])
