"""What a benchmark trains and reports on, and what was published on it."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from ecoscale.benchmarking import BENCHMARKS, choose_folds, named_benchmark, recipe_for
from ecoscale.datasets import named_collection
from ecoscale.errors import DatasetError, RecipeError
from ecoscale.models import list_models
from ecoscale.training.recipe import load_recipe, packaged_recipe, packaged_recipes

ROOT = Path(__file__).parents[2]
PTBXL = BENCHMARKS["ptbxl"]
WHOLE, WITHOUT_10 = set(range(1, 11)), set(range(1, 10))
FOLDS = choose_folds(PTBXL, WHOLE)


def test_the_published_folds_are_taken_where_they_are():
    assert (FOLDS.train, FOLDS.validation, FOLDS.test) == (tuple(range(1, 9)), 9, 10)
    assert "chosen on fold 9" in FOLDS.remark("best")


def test_without_the_test_fold_figures_are_of_the_validation_fold_and_say_so():
    folds = choose_folds(PTBXL, WITHOUT_10)
    assert (folds.train, folds.validation, folds.test) == (tuple(range(1, 9)), 9, 9)
    assert "reported on fold 9" in folds.remark("best")
    assert "The epoch was chosen on this same fold" in folds.remark("best")
    assert "The last epoch was taken" in folds.remark("last")


def test_validation_on_another_fold_makes_fold_9_an_honest_test_and_trains_on_neither():
    folds = choose_folds(PTBXL, WITHOUT_10, validation=8)
    assert (folds.train, folds.validation, folds.test) == (tuple(range(1, 8)), 8, 9)
    assert "optimistic" not in folds.remark("best")


@pytest.mark.parametrize(
    ("validation", "test", "named"), [(None, 10, "test fold 10"), (11, None, "validation fold 11")]
)
def test_a_fold_that_is_not_there_is_refused(validation, test, named):
    with pytest.raises(DatasetError, match=f"{named} is not in this folder; its folds are 1, 2, "):
        choose_folds(PTBXL, WITHOUT_10, validation, test)


@pytest.mark.parametrize("task", named_collection("ptbxl").tasks, ids=lambda task: task.name)
def test_every_task_has_a_recipe_with_its_classes(task):
    recipe = recipe_for(PTBXL, task.name, "ecoscalenet_nano", 3, FOLDS)
    assert (recipe.findings, recipe.seed, recipe.model.name) == (task.names, 3, "ecoscalenet_nano")
    assert [part.folds for part in (*recipe.data.train, *recipe.data.validation)] == [FOLDS.train, (9,)]
    assert (recipe.preparation.rate, recipe.augmentation.excerpt) == (100, 250)


def test_every_network_can_be_named():
    for name in list_models():
        assert recipe_for(PTBXL, "form", name, 0, FOLDS).model.name == name


def test_a_recipe_of_ones_own_may_stand_for_a_model_and_keys_be_changed(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(
        f"extends: {packaged_recipe('ptbxl/benchmark')}\n"
        "model: {name: ecoscalenet_radix_nano, config: {width: 8}}\noptimisation: {epochs: 7}\n"
    )
    recipe = recipe_for(PTBXL, "form", str(path), 0, FOLDS, {"model__config__width": 16, "preparation__highpass": 0.5})
    assert (recipe.name, recipe.optimisation.epochs) == ("ptbxl-form-mine-0", 7)
    assert (recipe.model.config, recipe.preparation.highpass) == ({"width": 16}, 0.5)


def test_an_unknown_model_task_or_benchmark_is_refused_naming_those_there_are():
    with pytest.raises(RecipeError, match=r"no model 'resnet': neither .*\(benchmark.*nor a network \(.*xresnet1d101"):
        recipe_for(PTBXL, "all", "resnet", 0, FOLDS)
    with pytest.raises(DatasetError, match="no task 'everything'; there are all, diagnostic"):
        recipe_for(PTBXL, "everything", "fcn", 0, FOLDS)
    with pytest.raises(DatasetError, match="no benchmark 'chapman'; there are ptbxl"):
        named_benchmark("chapman")


def test_the_published_figures_are_those_of_seven_networks_on_six_tasks():
    rows = PTBXL.published
    models = {"inception1d", "xresnet1d101", "resnet1d_wang", "fcn_wang", "lstm_bidir", "lstm", "Wavelet+NN"}
    assert {(row.task, row.model) for row in rows} == {(task, model) for task in PTBXL.tasks for model in models}
    assert len(rows) == 42
    assert all(0.7 < row.macro_auroc < 1 and 0 < row.uncertainty < 0.03 for row in rows)
    assert {row.network for row in rows} - {None} <= set(list_models())
    by_name = {(row.task, row.model): (row.macro_auroc, row.uncertainty) for row in rows}
    assert by_name["all", "xresnet1d101"] == (0.925, 0.007)
    assert by_name["superdiagnostic", "resnet1d_wang"] == (0.930, 0.005)
    # In each task of the source they stand by their AUROC.
    for task in PTBXL.tasks:
        scores = [row.macro_auroc for row in rows if row.task == task]
        assert scores == sorted(scores, reverse=True)


def test_recipes_come_with_ecoscale_and_are_valid():
    recipes = packaged_recipes()
    assert {"ptbxl/benchmark", "ptbxl-six-findings"} <= set(recipes)
    assert not [name for name in recipes if name.endswith("/protocol")]
    for name, path in recipes.items():
        if not name.endswith("/base"):
            load_recipe(path)
    with pytest.raises(RecipeError, match=r"no recipe 'ptbxl/other' comes with ecoscale; there are .*ptbxl/benchmark"):
        packaged_recipe("ptbxl/other")


def test_a_wheel_carries_the_recipes_and_a_clone_has_them_beside_its_source():
    build = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]
    assert build["targets"]["wheel"]["force-include"] == {"recipes": "ecoscale/recipes"}
    assert packaged_recipe("ptbxl/benchmark") == ROOT / "recipes" / "ptbxl" / "benchmark.yaml"
