"""A benchmark's task from the recipe to the measured bundle, and a run on a stored split and a prepared store."""

import numpy as np
import pytest

from ecoscale.bundle import Bundle
from ecoscale.datasets import PTBXL, UNKNOWN, Challenge2025, Code15
from ecoscale.datasets.layouts import write_challenge2025, write_ptbxl
from ecoscale.datasets.preparing import prepare
from ecoscale.datasets.splits import stratified_split, write_split
from ecoscale.errors import RecipeError
from ecoscale.measuring import choose_records, classify_records
from ecoscale.packing import pack
from ecoscale.training import Recipe, train


@pytest.fixture(scope="module")
def ptbxl(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ptb-xl")
    write_ptbxl(folder, 60, rates=[100], seed=1)
    return folder


def recipe(tiny_recipe, **changes):
    return Recipe.model_validate(tiny_recipe.model_dump(exclude={"findings", "task"}, exclude_none=True) | changes)


def test_a_task_is_trained_packed_and_measured_by_its_own_rule(ptbxl, tmp_path, tiny_recipe):
    parts = {"train": [{"collection": "ptbxl", "folds": [1, 2, 3, 4, 5, 6]}]}
    parts["validation"] = [{"collection": "ptbxl", "folds": [7, 8, 9, 10]}]
    short = {"epochs": 1, "batch_size": 8}
    asked = recipe(tiny_recipe, name="super", task="superdiagnostic", data=parts, optimisation=short)
    run = train(asked, {"ptbxl": ptbxl}, tmp_path / "run", show_progress=False)
    bundle = pack(run, tmp_path / "bundle")
    assert [label.name for label in bundle.manifest.labels] == ["CD", "HYP", "MI", "NORM", "STTC"]
    collection = PTBXL(ptbxl)
    measured = classify_records(Bundle.load(bundle.path), collection, choose_records(collection, (9, 10)))
    where = collection.records.index.get_indexer(measured.records)
    expected = collection.task("superdiagnostic").label(collection.records["codes"])[where]
    np.testing.assert_array_equal(measured.labels, expected)
    assert (collection.task("superdiagnostic").label(collection.records["codes"]) == UNKNOWN).any()


def test_a_collection_that_has_training_records_under_another_name_is_remarked_on(tiny_bundle, tmp_path):
    """The tiny bundle was trained on CODE-15%, which the Challenge 2025 has in another form."""
    write_challenge2025(tmp_path, 2, seed=1)
    collection = Challenge2025(tmp_path)
    measured = classify_records(tiny_bundle, collection, choose_records(collection))
    assert "trained on code15, which challenge2025 has recordings in common with" in " ".join(measured.exposure)


@pytest.fixture(scope="module")
def split(code15, tmp_path_factory):
    collection = Code15(code15)
    path = tmp_path_factory.mktemp("splits") / "code15.csv"
    parts = stratified_split(collection.records, collection.labels(["AF", "RBBB"]), {"train": 0.7, "validation": 0.3})
    write_split(path, collection.records, parts, "for tests")
    return path


def on(split):
    part = {"collection": "code15", "split": str(split)}
    return {"train": [part | {"part": "train"}], "validation": [part | {"part": "validation"}]}


def test_a_store_and_a_stored_split_are_all_that_a_run_needs(code15, split, tmp_path, tiny_recipe):
    asked = recipe(tiny_recipe, data=on(split), optimisation={"epochs": 1, "batch_size": 8})
    store = prepare(Code15(code15), asked.preparation, tmp_path / "store")
    from_store = train(asked, {"code15": store.path}, tmp_path / "a", show_progress=False)
    from_files = train(asked, {"code15": code15}, tmp_path / "b", show_progress=False)
    same = ("epoch", "train_loss", "val_loss")
    assert [[row[key] for key in same] for row in from_store.history] == [
        [row[key] for key in same] for row in from_files.history
    ]
    bundle = pack(from_store, tmp_path / "bundle")
    collection = Code15(code15)
    chosen = choose_records(collection, split=(split, "validation"))
    measured = classify_records(bundle, collection, chosen)
    assert (measured.trained_on, measured.chosen_on) == (0, len(measured.records))
    moved = split.rename(split.with_name("elsewhere.csv"))
    try:
        unknown = classify_records(bundle, collection, chosen)
    finally:
        moved.rename(split)
    assert "whether the bundle has seen these records is not known" in unknown.exposure[0]


def test_a_store_of_another_preparation_or_collection_is_refused(code15, ptbxl, split, tmp_path, tiny_recipe):
    asked = recipe(tiny_recipe, data=on(split))
    other = prepare(Code15(code15), asked.preparation.model_copy(update={"window": 900}), tmp_path / "other")
    with pytest.raises(RecipeError, match=r"prepared with window 900 \(the recipe: 800\); prepare another store"):
        train(asked, {"code15": other.path}, tmp_path / "run", show_progress=False)
    ptb = prepare(PTBXL(ptbxl), asked.preparation, tmp_path / "ptb")
    with pytest.raises(RecipeError, match="a store of ptbxl; the recipe reads code15"):
        train(asked, {"code15": ptb.path}, tmp_path / "run", show_progress=False)
