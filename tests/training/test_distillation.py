"""Distillation: what teachers say of a record they were not trained on, beside its label."""

import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from ecoscale.datasets.layouts import write_ptbxl
from ecoscale.datasets.processes import silent
from ecoscale.errors import RecipeError
from ecoscale.training import Recipe, Run, train
from ecoscale.training.data import ECGData
from ecoscale.training.distillation import teach


@pytest.fixture
def student(tiny_recipe, trained_run):
    def made(weight=0.25, temperature=2.0, **sections):
        lesson = {"teachers": [str(trained_run.folder)], "weight": weight, "temperature": temperature}
        return Recipe.model_validate(tiny_recipe.model_dump() | {"distillation": lesson} | sections)

    return made


@pytest.fixture
def examples(tiny_recipe, code15, stores):
    return ECGData(tiny_recipe, {"code15": code15}, stores).training


@pytest.fixture
def taught(examples, tmp_path):
    """The targets `(records, findings)` of the training examples."""

    def made(recipe, teachers, given=examples, kept="teaching.npz"):
        return teach(recipe, teachers, given, tmp_path / kept, silent)[0].targets

    return made


def said_by(run, examples, temperature):
    signals = torch.from_numpy(examples.store.read(examples.rows))
    with torch.inference_mode():
        logits = run.load_network()((signals - run.preparation.mean) / run.preparation.scale)
    return (logits / temperature).sigmoid().numpy()


def copy_of(run, folder, *, trained_on, bias=0.0):
    """A teacher with the same network but for a bias of all its logits, and another training part."""
    shutil.copytree(run.folder, folder)
    split = pd.read_csv(folder / "split.csv", dtype=str)
    split["part"] = np.where(split["record"].isin(trained_on), "train", "validation")
    split.to_csv(folder / "split.csv", index=False)
    checkpoint = torch.load(folder / "checkpoints" / "best.ckpt", weights_only=True)
    for name, tensor in checkpoint["state_dict"].items():
        if name.endswith("head.bias"):
            tensor.add_(bias)
    torch.save(checkpoint, folder / "checkpoints" / "best.ckpt")
    return Run(folder)


def test_a_target_is_the_label_and_the_teachers_probability_by_weight(student, taught, examples, trained_run):
    targets = taught(student(weight=0.25, temperature=2.0), [trained_run])
    expected = 0.75 * examples[0].labels + 0.25 * said_by(trained_run, examples[0], 2.0)
    np.testing.assert_allclose(targets, expected, atol=1e-5)


def test_an_unknown_label_is_what_the_teachers_say(student, taught, examples, trained_run):
    labels = examples[0].labels.copy()
    labels[::2] = -1
    targets = taught(student(weight=0.25, temperature=1.0), [trained_run], [replace(examples[0], labels=labels)])
    np.testing.assert_allclose(targets[::2], said_by(trained_run, examples[0], 1.0)[::2], atol=1e-5)
    assert (np.abs(targets[1::2] - labels[1::2]) <= 0.25).all()


def test_a_record_is_taught_by_those_that_were_not_trained_on_it(student, taught, examples, trained_run, tmp_path):
    records = examples[0].records
    first = copy_of(trained_run, tmp_path / "first", trained_on=records[:30])
    second = copy_of(trained_run, tmp_path / "second", trained_on=records[20:], bias=3.0)
    recipe = student(weight=1.0, temperature=1.0)
    targets = taught(recipe, [first, second])
    own, other = said_by(first, examples[0], 1.0), said_by(second, examples[0], 1.0)
    np.testing.assert_allclose(targets[:20], other[:20], atol=1e-5)
    np.testing.assert_allclose(targets[30:], own[30:], atol=1e-5)
    # Where every teacher was trained on a record, all of them speak.
    np.testing.assert_allclose(targets[20:30], (own[20:30] + other[20:30]) / 2, atol=1e-5)


def test_what_was_said_is_kept_and_not_asked_again(student, taught, trained_run):
    recipe = student()
    first = taught(recipe, [trained_run])
    np.testing.assert_array_equal(taught(recipe, []), first)


def test_auxiliary_codes_are_not_taught(student, trained_run, code15, stores, tmp_path):
    recipe = student(weight=1.0, auxiliary={"scheme": "CODE", "codes": ["RBBB", "LBBB"]})
    training = ECGData(recipe, {"code15": code15}, stores).training
    (found,) = teach(recipe, [trained_run], training, tmp_path / "teaching.npz", silent)
    assert found.targets.shape == (len(found.rows), 8)
    np.testing.assert_array_equal(found.targets[:, 6:], found.labels[:, 6:])
    assert not np.isin(found.targets[:, :6], (0, 1)).any()


def test_a_class_of_a_task_teaches_the_finding_that_its_codes_mean(tiny_recipe, stores, tmp_path):
    write_ptbxl(tmp_path / "ptb-xl", 60, seed=0)
    parts = {
        name: [{"collection": "ptbxl", "folds": folds}]
        for name, folds in (("train", [1, 2, 3, 4]), ("validation", [9]))
    }
    content = tiny_recipe.model_dump(exclude={"findings"}) | {"data": parts}
    content["optimisation"] |= {"epochs": 1}
    data = {"ptbxl": tmp_path / "ptb-xl"}
    teacher = train(
        Recipe.model_validate(content | {"task": "rhythm"}),
        data,
        tmp_path / "teacher",
        stores=stores,
        show_progress=False,
    )
    lesson = {"teachers": [str(teacher.folder)], "weight": 1.0}
    recipe = Recipe.model_validate(content | {"distillation": lesson, "findings": ["1dAVb", "AF", "ST"]})
    training = ECGData(recipe, data, stores).training
    (found,) = teach(recipe, [teacher], training, tmp_path / "teaching.npz", silent)
    said = said_by(teacher, training[0], 1.0)
    classes = list(teacher.recipe.findings)
    np.testing.assert_allclose(found.targets[:, 1], said[:, classes.index("AFIB")], atol=1e-5)
    np.testing.assert_allclose(found.targets[:, 2], said[:, classes.index("STACH")], atol=1e-5)
    # First-degree block is no rhythm, so nobody taught it.
    np.testing.assert_array_equal(found.targets[:, 0], training[0].labels[:, 0])


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"preparation": {"rate": 100, "window": 700}}, r"reads window 800 \(this recipe: 700\)"),
        ({"findings": ["NORM"]}, "knows none of NORM; it tells 1dAVb, RBBB"),
    ],
)
def test_a_teacher_that_cannot_teach_is_refused(student, taught, trained_run, sections, message):
    with pytest.raises(RecipeError, match=message):
        taught(student(**sections), [trained_run])


def test_a_taught_run_learns_from_its_targets_and_keeps_them(student, code15, stores, tmp_path):
    content = student().model_dump(mode="json")
    content["optimisation"]["epochs"] = 1
    recipe = Recipe.model_validate(content)
    data, options = {"code15": code15}, {"stores": stores, "show_progress": False}
    run = train(recipe, data, tmp_path / "taught", **options)
    content["distillation"] = None
    alone = train(
        Recipe.model_validate(content), {"code15": code15}, tmp_path / "alone", stores=stores, show_progress=False
    )
    assert (run.folder / "teaching.npz").exists()
    assert run.history[0]["train_loss"] != alone.history[0]["train_loss"]
