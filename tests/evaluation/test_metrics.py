from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn import metrics as reference

from ecoscale.evaluation import EvaluationError, class_auroc, macro_auroc, measure

two_columns = arrays(np.int8, (25, 2), elements=st.integers(-1, 1))
scores_of_two = arrays(np.float64, (25, 2), elements=st.integers(0, 20).map(lambda step: step / 20))


def test_every_figure_of_a_class_is_the_one_scikit_learn_gives(sample):
    found = measure(sample.labels, sample.probabilities, 0.4, sample.names)
    for position, name in enumerate(sample.names):
        known = sample.labels[:, position] >= 0
        truth, score = sample.labels[known, position], sample.probabilities[known, position]
        called = score >= 0.4
        own = found[name]
        assert own.auroc == pytest.approx(reference.roc_auc_score(truth, score))
        assert own.average_precision == pytest.approx(reference.average_precision_score(truth, score))
        assert own.f1 == pytest.approx(reference.f1_score(truth, called))
        assert own.sensitivity == pytest.approx(reference.recall_score(truth, called))
        assert own.specificity == pytest.approx(reference.recall_score(truth, called, pos_label=0))
        assert own.ppv == pytest.approx(reference.precision_score(truth, called))
        assert own.npv == pytest.approx(reference.precision_score(truth, called, pos_label=0))
        assert own.brier == pytest.approx(reference.brier_score_loss(truth, score))
        assert [[own.tn, own.fp], [own.fn, own.tp]] == reference.confusion_matrix(truth, called).tolist()


def test_counts_and_rates_of_a_case_worked_by_hand():
    labels = np.array([[1], [1], [1], [0], [0], [0], [0], [-1]])
    probabilities = np.array([[0.9], [0.5], [0.4], [0.6], [0.3], [0.2], [0.1], [0.99]])
    own = measure(labels, probabilities, 0.5, ["AF"])["AF"]
    assert (own.positives, own.negatives, own.unknown) == (3, 4, 1)
    assert (own.tp, own.fp, own.fn, own.tn) == (2, 1, 1, 3)
    assert own.f1 == pytest.approx(2 / 3)
    assert own.specificity == pytest.approx(3 / 4)
    assert own.auroc == pytest.approx(10 / 12)


def test_a_probability_that_equals_its_threshold_counts_as_present():
    own = measure([[1], [0]], [[0.5], [0.49]], 0.5, ["AF"])["AF"]
    assert (own.tp, own.tn) == (1, 1)


def test_each_class_has_its_own_threshold():
    found = measure([[1, 1], [0, 0]], [[0.6, 0.6], [0.1, 0.1]], [0.5, 0.7], ["SB", "ST"])
    assert (found["SB"].sensitivity, found["ST"].sensitivity) == (1, 0)


def test_macro_is_the_mean_over_the_classes(sample):
    found = measure(sample.labels, sample.probabilities, 0.5, sample.names)
    assert found.undefined == {}
    for metric, value in found.macro.items():
        assert value == pytest.approx(np.mean([getattr(own, metric) for own in found.classes]))


def test_a_class_without_positives_is_left_out_of_the_macro_and_named():
    labels = np.array([[1, 0], [0, 0], [0, 0]])
    found = measure(labels, [[0.9, 0.8], [0.2, 0.1], [0.3, 0.1]], 0.5, ["AF", "SB"])
    empty = found["SB"]
    assert all(math.isnan(value) for value in (empty.auroc, empty.average_precision, empty.f1, empty.sensitivity))
    assert empty.specificity == pytest.approx(2 / 3)
    assert found.macro["auroc"] == 1
    for metric in ("auroc", "average_precision", "f1", "sensitivity"):
        assert found.undefined[metric] == ("SB",)
    assert "specificity" not in found.undefined


def test_a_class_without_negatives_has_no_auroc_and_no_specificity():
    own = measure([[1], [1]], [[0.9], [0.2]], 0.5, ["AF"])["AF"]
    assert math.isnan(own.auroc)
    assert math.isnan(own.specificity)
    assert own.sensitivity == 0.5


def test_a_class_of_unknown_labels_only_has_no_figures():
    found = measure([[-1], [-1]], [[0.9], [0.2]], 0.5, ["AF"])
    assert found["AF"].unknown == 2
    assert all(math.isnan(value) for value in found.macro.values())


@settings(max_examples=30, deadline=None)
@given(labels=two_columns, probabilities=scores_of_two)
def test_an_unknown_label_changes_no_figure_of_its_class(labels, probabilities):
    together = measure(labels, probabilities, 0.5, ["a", "b"])
    for position, name in enumerate("ab"):
        known = labels[:, position] >= 0
        if not known.any():
            continue
        alone = measure(labels[known, position, None], probabilities[known, position, None], 0.5, [name])[name]
        own = dataclasses.replace(together[name], unknown=0)
        np.testing.assert_equal(dataclasses.asdict(own), dataclasses.asdict(alone))


def test_macro_auroc_is_the_one_that_measure_gives_and_takes_logits(sample):
    expected = measure(sample.labels, sample.probabilities).macro["auroc"]
    assert macro_auroc(sample.labels, sample.probabilities) == pytest.approx(expected)
    assert macro_auroc(sample.labels, 10 * sample.probabilities - 7) == pytest.approx(expected)


def test_auroc_of_classes_that_cannot_have_one_is_nan():
    labels = np.array([[1, 0, -1], [0, 0, -1]])
    np.testing.assert_equal(class_auroc(labels, np.array([[2.0, 1, 1], [1, 1, 1]])), [1, np.nan, np.nan])
    assert math.isnan(macro_auroc(labels[:, 1:], np.ones((2, 2))))


@pytest.mark.parametrize(
    ("labels", "probabilities", "thresholds", "names", "complaint"),
    [
        ([[2]], [[0.5]], 0.5, ["AF"], "expected 1 .present., 0 .absent. or -1"),
        ([[np.nan]], [[0.5]], 0.5, ["AF"], "labels hold 1 values such as"),
        ([1, 0], [0.5, 0.5], 0.5, ["AF"], r"shape \(2,\); expected a non-empty"),
        ([[1]], [[0.5, 0.5]], 0.5, ["AF"], "must be the same"),
        ([[1]], [[np.nan]], 0.5, ["AF"], "1 of 1 probabilities are NaN"),
        ([[1]], [[3.2]], 0.5, ["AF"], "are they logits"),
        ([[1]], [[0.5]], [0.5, 0.5], ["AF"], "expected 1 finite numbers"),
        ([[1, 1]], [[0.5, 0.5]], 0.5, ["AF", "AF"], "expected 2 different ones"),
    ],
)
def test_arrays_that_do_not_fit_are_refused_with_what_was_found(labels, probabilities, thresholds, names, complaint):
    with pytest.raises(EvaluationError, match=complaint):
        measure(labels, probabilities, thresholds, names)
