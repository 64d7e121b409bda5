"""The stages: all of them once, none of them twice, and whatever interrupts them changes nothing."""

import subprocess
import sys

import numpy as np
import pytest

from ecoscale.datasets import Code15
from ecoscale.datasets.splits import read_split, shared_patients
from ecoscale.datasets.store import open_store
from ecoscale.errors import DatasetError, RecipeError
from ecoscale.reproduction import reproduce
from ecoscale.reproduction.stages import predictions
from ecoscale.training.data import Examples
from ecoscale.training.prediction import predict_logits

REPRODUCE_IN_ANOTHER_PROCESS = """
import sys
from pathlib import Path
from ecoscale.reproduction import load_protocol, make_plan, reproduce
import yaml
folder, code15, changes = sys.argv[1:]
asked = {"models": ["ecoscalenet"], "seeds": 2, "changes": yaml.safe_load(changes)}
reproduce(make_plan(load_protocol("code15"), Path(folder), **asked), Path(code15))
"""


def arrays(run, name):
    with np.load(predictions(run, name)) as file:
        return dict(file)


def test_every_network_is_trained_with_every_seed_and_predicts_the_test_part(done, code15):
    parts = read_split(done.split)
    assert set(parts.values()) == {"train", "validation", "test"}
    assert not shared_patients(Code15(code15).records, parts)
    for network in done.recipes:
        for seed in done.seeds:
            run = done.run(network, seed)
            assert (run.recipe.seed, len(run.history)) == (seed, 2)
            found = arrays(run, "test")
            assert {parts[record] for record in found["records"]} == {"test"}
            # One exam is empty, as some of the publisher's are.
            assert len(found["records"]) >= list(parts.values()).count("test") - 1
            assert found["logits"].shape == found["labels"].shape == (len(found["records"]), 6)
            assert {parts[record] for record in run.validation["records"]} == {"validation"}


def test_what_is_predicted_is_what_the_network_of_the_best_epoch_says(done):
    run, store = done.run("oscnn", 1), open_store(done.store("code15"))
    validation = run.validation
    rows = store.records.index.get_indexer(validation["records"])
    examples = Examples("code15", store, rows, validation["labels"])
    np.testing.assert_allclose(predict_logits(run, examples, batch_size=5), validation["logits"], rtol=1e-4, atol=1e-5)


def test_the_external_exams_are_all_of_them(done, code_test):
    found = arrays(done.run("ecoscalenet", 0), "code_test")
    assert len(found["records"]) == 30
    assert (found["labels"].sum(axis=0) > 0).all()


def test_nothing_is_done_twice(done, code15, code_test):
    before = {path: path.stat().st_mtime_ns for path in done.folder.rglob("*") if path.is_file()}
    said = []
    reproduce(done, code15, external=code_test, say=said.append)
    assert {path: path.stat().st_mtime_ns for path in done.folder.rglob("*") if path.is_file()} == before
    assert [line.partition(": ")[2] for line in said] == [
        f"{network}, seed {seed}: done before" for network in ("ecoscalenet", "oscnn") for seed in (0, 1)
    ]


def test_killed_in_mid_training_it_goes_on_and_ends_as_an_undisturbed_one(
    done, plan_in, tiny_changes, code15, tmp_path
):
    plan = plan_in(tmp_path / "killed", models=["ecoscalenet"])
    changes = {key: value for key, value in tiny_changes.items() if not key.startswith("oscnn")}
    arguments = [sys.executable, "-c", REPRODUCE_IN_ANOTHER_PROCESS, plan.folder, code15, str(changes)]
    with subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        while plan.run("ecoscalenet", 1).last_checkpoint is None:
            try:
                process.wait(timeout=0.02)
            except subprocess.TimeoutExpired:
                continue
            pytest.fail(f"it ended before it could be killed: {process.stderr.read()}")
        process.kill()
    said = []
    reproduce(plan, code15, say=said.append)
    assert said == ["1 of 2: ecoscalenet, seed 0: done before", "2 of 2: ecoscalenet, seed 1: going on"]
    assert plan.split.read_bytes() == done.split.read_bytes()
    for seed in plan.seeds:
        expected = arrays(done.run("ecoscalenet", seed), "test")
        for name, value in arrays(plan.run("ecoscalenet", seed), "test").items():
            np.testing.assert_array_equal(value, expected[name], err_msg=name)


def test_a_run_by_another_recipe_is_refused_before_anything_is_done(done, plan_in, code15):
    other = plan_in(done.folder, optimisation__epochs=5)
    with pytest.raises(RecipeError, match=r"ecoscalenet-seed0: was trained with optimisation.epochs=2; go on with"):
        reproduce(other, code15)


def test_a_store_of_another_folder_is_refused(done, tmp_path):
    with pytest.raises(DatasetError, match=r"was prepared from .*, not .*; give that folder"):
        reproduce(done, tmp_path)


def test_a_split_that_parts_a_patient_is_refused(plan_in, code15, tmp_path):
    plan = plan_in(tmp_path)
    records = Code15(code15).records
    repeated = records["patient"].duplicated(keep=False).to_numpy()
    parts = np.where(np.arange(len(records)) % 2, "train", "test")
    parts[~repeated] = "validation"
    rows = zip(records.index, records["patient"], parts, strict=True)
    plan.split.write_text("record,patient,part\n" + "".join(f"{','.join(row)}\n" for row in rows))
    with pytest.raises(DatasetError, match=r"split.csv: \d+ patients are in two parts"):
        reproduce(plan, code15)
