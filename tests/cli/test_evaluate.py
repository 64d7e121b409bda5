"""`ecoscale evaluate`: figures with what a reader must know about them, on a synthetic CODE-15%."""

import csv
import json

import pytest

from cli.conftest import made_bundle
from ecoscale.findings import CODE_FINDINGS
from ecoscale.prevalence import prevalence_corrections

SIX = [finding.name for finding in CODE_FINDINGS]
QUICK = ("--resamples", 20)


@pytest.fixture(scope="module")
def rival(tmp_path_factory):
    """A bundle that was trained on half of the patients, its thresholds chosen on the other."""
    data = {
        "train": [{"collection": "code15", "folds": None, "share": [0, 0.5]}],
        "validation": [{"collection": "code15", "folds": None, "share": [0.5, 1]}],
    }
    folder = tmp_path_factory.mktemp("rival") / "rival"
    return made_bundle(folder, name="rival", seed=1, provenance={"recipe": {"data": data}})


def message(result):
    """What it said, out of typer's box."""
    return " ".join(result.stderr.replace("│", " ").split())


def test_it_writes_a_report_the_figures_and_every_prediction_and_says_what_it_left_out(
    run, bundle, exams, tmp_path, monkeypatch
):
    monkeypatch.setattr("sys.argv", ["ecoscale", "evaluate", "a bundle", "exams"])
    result = run("evaluate", bundle, exams, "--out", tmp_path / "out", *QUICK)
    assert result.exit_code == 0, result.output
    made = {path.name for path in (tmp_path / "out").iterdir()}
    assert made >= {"report.html", "evaluation.json", "predictions.csv", "roc.png", "precision_recall.png"}
    assert f"report: {tmp_path / 'out' / 'report.html'}" in result.stdout
    for name in (*SIX, "macro"):
        assert sum(line.startswith(name) for line in result.stdout.splitlines()) == 1

    evaluation = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    assert evaluation["n_records"] == 39
    assert evaluation["context"]["command"] == "ecoscale evaluate 'a bundle' exams"
    assert evaluation["context"]["thresholds_chosen_here"] is False
    said = "1 of 40 records could not be read and are left out; first: "
    assert said in result.stdout
    assert evaluation["context"]["remarks"].startswith(said)
    assert said in (tmp_path / "out" / "report.html").read_text()
    assert "trained on" not in result.stdout

    with (tmp_path / "out" / "predictions.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 39
    probabilities, labels = ([f"{name}_{what}" for name in SIX] for what in ("probability", "label"))
    assert list(rows[0]) == ["record", "patient", *probabilities, *labels]
    with (exams / "exams.csv").open(newline="") as stream:
        truth = {row["exam_id"]: row for row in csv.DictReader(stream)}
    for row in rows:
        assert row["patient"] == truth[row["record"]]["patient_id"]
        assert [row[f"{name}_label"] == "1" for name in SIX] == [truth[row["record"]][name] == "True" for name in SIX]


def test_records_that_were_trained_on_or_chosen_on_are_counted(run, rival, exams, tmp_path):
    result = run("evaluate", rival, exams, "--folds", "0", "--share", "0.4-0.6", "--out", tmp_path, *QUICK)
    assert result.exit_code == 0, result.output
    evaluation = json.loads((tmp_path / "evaluation.json").read_text())
    assert 0 < evaluation["n_records"] < 39
    assert evaluation["context"]["thresholds_chosen_here"] is True
    for said in (
        "records were trained on: these figures are no evidence",
        "thresholds, calibration and epoch were chosen",
    ):
        assert said in result.stdout
        assert said in evaluation["context"]["remarks"]


def test_against_another_bundle_the_difference_and_what_that_one_had_seen_are_said(run, bundle, rival, exams, tmp_path):
    result = run("evaluate", bundle, exams, "--against", rival, "--out", tmp_path, *QUICK)
    assert result.exit_code == 0, result.output
    assert "cheap 1 minus rival 1, 39 records, 95 % interval:" in result.stdout
    assert "rival 1: " in result.stdout
    assert "trained on" in result.stdout
    context = json.loads((tmp_path / "evaluation.json").read_text())["context"]
    assert "  macro AUROC: " in context["difference"]
    assert "rival 1: " in context["remarks"]


def test_bundles_for_different_findings_are_not_compared(run, bundle, exams, tmp_path):
    other = made_bundle(tmp_path / "three", name="three", findings=CODE_FINDINGS[:3])
    result = run("evaluate", bundle, exams, "--against", other, "--out", tmp_path / "out", *QUICK)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "three 1 1dAVb, RBBB, LBBB; only bundles for the same findings" in result.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("text", ["a", "9-8", "8,", "1-2-3", ""])
def test_folds_of_another_form_are_refused(run, bundle, exams, text):
    result = run("evaluate", bundle, exams, "--folds", text)
    assert result.exit_code == 2
    assert f"Invalid value for --folds: {text!r}; expected numbers such as 9 or 1-8 or 8,9" in message(result)


@pytest.mark.parametrize("text", ["2", "0.5-0.2", "0-5", "0.1-0.1", "a-b", "nan-1"])
def test_shares_of_another_form_are_refused(run, bundle, exams, text):
    result = run("evaluate", bundle, exams, "--share", text)
    assert result.exit_code == 2
    assert f"Invalid value for --share: {text!r}; expected two rising numbers" in message(result)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ["--folds", "1-3,9"],
            "no record of CODE-15% in folds 1, 2, 3, 9; its folds are 0 (0: the publisher",
        ),
        (["--folds", "0", "--share", "0-1e-9"], "--share"),
        (["--collection", "nosuch"], "no collection 'nosuch'"),
        (["--against", "nosuch"], "nosuch: no such bundle"),
    ],
)
def test_what_is_not_there_is_named(run, bundle, exams, arguments, said):
    result = run("evaluate", bundle, exams, *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert said in message(result)


def test_a_folder_that_is_no_collection_is_named(run, bundle, tmp_path):
    result = run("evaluate", bundle, tmp_path)
    assert result.exit_code == 2
    assert f"{tmp_path}: no collection is recognised" in message(result)


def test_it_measures_what_predict_would_say_at_another_prevalence(run, tiny_bundle, exams, tmp_path):
    result = run(
        "evaluate", tiny_bundle.path, exams, "--prevalence", "AF=0.02", "--share", "0-0.5", "--out", tmp_path, *QUICK
    )
    assert result.exit_code == 0, result.output
    said = "AF: probabilities corrected from a prevalence of"
    assert said in result.stdout
    evaluation = json.loads((tmp_path / "evaluation.json").read_text())
    assert said in evaluation["context"]["remarks"]
    expected = prevalence_corrections(tiny_bundle, {"AF": 0.02})["AF"].threshold
    assert evaluation["metrics"]["classes"][-1]["threshold"] == pytest.approx(expected)
    assert "Grey: the same records without calibration." in (tmp_path / "report.html").read_text()


def test_a_collection_may_lie_at_a_url(run, bundle, exams, bucket, tmp_path):
    source = bucket.put_folder("CODE-15", exams)
    result = run("evaluate", bundle, source, "--cache", tmp_path / "copies", "--out", tmp_path / "out", *QUICK)
    assert result.exit_code == 0, result.output
    assert json.loads((tmp_path / "out" / "evaluation.json").read_text())["n_records"] == 39
