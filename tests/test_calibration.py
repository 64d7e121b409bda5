"""From logits to probabilities: lines and knots, strictly rising."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecoscale.calibration import Calibration, CalibrationCurve, sigmoid

KNOTS = ((-3.0, -4.0), (-1.0, -1.0), (2.0, 5.0))


def test_without_knots_the_log_odds_are_a_line():
    assert CalibrationCurve(0.5, -1).log_odds([0.0, 4.0]).tolist() == [-1, 1]
    assert CalibrationCurve().log_odds([[3.0], [-7.0]]).tolist() == [[3], [-7]]


def test_between_knots_it_is_straight_and_beyond_them_it_goes_on_with_the_slope():
    curve = CalibrationCurve(0.5, knots=KNOTS)
    assert curve.log_odds([-3.0, -2.0, -1.0, 0.5, 2.0]).tolist() == [-4, -2.5, -1, 2, 5]
    assert curve.log_odds([-5.0, 6.0]).tolist() == [-5, 7]


@given(st.lists(st.integers(-4000, 4000), min_size=2, max_size=20, unique=True), st.booleans())
def test_what_the_network_tells_apart_stays_apart(logits, with_knots):
    logits = np.sort(np.array(logits) / 100)
    curve = CalibrationCurve(0.8, knots=KNOTS) if with_knots else CalibrationCurve(0.8, 1.3)
    assert (np.diff(curve.log_odds(logits)) > 0).all()


@given(st.floats(allow_nan=False, allow_infinity=False, width=32))
def test_any_logit_gives_a_probability(logit):
    for curve in (CalibrationCurve(2.0, -3), CalibrationCurve(0.5, knots=KNOTS)):
        assert 0 <= float(sigmoid(curve.log_odds(logit))) <= 1


def test_each_finding_has_its_own_curve():
    calibration = Calibration("isotonic", (CalibrationCurve(0.5, knots=KNOTS), CalibrationCurve(2.0, 1)))
    logits = np.array([[0.5, 0.0], [6.0, -1.0]], dtype=np.float32)
    assert calibration.log_odds(logits).tolist() == [[2, 1], [7, -1]]
    np.testing.assert_allclose(calibration.probabilities(logits), 1 / (1 + np.exp([[-2.0, -1], [-7, 1]])))
    assert calibration.slope.tolist() == [0.5, 2]
    assert calibration.intercept.tolist() == [0, 1]


def test_the_sigmoid_does_not_overflow():
    assert sigmoid([-1e300, 0.0, 1e300]).tolist() == [pytest.approx(0, abs=1e-200), 0.5, 1]
