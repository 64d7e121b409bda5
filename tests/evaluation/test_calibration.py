from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq
from scipy.special import expit, logit
from sklearn.isotonic import IsotonicRegression

from ecoscale.calibration import METHODS
from ecoscale.evaluation import (
    EvaluationError,
    expected_calibration_error,
    fit_calibration,
    fit_platt,
    macro_auroc,
)


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
    fitted = fit_platt(np.array([[0]] * 5 + [[1]] * 5), np.linspace(-4, 4, 10)[:, None])
    slope, intercept = fitted.slope, fitted.intercept
    assert 0 < slope[0] < 10
    assert intercept[0] == pytest.approx(0, abs=1e-6)


def test_the_fit_is_where_platts_loss_is_flat():
    labels = np.array([0, 0, 1, 0, 1, 1, 1, 0])
    logits = np.array([-900.0, -300, -200, 0, 50, 400, 800, 100])
    fitted = fit_platt(labels[:, None], logits[:, None])
    slope, intercept = fitted.slope, fitted.intercept
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


def distorted(n_records=4000, seed=0):
    """Labels, and logits of which half are steeper than the truth and bent."""
    generator = np.random.default_rng(seed)
    true = generator.normal(-2, 2, size=(n_records, 2))
    labels = (generator.random(true.shape) < expit(true)).astype(int)
    return labels, np.stack([2 * true[:, 0], true[:, 1] + np.sin(2 * true[:, 1]) / 4], axis=1)


def test_the_temperature_is_where_the_log_loss_of_all_classes_together_is_flat(sample):
    logits = 3 * logit(np.clip(sample.probabilities, 0.01, 0.99))
    fitted = fit_calibration(sample.labels, logits, "temperature")
    assert len({curve.slope for curve in fitted.curves}) == 1
    assert not fitted.intercept.any()
    known = sample.labels >= 0
    n_positive, n_negative = (sample.labels == 1).sum(axis=0), (sample.labels == 0).sum(axis=0)
    target = np.where(sample.labels == 1, (n_positive + 1) / (n_positive + 2), 1 / (n_negative + 2))

    def gradient(slope):
        return ((expit(slope * logits) - target) * logits)[known].sum()

    assert fitted.slope[0] == pytest.approx(brentq(gradient, 0.01, 10), rel=1e-6)


def test_the_temperature_of_logits_that_are_too_steep_is_their_excess():
    generator = np.random.default_rng(0)
    true = generator.normal(-1, 2, size=(20_000, 3))
    labels = (generator.random(true.shape) < expit(true)).astype(int)
    assert 1 / fit_calibration(labels, 2.5 * true, "temperature").slope[0] == pytest.approx(2.5, rel=0.03)


def test_isotonic_calibration_is_the_isotonic_regression_at_the_centre_of_each_plateau():
    labels, logits = distorted()
    curve = fit_calibration(labels[:, 1:], logits[:, 1:], "isotonic").curves[0]
    regression = IsotonicRegression().fit(logits[:, 1], labels[:, 1])
    low, high = 1 / ((labels[:, 1] == 0).sum() + 2), 1 - 1 / ((labels[:, 1] == 1).sum() + 2)
    at, values = np.array(curve.knots).T
    np.testing.assert_allclose(expit(values), low + regression.predict(at) * (high - low), atol=1e-9)
    assert len(at) > 5


def test_isotonic_calibration_bends_where_a_line_cannot():
    generator = np.random.default_rng(1)
    true = generator.normal(-1, 2, size=(20_000, 1))
    labels = (generator.random(true.shape) < expit(true)).astype(int)
    logits = np.cbrt(true)
    error = {
        method: np.abs(fit_calibration(labels, logits, method).probabilities(logits) - expit(true)).mean()
        for method in METHODS
    }
    assert error["isotonic"] < error["platt"] / 2 < error["none"] / 2


@pytest.mark.parametrize("method", METHODS)
def test_no_calibration_costs_any_auroc(method):
    labels, logits = distorted()
    log_odds = fit_calibration(labels, logits, method).log_odds(logits)
    for column in range(2):
        np.testing.assert_array_equal(np.argsort(log_odds[:, column]), np.argsort(logits[:, column]))
    assert macro_auroc(labels, expit(log_odds)) == macro_auroc(labels, logits)


@settings(max_examples=60, deadline=None)
@given(
    records=st.lists(st.tuples(st.booleans(), st.integers(-60, 60)), min_size=4, max_size=40),
    method=st.sampled_from(tuple(METHODS)),
)
def test_whatever_the_records_a_calibration_rises_strictly_and_gives_probabilities(records, method):
    labels, logits = np.array(records, dtype=float).T[:, :, None]
    fitted = fit_calibration(labels.astype(int), logits / 4, method)
    at = np.linspace(-20, 20, 161)[:, None]
    assert (np.diff(fitted.log_odds(at), axis=0) > 0).all()
    assert ((fitted.probabilities(at) >= 0) & (fitted.probabilities(at) <= 1)).all()


@pytest.mark.parametrize("method", ["platt", "isotonic"])
def test_the_mean_calibrated_probability_is_about_the_share_of_positives(method):
    labels, logits = distorted()
    mean = fit_calibration(labels, logits, method).probabilities(logits).mean(axis=0)
    np.testing.assert_allclose(mean, labels.mean(axis=0), atol=0.005)


def test_perfectly_separated_classes_stay_finite_by_every_method():
    labels, logits = np.array([[0]] * 5 + [[1]] * 5), np.linspace(-4, 4, 10)[:, None]
    for method in METHODS:
        assert np.abs(fit_calibration(labels, logits, method).log_odds(logits)).max() < 10


def test_a_class_that_cannot_be_fitted_alone_has_the_temperature_of_the_others():
    labels, logits = distorted()
    both = (
        np.concatenate([labels, np.zeros_like(labels[:, :1])], axis=1),
        np.concatenate([logits, logits[:, :1]], axis=1),
    )
    fitted = fit_calibration(*both, "temperature", ["AF", "SB", "ST"])
    assert fitted.curves[2] == fitted.curves[0] == fit_calibration(labels, logits, "temperature").curves[0]
    assert fitted.warnings == ("ST: there are no positives to fit on; it has the other findings' temperature",)


@pytest.mark.parametrize("method", ["temperature", "isotonic"])
@pytest.mark.parametrize("labels", [[0, 0, 0, -1], [1, 1, 0, 0]])
def test_what_no_method_can_calibrate_is_left_as_it_is_with_a_warning(method, labels):
    fitted = fit_calibration(np.array(labels)[:, None], np.array([1.0, 2, -3, -4])[:, None] * [[-1]], method, ["SB"])
    assert fitted.log_odds([[0.5], [2.0]]).ravel().tolist() == [0.5, 2.0]
    assert len(fitted.warnings) == 1
    assert "not calibrated" in fitted.warnings[0]


def test_none_is_the_sigmoid_and_an_unknown_method_is_refused():
    labels, logits = distorted(20)
    np.testing.assert_allclose(fit_calibration(labels, logits, "none").probabilities(logits), expit(logits))
    with pytest.raises(EvaluationError, match="method is 'spline'; expected one of platt, temperature, isotonic, none"):
        fit_calibration(labels, logits, "spline")
