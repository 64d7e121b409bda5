from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn import metrics as reference

from ecoscale.evaluation import (
    RESAMPLED_METRICS,
    EvaluationError,
    bootstrap_intervals,
    measure,
    paired_difference,
    patient_multiplicities,
    weighted_metrics,
)

from .conftest import draw


def multiplicities(*args, **kwargs):
    return np.concatenate(list(patient_multiplicities(*args, **kwargs)), axis=1)


def test_weighted_figures_are_those_scikit_learn_gives_with_sample_weight(sample):
    times = multiplicities(sample.patients, len(sample.labels), n_resamples=3)
    found = weighted_metrics(sample.labels, sample.probabilities, 0.4, times)
    for position in range(sample.labels.shape[1]):
        known = sample.labels[:, position] >= 0
        truth, score = sample.labels[known, position], sample.probabilities[known, position]
        for resample in range(3):
            weight = times[known, resample]
            expected = {
                "auroc": reference.roc_auc_score(truth, score, sample_weight=weight),
                "average_precision": reference.average_precision_score(truth, score, sample_weight=weight),
                "f1": reference.f1_score(truth, score >= 0.4, sample_weight=weight),
                "sensitivity": reference.recall_score(truth, score >= 0.4, sample_weight=weight),
                "specificity": reference.recall_score(truth, score >= 0.4, sample_weight=weight, pos_label=0),
            }
            for metric, value in expected.items():
                assert found[metric][resample, position] == pytest.approx(value), metric


@settings(max_examples=40, deadline=None)
@given(
    labels=arrays(np.int8, (12, 1), elements=st.integers(-1, 1)),
    probabilities=arrays(np.float64, (12, 1), elements=st.integers(0, 5).map(lambda step: step / 5)),
    weights=arrays(np.int32, (12, 2), elements=st.integers(0, 3)),
)
def test_a_weight_is_as_good_as_so_many_copies_of_the_record(labels, probabilities, weights):
    found = weighted_metrics(labels, probabilities, 0.5, weights)
    for weighting in range(2):
        copies = np.repeat(np.arange(12), weights[:, weighting])
        if copies.size == 0:
            continue
        literal = measure(labels[copies], probabilities[copies], 0.5, ["AF"])["AF"]
        for metric in RESAMPLED_METRICS:
            assert found[metric][weighting, 0] == pytest.approx(getattr(literal, metric), nan_ok=True), metric


def test_a_resample_draws_whole_patients_and_as_many_as_there_are():
    patients = np.array(["a", "b", "b", "c", "c", "c"])
    times = multiplicities(patients, 6, n_resamples=200)
    assert times.shape == (6, 200)
    np.testing.assert_array_equal(times[1], times[2])
    np.testing.assert_array_equal(times[3], times[5])
    np.testing.assert_array_equal(times[0] + times[1] + times[3], 3)
    assert times.mean() == pytest.approx(1, abs=0.15)


def test_intervals_are_those_of_literal_resampling(sample):
    labels, scores, patients = sample.labels[:, :2], sample.probabilities[:, :2], sample.patients
    found = bootstrap_intervals(labels, scores, 0.4, patients, n_resamples=60, level=0.9, seed=3)
    literal = []
    for times in multiplicities(patients, len(labels), n_resamples=60, seed=3).T:
        rows = np.repeat(np.arange(len(labels)), times)
        literal.append(measure(labels[rows], scores[rows], 0.4).macro)
    for metric in RESAMPLED_METRICS:
        low, high = np.quantile([macro[metric] for macro in literal], [0.05, 0.95])
        assert found.macro[metric].low == pytest.approx(low)
        assert found.macro[metric].high == pytest.approx(high)


def test_estimates_are_the_measured_figures_and_lie_in_their_intervals(sample):
    found = bootstrap_intervals(
        sample.labels, sample.probabilities, 0.4, sample.patients, n_resamples=200, names=sample.names
    )
    measured = measure(sample.labels, sample.probabilities, 0.4, sample.names)
    for metric in RESAMPLED_METRICS:
        assert found.macro[metric].estimate == pytest.approx(measured.macro[metric])
        assert found.macro[metric].low < found.macro[metric].estimate < found.macro[metric].high
        for name in sample.names:
            own = found.classes[name][metric]
            assert own.estimate == pytest.approx(getattr(measured[name], metric))
            assert own.low <= own.estimate <= own.high
    assert found.n_patients == np.unique(sample.patients).size


def test_the_interval_covers_the_truth_about_as_often_as_it_says():
    # Normal scores one standard deviation apart: the true AUROC is Phi(1 / sqrt(2)) = 0.7602.
    covered = 0
    for seed in range(60):
        generator = np.random.default_rng(seed)
        labels = (np.arange(150) < 50).astype(int)[:, None]
        scores = 1 / (1 + np.exp(-(generator.normal(size=(150, 1)) + labels)))
        interval = bootstrap_intervals(labels, scores, 0.5, n_resamples=200, level=0.9, seed=seed).macro["auroc"]
        covered += interval.low <= 0.7602 <= interval.high
    # 54 of 60 expected; 48 to 59 is what a binomial gives in 99 of 100 cases.
    assert 48 <= covered <= 59


def test_records_of_few_patients_widen_the_interval():
    generator = np.random.default_rng(0)
    labels = np.repeat((np.arange(40) < 15).astype(int), 10)[:, None]
    scores = np.repeat(np.clip(generator.normal(0.4, 0.2, 40) + 0.15 * labels[::10, 0], 0, 1), 10)[:, None]
    of_records = bootstrap_intervals(labels, scores, 0.5, n_resamples=300).macro["auroc"]
    of_patients = bootstrap_intervals(labels, scores, 0.5, np.repeat(np.arange(40), 10), n_resamples=300).macro["auroc"]
    assert of_patients.high - of_patients.low > 2 * (of_records.high - of_records.low)


def test_the_same_seed_gives_the_same_intervals_and_another_others(sample):
    first, again, other = (
        bootstrap_intervals(sample.labels, sample.probabilities, 0.4, n_resamples=50, seed=seed) for seed in (1, 1, 2)
    )
    assert first.macro == again.macro != other.macro


def test_unknown_labels_change_no_figure_of_their_class(sample):
    times = multiplicities(sample.patients, len(sample.labels), n_resamples=5)
    together = weighted_metrics(sample.labels, sample.probabilities, 0.4, times)
    known = sample.labels[:, 0] >= 0
    alone = weighted_metrics(sample.labels[known, :1], sample.probabilities[known, :1], 0.4, times[known])
    for metric in RESAMPLED_METRICS:
        np.testing.assert_allclose(together[metric][:, 0], alone[metric][:, 0])


def test_a_class_that_some_resamples_lack_says_how_many():
    labels = np.zeros((50, 2), dtype=int)
    labels[0, 0] = 1
    labels[:20, 1] = 1
    found = bootstrap_intervals(labels, labels * 0.5 + 0.2, 0.5, n_resamples=400, names=["LBBB", "AF"])
    # One patient of 50 is missed by a resample with probability (49 / 50) ** 50 = 0.364.
    assert found.classes["LBBB"]["auroc"].undefined == pytest.approx(0.364, abs=0.08)
    assert found.classes["AF"]["auroc"].undefined == 0
    assert found.macro["auroc"].undefined == 0


def test_a_class_without_positives_has_no_interval_and_does_not_spoil_the_macro():
    labels = np.array([[0, 1], [0, 0]] * 10)
    found = bootstrap_intervals(labels, labels * 0.5 + 0.2, 0.5, n_resamples=50, names=["LBBB", "AF"])
    nothing = found.classes["LBBB"]["auroc"]
    assert all(math.isnan(value) for value in (nothing.estimate, nothing.low, nothing.high))
    assert nothing.undefined == 1
    assert found.macro["auroc"].estimate == 1


def test_a_network_does_not_differ_from_itself(sample):
    found = paired_difference(
        sample.labels, sample.probabilities, sample.probabilities, 0.4, 0.4, sample.patients, n_resamples=30
    )
    for metric in RESAMPLED_METRICS:
        assert found.macro[metric].estimate == found.macro[metric].low == found.macro[metric].high == 0
        assert found.first_better[metric] == 0.5


def test_the_difference_is_that_of_the_figures_and_its_interval_narrower_than_theirs():
    sample = draw(unknown=0)
    worse = np.clip(sample.probabilities + np.random.default_rng(1).normal(0, 0.15, sample.labels.shape), 0, 1)
    found = paired_difference(
        sample.labels, sample.probabilities, worse, 0.4, 0.4, sample.patients, n_resamples=200, names=sample.names
    )
    first, second = (
        bootstrap_intervals(sample.labels, scores, 0.4, sample.patients, n_resamples=200)
        for scores in (sample.probabilities, worse)
    )
    for metric in ("auroc", "f1"):
        difference = found.macro[metric]
        assert difference.estimate == pytest.approx(first.macro[metric].estimate - second.macro[metric].estimate)
        assert difference.high - difference.low < first.macro[metric].high - first.macro[metric].low + (
            second.macro[metric].high - second.macro[metric].low
        )
        assert found.first_better[metric] > 0.9


@pytest.mark.parametrize("patients", [[1, 2], [1.0, float("nan"), 2.0], ["a", None, "b"]])
def test_patients_that_are_missing_are_refused(patients):
    with pytest.raises(EvaluationError, match="patient"):
        bootstrap_intervals([[1], [0], [1]], [[0.5]] * 3, 0.5, np.array(patients))


@pytest.mark.parametrize("plan", [{"n_resamples": 0}, {"level": 95}])
def test_a_plan_that_makes_no_sense_is_refused(plan):
    with pytest.raises(EvaluationError, match="expected at least one resample"):
        bootstrap_intervals([[1], [0]], [[0.5]] * 2, 0.5, **plan)
