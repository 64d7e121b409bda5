"""Studies: every row can be trained as it stands, and what is stored of it is of the network that it names."""

import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from ecoscale.complexity import measure_complexity
from ecoscale.models import create_model
from ecoscale.training import load_recipe

FOLDER = Path(__file__).parents[1] / "studies"


def script():
    spec = importlib.util.spec_from_file_location("study", FOLDER / "study.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where dataclasses look for what they annotate
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module", params=script().STUDIES)
def study(request):
    return script().Study(FOLDER / request.param)


def test_every_row_makes_a_recipe(study):
    assert len(study.rows) > 10
    for row in study.rows:
        recipe = study.recipe(row, seed=3)
        assert (recipe.name, recipe.seed) == (row, 3)
        assert set(study.names) <= set(recipe.findings)


def test_fold_10_is_in_no_recipe(study):
    recipe = load_recipe(study.folder / "recipe.yaml")
    assert [part.folds for part in (*recipe.data.train, *recipe.data.validation)] == [tuple(range(1, 9)), (9,)]


def test_results_are_of_the_networks_that_their_rows_name(study):
    results = script().load_results(study)
    assert results
    for row, members in results.items():
        recipe = study.recipe(row, seed=0)
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

    path = sorted(study.results.glob("*.json"))[0]
    figures = json.loads(path.read_text())["figures"]
    with np.load(path.with_suffix(".npz")) as arrays:
        scores = 1 / (1 + np.exp(-arrays["logits"].astype(np.float64)))
        for task, names in study.tasks.items():
            columns = [study.names.index(name) for name in names]
            assert macro_auroc(arrays["labels"][:, columns], scores[:, columns]) == pytest.approx(
                figures[task]["auroc"], abs=1e-4
            )


@pytest.mark.parametrize(("command", "rows"), [("methods", 5), ("prevalence", 6), ("estimate", 6)])
def test_the_study_of_calibration_prints_its_tables(command, rows):
    from typer.testing import CliRunner

    spec = importlib.util.spec_from_file_location("calibration", FOLDER / "calibration.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.HALVES = 1
    result = CliRunner().invoke(module.app, [command, str(FOLDER / "networks" / "results" / "lean-tiny-0.npz")])
    assert result.exit_code == 0, result.output
    heading, rule, *found = result.stdout.splitlines()
    assert len(found) == rows
    assert {line.count("|") for line in (heading, rule, *found)} == {heading.count("|")}


def test_the_study_of_explanations_finds_that_af_hangs_on_missing_p_waves():
    from typer.testing import CliRunner

    spec = importlib.util.spec_from_file_location("explaining", FOLDER / "explaining.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    result = CliRunner().invoke(module.app, ["fibrillation", "--records", "3"])
    assert result.exit_code == 0, result.output
    rows = dict(line.strip("| ").split(" | ") for line in result.stdout.splitlines()[2:])
    log_odds = {name: float(cell.split()[0]) for name, cell in rows.items()}
    assert log_odds["AF, TQ flat but for a P wave before each QRS"] < log_odds["AF, TQ flat"] - 3
    assert log_odds["healthy, P flat"] > log_odds["healthy, as it is"] + 3
