"""`ecoscale train FOLDER`: from CSVs of any signal and a table of labels to a bundle that tells a new file's class."""

import json
import shutil

import numpy as np
import pytest
import yaml

from ecoscale.training import Recipe, Run
from owned import made_signal, write_own, write_table

SMALL = ("--set", "model.config.width=8", "--quiet")


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    return write_own(tmp_path_factory.mktemp("own") / "wrist")


@pytest.fixture
def own(written, tmp_path, monkeypatch):
    """A folder of 48 records, beside which the command runs."""
    monkeypatch.chdir(tmp_path)
    return shutil.copytree(written, tmp_path / "wrist")


def test_a_folder_becomes_a_bundle_that_tells_the_class_of_a_file(run, own):
    trained = run("train", own, "--set", "optimisation.epochs=6", *SMALL)
    assert trained.exit_code == 0, trained.stderr
    assert "48 records, 3 s at 20 Hz; channels pulse (a.u.), move (g)" in trained.stderr
    (counted,) = [line.split() for line in trained.stderr.splitlines() if line.startswith("calm ")]
    assert counted == ["calm", "17", "4", "3"]
    assert "Next: ecoscale pack runs/wrist --out bundles/wrist; ecoscale evaluate bundles/wrist" in trained.stderr
    packed = run("pack", "runs/wrist", "--out", "bundles/wrist")
    assert packed.exit_code == 0, packed.stderr

    measured = run("evaluate", "bundles/wrist", own, "--split", "runs/wrist/parts.csv", "--resamples", 20)
    assert measured.exit_code == 0, measured.stderr
    assert "trained on" not in measured.stderr

    for seed, kind in enumerate(("calm", "fast")):
        write_table(own.parent / f"{kind}.csv", made_signal(kind, np.random.default_rng(seed)))
        told = run("predict", own.parent / f"{kind}.csv", "--bundle", "bundles/wrist", "--format", "json")
        assert told.exit_code == 0, told.stderr
        findings = json.loads(told.stdout)["findings"]
        assert [name for name, finding in findings.items() if finding["present"]] == [kind]
        assert sum(finding["probability"] for finding in findings.values()) == pytest.approx(1, abs=1e-4)


def test_a_dry_run_prints_the_recipe_and_writes_nothing(run, own):
    before = sorted(own.parent.rglob("*"))
    shown = run("train", own, "--dry-run", "--set", "optimisation.epochs=3")
    assert shown.exit_code == 0, shown.stderr
    recipe = Recipe.model_validate(yaml.safe_load(shown.stdout))
    assert (recipe.name, recipe.optimisation.epochs, recipe.preparation.window) == ("wrist", 3, 60)
    assert "validation" in shown.stderr
    assert sorted(own.parent.rglob("*")) == before


def test_a_dry_run_of_a_recipe_prints_it_with_its_changes(run, tmp_path, tiny_recipe):
    path = tmp_path / "tiny.yaml"
    path.write_text(tiny_recipe.to_yaml())
    shown = run("train", path, "--dry-run", "--set", "seed=3")
    assert shown.exit_code == 0, shown.stderr
    assert yaml.safe_load(shown.stdout) == tiny_recipe.model_dump(mode="json") | {"seed": 3}


def test_a_run_on_a_folder_is_gone_on_with_and_is_not_begun_twice(run, own):
    options = ("--out", "run", "--set", "optimisation.epochs=1", *SMALL)
    assert run("train", own, *options).exit_code == 0
    again = run("train", own, *options)
    assert again.exit_code == 2
    assert "error: run: holds a run already; go on with it (--resume)" in again.stderr
    resumed = run("train", own, "--out", "run", "--resume", "--quiet")
    assert resumed.exit_code == 0, resumed.stderr
    assert len(Run(own.parent / "run").history) == 1


def test_the_table_of_another_name_is_the_folder(run, own):
    (own / "labels.csv").rename(own / "second.csv")
    shown = run("train", own / "second.csv", "--dry-run")
    assert shown.exit_code == 0, shown.stderr
    assert yaml.safe_load(shown.stdout)["findings"] == ["calm", "fast"]


def test_a_folder_is_not_told_where_its_data_lie(run, own):
    refused = run("train", own, "--data", f"folder={own}")
    assert refused.exit_code == 2
    assert "holds the data itself; leave this out" in " ".join(refused.stderr.replace("│", " ").split())


def test_a_folder_without_labels_is_refused_with_what_is_looked_for(run, tmp_path):
    refused = run("train", tmp_path)
    assert refused.exit_code == 2
    assert "neither of labels.csv and labels.tsv found" in refused.stderr
