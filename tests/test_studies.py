"""Studies: every row can be trained as it stands, and what is stored of it is of the network that it names."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from ecoscale.complexity import measure_complexity
from ecoscale.models import create_model
from ecoscale.training import load_recipe

FOLDER = Path(__file__).parents[1] / "studies" / "networks"


@pytest.fixture(scope="module")
def study():
    spec = importlib.util.spec_from_file_location("study", FOLDER / "study.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_row_makes_a_recipe(study):
    rows = study.load_rows()
    assert len(rows) > 10
    for row in rows:
        recipe = study.recipe_of(row, seed=3)
        assert (recipe.name, recipe.seed) == (row, 3)
        assert recipe.findings == tuple(name for task in study.TASKS.values() for name in task)


def test_fold_10_is_in_no_recipe():
    recipe = load_recipe(FOLDER / "recipe.yaml")
    assert [part.folds for part in (*recipe.data.train, *recipe.data.validation)] == [tuple(range(1, 9)), (9,)]


def test_results_are_of_the_networks_that_their_rows_name(study):
    results = study.load_results()
    assert results
    for row, members in results.items():
        recipe = study.recipe_of(row, seed=0)
        with torch.device("meta"):
            network = create_model(recipe.model.name, 12, len(recipe.findings), **recipe.model.config)
        cost = measure_complexity(network, 12, recipe.preparation.window)
        for member in members:
            assert (member["parameters"], member["macs"]) == (cost.parameters, cost.macs), row
            assert member["epochs"] == recipe.optimisation.epochs
            assert np.isfinite(member["logits"]).all()
    assert len({member["seed"] for members in results.values() for member in members}) > 1


def test_stored_figures_are_those_of_the_stored_logits(study):
    from ecoscale.evaluation import macro_auroc

    path = sorted((FOLDER / "results").glob("*.json"))[0]
    figures = json.loads(path.read_text())["figures"]
    with np.load(path.with_suffix(".npz")) as arrays:
        scores = 1 / (1 + np.exp(-arrays["logits"].astype(np.float64)))
        for task, columns in (("six", slice(0, 6)), ("super", slice(6, 11))):
            assert macro_auroc(arrays["labels"][:, columns], scores[:, columns]) == pytest.approx(
                figures[task]["auroc"], abs=1e-4
            )


@pytest.mark.parametrize(("command", "rows"), [("methods", 5), ("prevalence", 6), ("estimate", 6)])
def test_the_study_of_calibration_prints_its_tables(command, rows):
    from typer.testing import CliRunner

    spec = importlib.util.spec_from_file_location("calibration", FOLDER.parent / "calibration.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.HALVES = 1
    result = CliRunner().invoke(module.app, [command, str(FOLDER / "results" / "lean-tiny-0.npz")])
    assert result.exit_code == 0, result.output
    heading, rule, *found = result.stdout.splitlines()
    assert len(found) == rows
    assert {line.count("|") for line in (heading, rule, *found)} == {heading.count("|")}
