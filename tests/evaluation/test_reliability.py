from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.calibration import calibration_curve

from ecoscale.evaluation import expected_calibration_error, reliability_curve


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
