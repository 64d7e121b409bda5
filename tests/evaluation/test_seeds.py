"""Means over seeds: the same figures as elsewhere for one seed, and honest intervals for several."""

import math

import numpy as np
import pytest

from ecoscale.evaluation import (
    EvaluationError,
    TrainedOnce,
    bootstrap_intervals,
    compare_over_seeds,
    measure,
    paired_difference,
)

NAMES = ("AF", "SB")
RECORDS = 300


@pytest.fixture
def drawn():
    """Labels, patients, and three trainings each of a good and a poor network."""
    random = np.random.default_rng(1)
    labels = (random.uniform(size=(RECORDS, 2)) < 0.3).astype(np.int8)
    labels[:5, 1] = -1
    patients = random.integers(200, size=RECORDS)

    def trained(noise):
        probabilities = np.clip(0.3 + 0.4 * (labels == 1) + random.normal(0, noise, labels.shape), 0, 1)
        return TrainedOnce(probabilities, np.array([0.5, 0.55]))

    return labels, patients, {"good": [trained(0.15) for _ in range(3)], "poor": [trained(0.4) for _ in range(3)]}


def test_a_mean_is_of_the_seeds_own_figures(drawn):
    labels, patients, networks = drawn
    found = compare_over_seeds(labels, networks, [("good", "poor")], patients, n_resamples=50, names=NAMES)
    for name, runs in networks.items():
        measured = [measure(labels, run.probabilities, run.thresholds, NAMES) for run in runs]
        for metric in ("f1", "auroc"):
            figure = found.networks[name][metric]["macro"]
            by_seed = [one.macro[metric] for one in measured]
            assert figure.by_seed == pytest.approx(by_seed)
            assert figure.mean == pytest.approx(np.mean(by_seed))
            assert figure.deviation == pytest.approx(np.std(by_seed, ddof=1))
            assert found.networks[name][metric]["SB"].by_seed == pytest.approx(
                [getattr(one["SB"], metric) for one in measured]
            )
    means = [found.networks[name]["f1"]["macro"].mean for name in ("good", "poor")]
    assert found.differences["good"]["poor"]["f1"]["macro"].mean == pytest.approx(means[0] - means[1])
    assert found.positives == {"AF": (labels[:, 0] == 1).sum(), "SB": (labels[:, 1] == 1).sum()}
    assert found.n_patients == len(set(patients))


def test_with_one_seed_the_intervals_are_those_of_the_paired_bootstrap(drawn):
    labels, patients, networks = drawn
    one, other = networks["good"][0], networks["poor"][0]
    found = compare_over_seeds(
        labels, {"good": [one], "poor": [other]}, [("good", "poor")], patients, n_resamples=60, seed=3, names=NAMES
    )
    alone = bootstrap_intervals(
        labels, one.probabilities, one.thresholds, patients, n_resamples=60, seed=3, names=NAMES
    )
    paired = paired_difference(
        *(labels, one.probabilities, other.probabilities, one.thresholds, other.thresholds, patients),
        n_resamples=60,
        seed=3,
        names=NAMES,
    )
    for metric in ("f1", "auroc"):
        figure, difference = found.networks["good"][metric], found.differences["good"]["poor"][metric]
        assert figure["macro"].patients == alone.macro[metric]
        assert figure["AF"].patients == alone.classes["AF"][metric]
        # The mean of the classes' differences, and the difference of their means: equal but for the last bit.
        own, expected = difference["macro"].patients, paired.macro[metric]
        assert (own.estimate, own.low, own.high) == pytest.approx((expected.estimate, expected.low, expected.high))
        assert difference["AF"].patients == paired.classes["AF"][metric]
        assert figure["macro"].patients_and_seeds is None
        assert difference["macro"].patients_and_seeds is None
        assert math.isnan(figure["macro"].deviation)


def test_the_interval_over_seeds_is_that_of_drawing_one_seed_less_than_there_are():
    """Three of five seeds are always right, two always wrong: whoever the patients are, only the seeds matter."""
    labels = np.tile([[1], [0]], (50, 1))
    right, wrong = TrainedOnce(labels.astype(float), 0.5), TrainedOnce(1.0 - labels, 0.5)
    found = compare_over_seeds(labels, {"mixed": [right] * 3 + [wrong] * 2}, n_resamples=2000, level=0.9)
    figure = found.networks["mixed"]["f1"]["macro"]
    assert figure.by_seed == (1, 1, 1, 0, 0)
    assert (figure.patients.low, figure.patients.high) == pytest.approx((0.6, 0.6))
    # Of a binomial of 4 with 0.6: below 1 lie 2.6 %, up to 1 17.9 %; at 4 lie 13 %.
    assert (figure.patients_and_seeds.low, figure.patients_and_seeds.high) == (0.25, 1.0)


def test_the_seeds_of_two_networks_are_drawn_apart(drawn):
    labels, patients, networks = drawn
    found = compare_over_seeds(
        labels, {"a": networks["poor"], "b": networks["poor"]}, [("a", "b")], patients, n_resamples=100
    )
    difference = found.differences["a"]["b"]["f1"]["macro"]
    assert (difference.mean, difference.patients.low, difference.patients.high) == (0, 0, 0)
    assert difference.patients_and_seeds.low < 0 < difference.patients_and_seeds.high


def test_what_cannot_be_compared_is_named(drawn):
    labels, _, networks = drawn
    with pytest.raises(EvaluationError, match="no training of any network"):
        compare_over_seeds(labels, {})
    with pytest.raises(EvaluationError, match="no training of empty"):
        compare_over_seeds(labels, networks | {"empty": []})
    with pytest.raises(EvaluationError, match="pairs name best; there are good, poor"):
        compare_over_seeds(labels, networks, [("best", "poor")])
    with pytest.raises(EvaluationError, match="at least one resample"):
        compare_over_seeds(labels, networks, n_resamples=0)


def test_a_class_without_positives_is_undefined_and_left_out_of_the_mean(drawn):
    labels, patients, networks = drawn
    labels[:, 1] = 0
    found = compare_over_seeds(labels, networks, patients=patients, n_resamples=20, names=NAMES)
    figures = found.networks["good"]["f1"]
    assert math.isnan(figures["SB"].mean)
    assert figures["macro"].mean == figures["AF"].mean
    assert found.to_dict()["networks"]["good"]["f1"]["SB"]["patients"]["estimate"] is None
