"""Evaluation of classes that exclude each other: the most probable one, each against the rest, and all together."""

from __future__ import annotations

import io
import itertools
import json
import math

import numpy as np
import pytest
from rich.console import Console
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax
from sklearn import metrics as reference

from ecoscale.evaluation import (
    OVERALL_METRICS,
    Evaluation,
    EvaluationError,
    compare_calibrations,
    confusion_table,
    evaluate,
    fit_calibration,
    measure,
    overall_intervals,
    paired_difference,
    paired_overall_difference,
    patient_multiplicities,
    render_table,
    weighted_metrics,
    weighted_overall,
    write_report,
)

from .conftest import Sample

NAMES = ("A", "B", "C", "D")


def draw(n_records: int = 300, *, temperature: float = 1.0, unknown: int = 20, seed: int = 0) -> Sample:
    """Labels of four classes, one of them rare, with logits for probabilities; patients with several records."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(size=(n_records, 4)) * 1.5 + np.log([0.5, 0.3, 0.17, 0.03])
    drawn = [generator.choice(4, p=row) for row in softmax(logits, axis=1)]
    labels = np.eye(4, dtype=np.int8)[drawn]
    labels[generator.permutation(n_records)[:unknown]] = -1
    return Sample(labels, temperature * logits, generator.integers(0, n_records // 2, n_records), NAMES)


@pytest.fixture(scope="module")
def drawn():
    return draw()


@pytest.fixture(scope="module")
def probabilities(drawn):
    return softmax(drawn.probabilities, axis=1)


@pytest.fixture(scope="module")
def evaluation(drawn, probabilities):
    return evaluate(drawn.labels, probabilities, None, NAMES, drawn.patients, n_resamples=40, seed=3)


@pytest.fixture(scope="module")
def known(drawn, probabilities):
    """The classes of the records of which it is known, and their probabilities."""
    rows = drawn.labels[:, 0] >= 0
    return drawn.labels[rows].argmax(axis=1), probabilities[rows]


def test_the_figures_of_each_class_and_their_means_are_those_of_scikit_learn(evaluation, known):
    truth, scores = known
    called = scores.argmax(axis=1)
    precision, recall, f1, support = reference.precision_recall_fscore_support(truth, called)
    for position, found in enumerate(evaluation.metrics.classes):
        assert (found.ppv, found.sensitivity, found.f1, found.positives) == pytest.approx(
            (precision[position], recall[position], f1[position], support[position])
        )
        assert (found.unknown, math.isnan(found.threshold)) == (20, True)
    macro = evaluation.metrics.macro
    assert macro["f1"] == pytest.approx(reference.f1_score(truth, called, average="macro"))
    assert macro["auroc"] == pytest.approx(reference.roc_auc_score(truth, scores, multi_class="ovr", average="macro"))
    assert evaluation.intervals.macro["f1"].estimate == pytest.approx(macro["f1"])


def test_the_figures_of_all_together_are_those_of_scikit_learn_with_any_weights(drawn, probabilities):
    times = np.concatenate(list(patient_multiplicities(drawn.patients, len(drawn.labels), n_resamples=3)), axis=1)
    found = weighted_overall(drawn.labels, probabilities, times)
    rows = drawn.labels[:, 0] >= 0
    truth, scores = drawn.labels[rows].argmax(axis=1), probabilities[rows]
    called = scores.argmax(axis=1)
    for resample in range(3):
        weight = times[rows, resample]
        repeated = np.repeat(np.arange(len(truth)), weight)
        edges = np.linspace(0, 1, 16)
        confidence, right = scores.max(axis=1)[repeated], (called == truth)[repeated]
        inside = [(confidence > low) & (confidence <= high) for low, high in itertools.pairwise(edges)]
        expected = {
            "accuracy": reference.accuracy_score(truth, called, sample_weight=weight),
            "balanced_accuracy": reference.balanced_accuracy_score(truth, called, sample_weight=weight),
            "log_loss": reference.log_loss(truth, scores, sample_weight=weight, labels=range(4)),
            "brier": reference.brier_score_loss(
                truth, scores, sample_weight=weight, labels=range(4), scale_by_half=False
            ),
            "ece": sum(abs((right[part].astype(float) - confidence[part]).sum()) for part in inside) / len(repeated),
        }
        assert {metric: found[metric][resample] for metric in OVERALL_METRICS} == pytest.approx(expected)


def test_a_class_that_was_given_no_probability_at_all_costs_much_and_not_infinitely_much():
    overall = weighted_overall([[1, 0]], [[0.0, 1.0]], np.ones((1, 1)))
    assert overall["log_loss"][0] == pytest.approx(-math.log(np.finfo(float).eps))
    assert (overall["accuracy"][0], overall["brier"][0], overall["ece"][0]) == (0, 2, 1)


def test_without_a_known_class_nothing_is_measured():
    overall = overall_intervals(np.full((4, 3), -1), np.full((4, 3), 1 / 3), n_resamples=5)
    assert all(math.isnan(interval.estimate) for interval in overall.values())


def test_intervals_hold_the_estimates_and_come_from_resampled_patients(drawn, probabilities, evaluation):
    for metric, interval in evaluation.overall.items():
        assert interval.low < interval.high
        # A resample holds records twice, which makes a calibration error larger: it may lie above the estimate.
        assert metric == "ece" or interval.low <= interval.estimate <= interval.high
    same = overall_intervals(drawn.labels, probabilities, drawn.patients, 40, seed=3)
    assert same == evaluation.overall
    assert overall_intervals(drawn.labels, probabilities, None, 40, seed=3) != same


def test_balanced_accuracy_is_the_macro_sensitivity(evaluation):
    assert evaluation.overall["balanced_accuracy"].estimate == pytest.approx(evaluation.metrics.macro["sensitivity"])
    assert evaluation.overall["balanced_accuracy"].low == pytest.approx(evaluation.intervals.macro["sensitivity"].low)


def test_equal_probabilities_decide_for_one_class_alone():
    metrics = measure([[1, 0], [0, 1]], [[0.5, 0.5], [0.5, 0.5]], None)
    assert [(found.tp, found.fp, found.fn, found.tn) for found in metrics.classes] == [(1, 1, 0, 0), (0, 0, 1, 1)]


def test_the_confusion_table_has_each_known_record_once(drawn, probabilities, known):
    table = confusion_table(drawn.labels, probabilities, None, NAMES)
    truth, scores = known
    expected = reference.confusion_matrix(truth, scores.argmax(axis=1))
    assert table.names == NAMES
    np.testing.assert_array_equal(table.counts, expected)
    np.testing.assert_array_equal(table.wrong, expected - np.diag(np.diag(expected)))
    np.testing.assert_allclose(np.sum(table.shares, axis=1), 1)


def test_the_difference_of_two_networks_is_that_of_their_figures(drawn, probabilities):
    blunt = softmax(drawn.probabilities * [1, 1, 0, 1], axis=1)
    options = {"n_resamples": 20, "seed": 5}
    overall = paired_overall_difference(drawn.labels, probabilities, blunt, drawn.patients, **options)
    by_class = paired_difference(drawn.labels, probabilities, blunt, None, None, drawn.patients, names=NAMES, **options)
    once = np.ones((len(drawn.labels), 1), dtype=np.int32)
    for metric in OVERALL_METRICS:
        first, second = (weighted_overall(drawn.labels, each, once)[metric][0] for each in (probabilities, blunt))
        assert overall[metric].estimate == pytest.approx(first - second)
    assert overall["balanced_accuracy"].estimate == pytest.approx(by_class.macro["sensitivity"].estimate)
    assert overall["balanced_accuracy"].high == pytest.approx(by_class.macro["sensitivity"].high)


@pytest.mark.parametrize(
    ("labels", "probabilities", "why"),
    [
        ([[1, 1], [0, 1]], [[0.5, 0.5], [0.5, 0.5]], r"labels of 1 records, such as \[1, 1\] in row 0, are not of one"),
        ([[0, 0]], [[0.5, 0.5]], r"such as \[0, 0\] in row 0"),
        ([[1, -1]], [[0.5, 0.5]], r"such as \[1, -1\] in row 0"),
        ([[1, 0]], [[0.9, 0.4]], "sum to 1.3 to 1.3; expected 1, for classes that exclude each other"),
    ],
)
@pytest.mark.parametrize("function", [measure, confusion_table, lambda *given: weighted_metrics(*given, [[1], [1]])])
def test_what_is_not_of_classes_that_exclude_each_other_is_refused(function, labels, probabilities, why):
    with pytest.raises(EvaluationError, match=why):
        function(labels, probabilities, None)


def test_the_temperature_is_the_likeliest_one():
    sample = draw(4000, temperature=2.5, seed=2)
    calibration = fit_calibration(sample.labels, sample.probabilities, "temperature", NAMES, single_label=True)
    rows = sample.labels[:, 0] >= 0
    truth, logits = sample.labels[rows] == 1, sample.probabilities[rows]
    likeliest = minimize_scalar(
        lambda t: -log_softmax(logits / t, axis=1)[truth].mean(), bounds=(0.1, 10), method="bounded"
    ).x
    # Platt's targets for a class of a hundred records weigh about one record more.
    assert 1 / calibration.slope[0] == pytest.approx(likeliest, rel=0.03)
    assert 1 / calibration.slope[0] == pytest.approx(2.5, rel=0.1)
    assert len(set(calibration.slope)) == 1
    assert calibration.single_label
    np.testing.assert_allclose(
        calibration.probabilities(logits), softmax(logits * calibration.slope[0], axis=1), rtol=1e-12
    )
    assert not calibration.warnings


def test_the_temperature_does_not_depend_on_what_all_logits_of_a_record_have_in_common():
    sample = draw(seed=4)
    moved = sample.probabilities + np.random.default_rng(1).normal(size=(len(sample.labels), 1)) * 50
    first, second = (
        fit_calibration(sample.labels, logits, "temperature", single_label=True).slope[0]
        for logits in (sample.probabilities, moved)
    )
    assert second == pytest.approx(first, rel=1e-9)


def test_classes_that_are_told_apart_perfectly_get_a_finite_temperature():
    labels = np.eye(3, dtype=np.int8)[np.arange(60) % 3]
    calibration = fit_calibration(labels, 4.0 * labels - 2, "temperature", single_label=True)
    # Platt's target for a class of 20 records among three is 21 / 23.
    np.testing.assert_allclose(calibration.probabilities(4.0 * labels - 2)[labels == 1], 21 / 23, rtol=1e-9)


@pytest.mark.parametrize(
    ("labels", "logits", "why"),
    [
        ([[1, 0], [0, 1]], [[-1.0, 1.0], [1.0, -1.0]], "not calibrated, the fitted slope is not positive"),
        ([[1, 0], [0, 1]], [[2.0, 2.0], [3.0, 3.0]], "not calibrated, there are no differences between logits to fit"),
        ([[-1, -1], [-1, -1]], [[2.0, 1.0], [3.0, 3.0]], "not calibrated, there are no records to fit on"),
    ],
)
def test_what_cannot_be_fitted_stays_as_it_is_and_says_so(labels, logits, why):
    calibration = fit_calibration(labels, logits, "temperature", single_label=True)
    assert calibration.warnings[0].startswith(why)
    np.testing.assert_allclose(calibration.probabilities(logits), softmax(logits, axis=1))


def test_a_class_without_records_has_the_others_temperature():
    sample = draw(seed=6)
    labels = np.column_stack([sample.labels, np.where(sample.labels[:, 0] < 0, -1, 0)])
    logits = np.column_stack([sample.probabilities, np.full(len(labels), -9.0)])
    calibration = fit_calibration(labels, logits, "temperature", (*NAMES, "E"), single_label=True)
    assert calibration.warnings == ("E: there are no records of it to fit on; it has the other classes' temperature",)


@pytest.mark.parametrize("method", ["platt", "isotonic"])
def test_a_method_that_changes_each_class_by_itself_is_refused(drawn, method):
    with pytest.raises(EvaluationError, match="expected one of temperature, none for classes that exclude each other"):
        fit_calibration(drawn.labels, drawn.probabilities, method, single_label=True)


def test_calibrations_are_compared_on_patients_that_they_were_not_fitted_on():
    sample = draw(600, temperature=3.0, seed=7)
    compared = compare_calibrations(sample.labels, sample.probabilities, sample.patients, NAMES, single_label=True)
    assert list(compared.figures) == ["temperature", "none"]
    rows = sample.labels[:, 0] >= 0
    truth = sample.labels[rows].argmax(axis=1)
    for method, figures in compared.figures.items():
        scores = compared.probabilities[method]
        np.testing.assert_allclose(scores.sum(axis=1), 1)
        assert figures["log_loss"] == pytest.approx(reference.log_loss(truth, scores[rows], labels=range(4)))
        overall = weighted_overall(sample.labels, scores, np.ones((len(scores), 1)))
        assert figures["brier"] == pytest.approx(overall["brier"][0])
    for figure in ("ece", "brier", "log_loss"):
        assert compared.figures["temperature"][figure] < compared.figures["none"][figure]


def test_the_table_says_what_all_classes_are_worth_and_knows_no_threshold(evaluation):
    screen = io.StringIO()
    Console(width=200, file=screen).print(render_table(evaluation))
    text = " ".join(screen.getvalue().split())
    for wanted in ("class", "macro", "accuracy", "balanced accuracy", "log loss", "Brier score", "calibration error"):
        assert wanted in text
    assert "threshold" not in text
    interval = evaluation.overall["accuracy"]
    assert f"{interval.estimate:.3f}".lstrip("0") in text


def test_the_report_and_its_numbers_are_of_classes_that_exclude_each_other(evaluation, drawn, probabilities, tmp_path):
    page = write_report(evaluation, drawn.labels, probabilities, tmp_path, softmax(2 * drawn.probabilities, axis=1))
    text = page.read_text(encoding="utf-8")
    assert "4 classes that exclude each other" in text
    assert "rows add up to 100 %" in text
    for absent in ("At 0.5", "chosen threshold", "reaches its threshold", "at fixed thresholds", "or with none"):
        assert absent not in text
    written = json.loads((tmp_path / "evaluation.json").read_text(encoding="utf-8"))
    assert written["at_half"] is None
    assert written["metrics"]["classes"][0]["threshold"] is None
    assert written["overall"]["accuracy"]["estimate"] == evaluation.overall["accuracy"].estimate
    again = Evaluation.from_dict(written)
    assert again.overall == evaluation.overall
    assert again.to_dict() == written


def test_an_evaluation_from_before_there_were_such_classes_is_read(sample):
    values = evaluate(sample.labels, sample.probabilities, 0.5, sample.names, n_resamples=3).to_dict()
    del values["overall"]
    assert Evaluation.from_dict(values).overall is None


def test_thresholds_cannot_have_been_chosen_where_there_are_none(drawn, probabilities):
    with pytest.raises(EvaluationError, match="thresholds were chosen here; classes that exclude each other have none"):
        evaluate(drawn.labels, probabilities, None, NAMES, context={"thresholds_chosen_here": True})
