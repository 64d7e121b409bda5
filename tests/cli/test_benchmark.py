"""`ecoscale benchmark`: trains what is missing, measures all, and writes it beside the published figures."""

from __future__ import annotations

import csv
import json
import shutil

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from ecoscale.datasets.layouts import write_ptbxl
from ecoscale.training import Run
from ecoscale.training.module import TrainingModule

RECIPE = """
name: tiny
model: {name: ecoscalenet_100hz, config: {width: 8, kernel_sizes: [[1, 2, 3], [1, 2, 3], [1, 2], [1]]}}
preparation: {rate: 100, window: 600, highpass: null}
data: {train: [{collection: ptbxl, folds: [1]}], validation: [{collection: ptbxl, folds: [2]}]}
augmentation: {excerpt: 256}
optimisation: {epochs: 2, batch_size: 32, learning_rate: 0.01}
"""


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    """A synthetic PTB-XL of 110 records, a recipe for a tiny network, and a place for runs."""
    folder = tmp_path_factory.mktemp("benchmark")
    write_ptbxl(folder / "ptb-xl", 110, rates=[100], seed=5)
    (folder / "tiny.yaml").write_text(RECIPE)
    return folder


@pytest.fixture
def benchmark(run, workplace):
    """The command on the synthetic PTB-XL: `benchmark("--task", "rhythm")`."""

    def go(*arguments, out, data="ptb-xl"):
        place = ("--out", workplace / out, "--stores", workplace / "stores", "--resamples", 20, "--quiet")
        return run("benchmark", "ptbxl", workplace / data, "--model", workplace / "tiny.yaml", *place, *arguments)

    return go


@pytest.fixture
def done(benchmark, workplace):
    """Two seeds on the task of rhythm, reported on fold 10. Read it, do not change it."""
    folder = workplace / "whole"
    if not folder.exists():
        result = benchmark("--task", "rhythm", "--seeds", 2, out="whole")
        assert result.exit_code == 0, result.output
    return folder


def content(folder):
    return json.loads((folder / "benchmark.json").read_text())


def test_figures_are_those_of_fold_10_and_stand_beside_the_published_ones(done, workplace):
    found = content(done)
    assert found["folds"] == {"train": list(range(1, 9)), "validation": 9, "test": 10}
    (figures,) = found["figures"]
    table = pd.read_csv(workplace / "ptb-xl" / "ptbxl_database.csv", dtype={"ecg_id": str})
    scored = []
    for seed in (0, 1):
        with np.load(done / "rhythm" / f"tiny-{seed}" / "scores-fold10-best-whole.npz") as arrays:
            selected = dict(arrays)
        assert set(selected["records"]) <= set(table.ecg_id[table.strat_fold == 10])
        defined = [0 < column.sum() < len(column) for column in selected["labels"].T]
        scored.append(roc_auc_score(selected["labels"][:, defined], selected["probabilities"][:, defined]))
    assert figures["by_seed"] == pytest.approx(scored)
    assert figures["auroc"]["estimate"] == pytest.approx(np.mean(scored))
    assert (figures["seeds"], figures["epochs"], figures["spread"]) == (
        [0, 1],
        2,
        pytest.approx(np.std(scored, ddof=1)),
    )
    text = (done / "benchmark.md").read_text()
    assert "| rhythm | tiny | fold 10 | 2 |" in text
    assert "| rhythm | xresnet1d101 | fold 10 (published) |" in text
    assert found["command"].startswith("ecoscale")


def test_the_same_command_again_trains_nothing_and_writes_the_same(done, benchmark):
    before = content(done)["figures"]
    made = {path: path.stat().st_mtime_ns for path in done.rglob("*.[cn]*") if path.suffix in (".ckpt", ".npz")}
    again = benchmark("--task", "rhythm", "--seeds", 2, out="whole")
    assert "rhythm, tiny, seed 1: trained before" in again.stderr
    assert {path: path.stat().st_mtime_ns for path in made} == made
    assert content(done)["figures"] == before


def test_a_training_that_was_interrupted_goes_on_and_ends_as_an_undisturbed_one(
    done, benchmark, workplace, monkeypatch
):
    begin = TrainingModule.on_train_epoch_start

    def power_cut(module):
        if module.current_epoch == 1:
            raise RuntimeError("power cut")
        begin(module)

    with monkeypatch.context() as patch:
        patch.setattr(TrainingModule, "on_train_epoch_start", power_cut)
        assert "power cut" in str(benchmark("--task", "rhythm", out="cut").exception)
    assert len(Run(workplace / "cut" / "rhythm" / "tiny-0").history) == 1
    result = benchmark("--task", "rhythm", out="cut")
    assert "rhythm, tiny, seed 0: goes on in" in result.stderr
    (figures,) = content(workplace / "cut")["figures"]
    assert figures["by_seed"] == content(done)["figures"][0]["by_seed"][:1]


def test_windows_and_the_last_epoch_may_be_asked_for(done, benchmark, workplace):
    shutil.copytree(done, workplace / "windows")
    result = benchmark("--task", "rhythm", "--aggregate", "mean", "--epoch", "last", out="windows")
    assert result.exit_code == 0, result.output
    assert "means over windows as long as trained on" in result.stdout
    assert "The last epoch was taken" in result.stdout
    assert "trained before" in result.stderr
    # 600 samples in four windows of 256: as many operations as their lengths together.
    (whole,), (cut,) = (content(folder)["figures"] for folder in (done, workplace / "windows"))
    assert cut["macs"] / whole["macs"] == pytest.approx(4 * 256 / 600, rel=0.1)


def test_a_network_for_our_own_task_is_measured_on_the_published_ones_too(benchmark, workplace):
    result = benchmark("--task", "statements", "--set", "optimisation.epochs=1", out="statements")
    assert result.exit_code == 0, result.output
    found = {figures["task"]: figures for figures in content(workplace / "statements")["figures"]}
    # It does not know the subclasses, and no synthetic record has a statement of form.
    assert list(found) == ["statements", "all", "diagnostic", "superdiagnostic", "rhythm"]
    assert found["superdiagnostic"]["trained_on"] == "statements"
    assert found["all"]["n_records"] > found["superdiagnostic"]["n_records"]
    assert "tiny (trained for statements)" in result.stdout


def test_without_fold_10_it_reports_on_fold_9_and_says_that_the_epoch_was_chosen_there(benchmark, workplace):
    reduced = workplace / "reduced"
    reduced.mkdir()
    (reduced / "records100").symlink_to(workplace / "ptb-xl" / "records100")
    table = pd.read_csv(workplace / "ptb-xl" / "ptbxl_database.csv")
    table[table.strat_fold != 10].drop(columns="patient_id").to_csv(reduced / "ptbxl_database.csv", index=False)
    options = ("--set", "optimisation.epochs=1", "--task", "rhythm")
    result = benchmark(*options, out="nine", data="reduced")
    assert result.exit_code == 0, result.output
    assert "reported on fold 9. The epoch was chosen on this same fold" in result.stdout
    assert "each record counts as a patient of its own" in result.stdout
    honest = benchmark(*options, "--validation-fold", 8, out="eight", data="reduced")
    assert honest.exit_code == 0, honest.output
    assert "optimistic" not in honest.stdout
    with (workplace / "eight" / "rhythm" / "tiny-0" / "split.csv").open() as stream:
        used = {row["record"] for row in csv.DictReader(stream)}
    assert not used & set(table.ecg_id[table.strat_fold.isin((9, 10))].astype(str))


def test_another_recipe_in_the_same_folder_is_refused(done, benchmark):
    result = benchmark("--task", "rhythm", "--set", "optimisation.learning_rate=0.5", out="whole")
    assert result.exit_code == 2
    assert "holds a run of another recipe" in " ".join(result.stderr.split())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--task", "everything"), "no task 'everything'; there are all"),
        (("--task", "rhythm", "--model", "nothing"), "no model 'nothing'"),
        (("--task", "rhythm", "--test-fold", 12), "test fold 12 is not in this folder"),
        (("--task", "form", "--aggregate", "max", "--set", "augmentation.excerpt=null"), "no windows to aggregate"),
    ],
    ids=["task", "model", "fold", "aggregate"],
)
def test_what_cannot_be_done_is_refused_before_anything_is_trained(benchmark, workplace, arguments, message):
    result = benchmark(*arguments, out="refused")
    assert result.exit_code == 2
    assert message in " ".join(result.stderr.split())
    assert not (workplace / "refused").exists()


def test_a_folder_that_is_not_there_is_refused_by_its_name(run, workplace, monkeypatch):
    monkeypatch.chdir(workplace)
    shutil.rmtree(workplace / "ptbxl", ignore_errors=True)
    result = run("benchmark", "ptbxl", "--model", "fcn")
    assert result.exit_code == 2
    assert "ptbxl: no such folder" in result.stderr
