"""`ecoscale runs`: runs side by side, the best first, with what their recipes differ in."""

import csv
import json
import shutil

import numpy as np
import pytest
import yaml
from sklearn.metrics import roc_auc_score

from ecoscale.training import Run


@pytest.fixture
def two(trained_run, tmp_path):
    """A finished run, and a copy of it that has another seed and width, and stopped after two epochs."""
    shutil.copytree(trained_run.folder, tmp_path / "runs" / "whole")
    other = shutil.copytree(trained_run.folder, tmp_path / "runs" / "deep" / "begun")
    recipe = yaml.safe_load((other / "recipe.yaml").read_text())
    recipe["seed"], recipe["model"]["config"]["width"] = 77, 16
    (other / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    lines = (other / "history.csv").read_text().splitlines(keepends=True)
    (other / "history.csv").write_text("".join(lines[:3]))
    return tmp_path / "runs"


def test_runs_are_listed_with_their_figures_and_differences(run, two, trained_run):
    result = run("runs", two, "--format", "json")
    assert result.exit_code == 0, result.output
    rows = {row["run"].rpartition("/")[2]: row for row in map(json.loads, result.stdout.splitlines())}
    best = max(trained_run.history, key=lambda row: row["val_macro_auroc"])
    assert rows["whole"]["macro AUROC"] == best["val_macro_auroc"]
    assert (rows["whole"]["epochs"], rows["begun"]["epochs"]) == ("4 of 4", "2 of 4")
    assert (rows["begun"]["seed"], rows["begun"]["model.config.width"]) == (77, 16)
    # What they have in common is not shown.
    assert "optimisation.batch_size" not in rows["whole"]


def test_the_best_comes_first_and_any_column_may_decide(run, two):
    scores = [json.loads(line)["macro AUROC"] for line in run("runs", two, "--format", "json").stdout.splitlines()]
    assert scores == sorted(scores, reverse=True)
    by_seed = [
        json.loads(line)["seed"] for line in run("runs", two, "--format", "json", "--sort", "seed").stdout.splitlines()
    ]
    assert by_seed == [77, 1]


def test_single_runs_may_be_named_and_written_as_csv(run, two):
    rows = list(csv.DictReader(run("runs", two / "whole", "--format", "csv").stdout.splitlines()))
    assert len(rows) == 1
    assert rows[0]["run"] == str(two / "whole")


def test_a_table_is_printed(run, two):
    shown = run("runs", two).stdout
    assert "macro AUROC" in shown
    assert "4 of 4" in shown


def test_a_run_before_its_first_epoch_comes_last(run, two):
    (two / "whole" / "history.csv").unlink()
    assert json.loads(run("runs", two, "--format", "json").stdout.splitlines()[-1])["run"].endswith("whole")


def test_where_there_is_none_it_says_so(run, tmp_path):
    result = run("runs", tmp_path)
    assert result.exit_code == 2
    assert "no run here; ecoscale train makes one" in result.stderr


def test_a_column_that_is_none_is_refused_naming_those_there_are(run, two):
    result = run("runs", two, "--sort", "luck")
    assert result.exit_code == 2
    assert "no column 'luck'" in " ".join(result.stderr.replace("│", " ").split())


@pytest.fixture
def other(trained_run, tmp_path):
    """A copy of the run whose network answers the first finding at random."""
    folder = shutil.copytree(trained_run.folder, tmp_path / "runs" / "other")
    arrays = trained_run.validation
    arrays["logits"][:, 0] = np.random.default_rng(0).normal(size=len(arrays["logits"]))
    np.savez_compressed(folder / "validation.npz", **arrays)
    return folder


def test_a_run_is_compared_with_another_by_class_with_paired_intervals(run, trained_run, other):
    result = run("runs", other, trained_run.folder, "--against", trained_run.folder, "--resamples", 50)
    assert result.exit_code == 0, result.output
    labels, logits = (trained_run.validation[name] for name in ("labels", "logits"))
    random = Run(other).validation["logits"]
    lines = {line.split()[0]: line for line in result.stdout.splitlines() if line.strip()}
    expected = roc_auc_score(labels[:, 0], random[:, 0]) - roc_auc_score(labels[:, 0], logits[:, 0])
    assert f"{expected:+.4f}" in lines["1dAVb"]
    assert "[+0.0000, +0.0000]" in lines["AF"]
    macro = json.loads(
        run("runs", other, "--against", trained_run.folder, "--resamples", 50, "--format", "json").stdout
    )
    assert macro["difference"] == pytest.approx(expected / 6)
    assert macro["from"] < macro["difference"] < macro["to"]


def test_runs_validated_on_other_records_are_not_compared(run, trained_run, other):
    arrays = Run(other).validation
    arrays["records"][0] = "another"
    np.savez_compressed(other / "validation.npz", **arrays)
    result = run("runs", other, "--against", trained_run.folder)
    assert result.exit_code == 2
    assert "validated on other records or findings" in " ".join(result.stderr.split())


def test_curves_are_drawn_into_an_image(run, two, tmp_path):
    assert run("runs", two, "--plot", tmp_path / "plots" / "curves.svg").exit_code == 0
    drawn = (tmp_path / "plots" / "curves.svg").read_text()
    assert all(name in drawn for name in ("whole", "begun", "validation macro AUROC", "epoch"))
    refused = run("runs", two, "--plot", tmp_path / "curves.txt")
    assert refused.exit_code == 2
    assert "expected one that ends in" in " ".join(refused.stderr.split())


def test_there_is_nothing_to_draw_before_the_first_epoch(run, two, tmp_path):
    for history in two.rglob("history.csv"):
        history.unlink()
    result = run("runs", two, "--plot", tmp_path / "curves.svg")
    assert result.exit_code == 2
    assert "nothing to draw" in result.stderr
