from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ecoscale.evaluation import EvaluationError, choose_thresholds, cross_fitted_f1, measure, operating_points

from .conftest import draw


def f1_at(threshold, truth, score):
    called = score >= threshold
    return 2 * (called & (truth == 1)).sum() / (called.sum() + (truth == 1).sum())


column = arrays(np.int8, (20, 1), elements=st.integers(-1, 1))
scores = arrays(np.float64, (20, 1), elements=st.floats(0, 1))


@settings(max_examples=60, deadline=None)
@given(labels=column, probabilities=scores)
def test_no_other_threshold_gives_a_higher_f1(labels, probabilities):
    assume((labels == 1).any())
    threshold = choose_thresholds(labels, probabilities).values
    known = labels[:, 0] >= 0
    truth, score = labels[known, 0], probabilities[known, 0]
    best = max(f1_at(other, truth, score) for other in np.append(score, 1.1))
    assert f1_at(threshold, truth, score) == pytest.approx(best)


@settings(max_examples=60, deadline=None)
@given(labels=column, probabilities=scores, target=st.floats(0.05, 1))
def test_the_wanted_sensitivity_is_reached_and_no_higher_threshold_that_occurs_reaches_it(
    labels, probabilities, target
):
    assume((labels == 1).any())
    threshold = choose_thresholds(labels, probabilities, "sensitivity", target).values[0]
    positive = probabilities[labels == 1]
    assert np.mean(positive >= threshold) >= target - 1e-9
    higher = positive[positive >= threshold].min()
    assert np.mean(positive > higher) < target


def test_a_threshold_lies_midway_between_two_probabilities():
    labels, probabilities = [[1], [1], [0], [0]], [[0.9], [0.7], [0.3], [0.1]]
    assert choose_thresholds(labels, probabilities).values == pytest.approx([0.5])
    assert choose_thresholds(labels, probabilities, "sensitivity", 0.5).values == pytest.approx([0.8])
    assert choose_thresholds(labels, probabilities, "sensitivity", 0.51).values == pytest.approx([0.5])


def test_among_equal_f1_the_higher_threshold_is_chosen():
    # 0.9 and above: precision 1, recall 1/2; everything: precision 1/2, recall 1. Both have F1 2/3.
    assert choose_thresholds([[1], [0], [0], [1]], [[0.9], [0.5], [0.4], [0.1]]).values == pytest.approx([0.7])


def test_neighbouring_floats_have_nothing_midway_and_the_upper_one_is_taken():
    upper = np.nextafter(0.5, 1)
    assert choose_thresholds([[1], [0]], [[upper], [0.5]]).values[0] == upper


def test_a_class_without_positives_gets_one_half_and_a_warning():
    chosen = choose_thresholds([[0, 1], [0, 0], [-1, 0]], [[0.2, 0.2], [0.1, 0.1], [0.9, 0.1]], names=["LBBB", "AF"])
    assert chosen.values[0] == 0.5
    assert len(chosen.warnings) == 1
    assert chosen.warnings[0].startswith("LBBB: threshold left at 0.5")


@settings(max_examples=30, deadline=None)
@given(labels=column, probabilities=scores)
def test_unknown_labels_choose_no_threshold(labels, probabilities):
    known = labels[:, 0] >= 0
    assume(known.any())
    assert (
        choose_thresholds(labels, probabilities).values == choose_thresholds(labels[known], probabilities[known]).values
    )


@pytest.mark.parametrize(
    ("method", "target"), [("sensitivity", None), ("sensitivity", 1.2), ("f1", 0.9), ("youden", None)]
)
def test_a_method_and_target_that_make_no_sense_together_are_refused(method, target):
    with pytest.raises(EvaluationError):
        choose_thresholds([[1], [0]], [[0.9], [0.1]], method, target)


def test_cross_fitted_f1_is_below_the_optimistic_one_where_probabilities_mean_nothing():
    optimistic, fair = [], []
    for seed in range(10):
        generator = np.random.default_rng(seed)
        labels, noise = (generator.random((60, 3)) < 0.3).astype(int), generator.random((60, 3))
        optimistic.append(measure(labels, noise, choose_thresholds(labels, noise).values).macro["f1"])
        fair.append(cross_fitted_f1(labels, noise, seed=seed).macro)
    assert np.mean(fair) < np.mean(optimistic) - 0.03


def test_cross_fitted_f1_is_one_where_the_classes_are_far_apart():
    labels = np.arange(40)[:, None] % 4 == 0
    found = cross_fitted_f1(labels, np.where(labels, 0.9, 0.1), names=["AF"])
    assert found.f1 == {"AF": 1.0}
    assert found.macro == 1


def test_cross_fitted_f1_keeps_a_patients_records_together():
    # Each patient has a pair of records with one probability of his own: whoever saw one knows the other.
    generator = np.random.default_rng(0)
    labels = np.repeat(generator.random(100) < 0.3, 2)[:, None]
    scores = np.repeat(generator.random(100), 2)[:, None]
    patients = np.repeat([f"p{number}" for number in range(100)], 2)
    once = cross_fitted_f1(labels[::2], scores[::2], patients[::2], seed=1).macro
    assert cross_fitted_f1(labels, scores, patients, seed=1).macro == pytest.approx(once)


def test_cross_fitted_f1_depends_on_the_seed_only():
    sample = draw(seed=3)
    runs = [cross_fitted_f1(sample.labels, sample.probabilities, sample.patients, seed=seed) for seed in (1, 1, 2)]
    assert runs[0] == runs[1] != runs[2]


def test_a_class_that_one_patient_has_gets_no_cross_fitted_f1():
    labels = np.array([[1, 1], [1, 0], [0, 1], [0, 0], [0, 0], [0, 0]])
    found = cross_fitted_f1(labels, labels * 0.8 + 0.1, [1, 1, 2, 3, 4, 5], ["SB", "ST"], n_folds=2)
    assert math.isnan(found.f1["SB"])
    assert found.macro == found.f1["ST"] == 1


def test_more_parts_than_patients_are_refused():
    with pytest.raises(EvaluationError, match="n_folds is 5"):
        cross_fitted_f1([[1], [0], [1]], [[0.5], [0.5], [0.5]])


@pytest.mark.parametrize("share", [0.001, 0.03, 0.15, 0.5, 0.95])
def test_the_operating_points_hold_the_f1_optimal_threshold_of_any_prevalence(sample, share):
    truth, score = sample.labels[:, 0], sample.probabilities[:, 0]
    known = truth >= 0
    truth, score = truth[known], score[known]

    def f1_there(sensitivity, specificity):
        hits, alarms = share * sensitivity, (1 - share) * (1 - specificity)
        return 2 * hits / (hits + alarms + share)

    best = max(
        f1_there((score[truth == 1] >= threshold).mean(), (score[truth == 0] < threshold).mean())
        for threshold in np.unique(score)
    )
    points = operating_points(sample.labels[:, 0], sample.probabilities[:, 0])
    assert max(f1_there(sensitivity, specificity) for _, sensitivity, specificity in points) == pytest.approx(best)
    assert len(points) < np.unique(score).size / 2


def test_operating_points_are_what_their_thresholds_do_and_one_is_the_chosen(sample):
    for column in range(6):
        truth, score = sample.labels[:, column], sample.probabilities[:, column]
        points = operating_points(truth, score)
        for threshold, sensitivity, specificity in points:
            assert sensitivity == pytest.approx((score[truth == 1] >= threshold).mean())
            assert specificity == pytest.approx((score[truth == 0] < threshold).mean())
        assert [point[0] for point in points] == sorted((point[0] for point in points), reverse=True)
        assert choose_thresholds(truth[:, None], score[:, None]).values[0] in [point[0] for point in points]


@pytest.mark.parametrize("labels", [[0, 0, -1], [1, 1, -1]])
def test_a_class_without_positives_or_negatives_has_no_operating_points(labels):
    assert operating_points(labels, [0.1, 0.2, 0.3]) == ()


def test_a_class_that_is_separated_has_its_one_threshold_among_the_operating_points():
    assert (0.5, 1.0, 1.0) in operating_points([0, 0, 1, 1], [0.1, 0.25, 0.75, 0.9])


def test_a_class_with_fewer_positives_than_asked_keeps_one_half_and_says_so():
    labels = np.array([[1, 1], [1, 0], [0, 0], [0, 0]])
    scores = np.array([[0.2, 0.2], [0.3, 0.1], [0.1, 0.1], [0.05, 0.1]])
    chosen = choose_thresholds(labels, scores, names=("AF", "STE"), fewest_positives=2)
    assert chosen.values.tolist() == [pytest.approx(0.15), 0.5]
    assert chosen.warnings == ("STE: threshold left at 0.5, there is one positive to choose by",)
