from __future__ import annotations

import io
import json
import math
import re
import subprocess
import sys

import numpy as np
import pytest
from rich.console import Console

from ecoscale.evaluation import (
    Evaluation,
    EvaluationError,
    choose_thresholds,
    cross_fitted_f1,
    evaluate,
    measure,
    reliability_curve,
    render_table,
    write_report,
)
from ecoscale.findings import DISCLAIMER

from .conftest import draw

CONTEXT = {
    "bundle": "a <small> network",
    "dataset": "PTB-XL",
    "folds": [9, 10],
    "thresholds": "F1-optimal on fold 8",
    "command": "ecoscale evaluate BUNDLE DATASET",
    "seeds": 5,
}


@pytest.fixture(scope="module")
def evaluation(sample):
    return evaluate(
        sample.labels, sample.probabilities, 0.4, sample.names, sample.patients, n_resamples=40, context=CONTEXT
    )


@pytest.fixture(scope="module")
def folder(evaluation, sample, tmp_path_factory):
    folder = tmp_path_factory.mktemp("report") / "made"
    assert write_report(evaluation, sample.labels, sample.probabilities, folder) == folder / "report.html"
    return folder


def as_text(evaluation):
    screen = io.StringIO()
    Console(width=200, file=screen).print(render_table(evaluation))
    return screen.getvalue()


def test_an_evaluation_holds_the_figures_at_the_chosen_thresholds_and_at_one_half(evaluation, sample):
    assert evaluation.metrics == measure(sample.labels, sample.probabilities, 0.4, sample.names)
    assert evaluation.at_half == measure(sample.labels, sample.probabilities, 0.5, sample.names)
    assert (evaluation.n_records, evaluation.n_patients) == (400, np.unique(sample.patients).size)


def test_an_evaluation_is_the_same_after_json(evaluation):
    text = json.dumps(evaluation.to_dict(), allow_nan=False)
    assert Evaluation.from_dict(json.loads(text)) == evaluation


def test_what_is_undefined_is_null_in_json_and_nan_again_after_it():
    labels = np.array([[0, 1], [0, 0]] * 5)
    found = evaluate(labels, labels * 0.5 + 0.2, 0.5, ["LBBB", "AF"], n_resamples=10)
    values = found.to_dict()
    assert values["metrics"]["classes"][0]["auroc"] is None
    assert values["metrics"]["undefined"]["auroc"] == ["LBBB"]
    assert math.isnan(Evaluation.from_dict(values).metrics["LBBB"].auroc)
    assert Evaluation.from_dict(values).to_dict() == values


def test_json_that_is_no_evaluation_is_refused():
    with pytest.raises(EvaluationError, match="not an evaluation"):
        Evaluation.from_dict({"names": ["AF"]})


def test_the_report_is_a_page_with_its_figures_beside_it_and_the_json(folder, evaluation):
    assert {path.name for path in folder.iterdir()} == {
        "evaluation.json",
        "report.html",
        "precision_recall.png",
        "roc.png",
        "reliability.png",
        "confusion.png",
    }
    for figure in folder.glob("*.png"):
        assert figure.read_bytes().startswith(b"\x89PNG")
    assert json.loads((folder / "evaluation.json").read_text("utf-8")) == evaluation.to_dict()


def test_the_page_names_every_finding_what_was_evaluated_and_the_disclaimer(folder, sample):
    page = (folder / "report.html").read_text("utf-8")
    for name in sample.names:
        assert f'<th scope="row">{name}</th>' in page
    assert DISCLAIMER in page
    assert "PTB-XL" in page
    assert "9, 10" in page
    assert "ecoscale evaluate BUNDLE DATASET" in page


def test_the_page_escapes_what_it_is_given_and_needs_no_other_file(folder):
    page = (folder / "report.html").read_text("utf-8")
    assert "a &lt;small&gt; network" in page
    assert page.count("<svg") >= 4
    assert not re.search(r"(?:src|href)=\"(?!#|data:)", page.replace("xlink:href", "href"))


def test_the_same_evaluation_writes_the_same_page(folder, evaluation, sample, tmp_path):
    again = write_report(evaluation, sample.labels, sample.probabilities, tmp_path)
    assert again.read_text("utf-8") == (folder / "report.html").read_text("utf-8")
    assert "without calibration" not in again.read_text("utf-8")


def test_the_reliability_curves_show_both_where_uncalibrated_probabilities_are_known(evaluation, sample, tmp_path):
    uncalibrated = np.sqrt(sample.probabilities)
    page = write_report(evaluation, sample.labels, sample.probabilities, tmp_path, uncalibrated).read_text("utf-8")
    curve = reliability_curve(sample.labels[:, 0], uncalibrated[:, 0])
    assert f"was {curve.expected_calibration_error:.3f}".replace("0.", ".") in page
    assert "Grey: the same records without calibration." in page


def test_thresholds_chosen_elsewhere_bring_no_word_of_optimism(folder, evaluation):
    assert evaluation.cross_fitted is None
    assert "optimistic" not in (folder / "report.html").read_text("utf-8")
    assert "cross-fitted" not in as_text(evaluation)


def test_thresholds_chosen_on_the_same_records_are_called_optimistic_and_a_fair_f1_stands_beside(sample, tmp_path):
    labels, probabilities, patients = sample.labels, sample.probabilities, sample.patients
    found = evaluate(
        labels,
        probabilities,
        choose_thresholds(labels, probabilities).values,
        sample.names,
        patients,
        n_resamples=10,
        context={"thresholds_chosen_here": True},
    )
    assert found.cross_fitted == cross_fitted_f1(labels, probabilities, patients, sample.names)
    page = write_report(found, labels, probabilities, tmp_path).read_text("utf-8")
    assert "F1 is optimistic here" in page
    assert f"{found.cross_fitted.macro:.3f}"[1:] in page
    assert "cross-fitted" in as_text(found)
    assert Evaluation.from_dict(found.to_dict()) == found


def test_the_terminal_shows_a_row_a_finding_the_macro_and_the_disclaimer(evaluation, sample):
    text = as_text(evaluation)
    for name in (*sample.names, "macro"):
        assert name in text
    macro = evaluation.intervals.macro["auroc"]
    assert f"{macro.estimate:.3f} [{macro.low:.3f}, {macro.high:.3f}]".replace("0.", ".") in text
    assert DISCLAIMER.split(".")[0] in text


def test_what_could_not_be_measured_is_said(tmp_path):
    labels = np.array([[0, 1], [0, 0]] * 5)
    found = evaluate(labels, labels * 0.5 + 0.2, 0.5, ["LBBB", "AF"], n_resamples=10)
    page = write_report(found, labels, labels * 0.5 + 0.2, tmp_path).read_text("utf-8")
    assert "AUROC is undefined for LBBB, and left out of its macro mean." in page
    assert "–" in as_text(found)  # noqa: RUF001


def test_a_report_of_classes_that_have_no_curve_at_all_is_still_written(tmp_path):
    labels, probabilities = np.zeros((6, 1), dtype=int), np.full((6, 1), 0.2)
    found = evaluate(labels, probabilities, 0.5, ["AF"], n_resamples=5)
    assert write_report(found, labels, probabilities, tmp_path).exists()


def test_of_many_findings_the_weakest_are_drawn_and_the_page_says_so(tmp_path):
    sample = draw(200, 17)
    found = evaluate(sample.labels, sample.probabilities, 0.4, sample.names, n_resamples=5)
    page = write_report(found, sample.labels, sample.probabilities, tmp_path).read_text("utf-8")
    assert "the curves below show the 12 with the lowest AUROC" in page
    assert all(f'<th scope="row">{name}</th>' in page for name in sample.names)


def test_arrays_of_another_size_are_refused_for_the_report(evaluation, sample, tmp_path):
    with pytest.raises(EvaluationError, match="the evaluation is of 400 records"):
        write_report(evaluation, sample.labels[:9], sample.probabilities[:9], tmp_path)


@pytest.mark.parametrize("context", [{"n_records": 3}, {"bundle": object()}, {"share": float("nan")}])
def test_a_context_that_contradicts_the_arrays_or_is_not_json_is_refused(context):
    with pytest.raises(EvaluationError, match="the context"):
        evaluate([[1], [0]], [[0.9], [0.1]], 0.5, ["AF"], n_resamples=2, context=context)


def test_evaluation_needs_neither_torch_nor_pyplot():
    code = "import sys, ecoscale.evaluation; print({'torch', 'matplotlib.pyplot'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
