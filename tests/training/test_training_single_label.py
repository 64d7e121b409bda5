"""Training on classes that exclude each other: what a recipe refuses, what a run learns and what it leaves behind."""

import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from scipy.special import softmax
from sklearn.metrics import accuracy_score, log_loss, roc_auc_score

from ecoscale.benchmarking import choose_folds, named_benchmark, recipe_for
from ecoscale.datasets import UNKNOWN
from ecoscale.datasets.processes import silent
from ecoscale.errors import RecipeError
from ecoscale.reproduction.protocol import load_protocol, make_plan
from ecoscale.training import Recipe, Run, train
from ecoscale.training.augmentation import mix
from ecoscale.training.comparing import compare_runs, uncalibrated
from ecoscale.training.data import ECGData
from ecoscale.training.distillation import teach
from ecoscale.training.recipe import Augmentation, validated_recipe


@pytest.fixture
def changed(block_recipe):
    """The recipe of the blocks with some sections replaced."""
    return lambda **sections: validated_recipe(block_recipe.model_dump() | sections, "recipe.yaml")


def known(run):
    arrays = run.validation
    rows = (arrays["labels"] != UNKNOWN).all(axis=1)
    return arrays["labels"][rows].argmax(axis=1), arrays["logits"][rows].astype(np.float64)


def test_a_recipe_is_of_separate_findings_unless_it_says_otherwise(tiny_recipe, block_recipe):
    assert not tiny_recipe.single_label
    assert block_recipe.single_label


@pytest.mark.parametrize("option", ["gamma_present", "gamma_absent", "margin"])
def test_an_option_of_separate_findings_is_refused(changed, option):
    with pytest.raises(RecipeError, match=f"loss.{option} is 0.5; it is of findings that are each present or absent"):
        changed(loss={option: 0.5})


def test_one_class_alone_is_refused(changed):
    with pytest.raises(RecipeError, match="single_label: one class, AF, excludes nothing"):
        changed(findings=["AF"])


def test_the_best_epochs_figures_are_those_of_the_softmax(block_run):
    truth, logits = known(block_run)
    best = max(block_run.history, key=lambda row: (row["val_macro_auroc"], -row["val_loss"]))
    probabilities = softmax(logits, axis=1)
    assert best["val_loss"] == pytest.approx(log_loss(truth, probabilities), rel=1e-5)
    assert best["val_accuracy"] == pytest.approx(accuracy_score(truth, logits.argmax(axis=1)))
    expected = roc_auc_score(truth, probabilities, multi_class="ovr", average="macro")
    assert best["val_macro_auroc"] == pytest.approx(expected, rel=1e-6)


def test_it_learns_to_tell_the_classes(block_run):
    assert block_run.history[-1]["val_accuracy"] > 0.8
    assert block_run.history[-1]["train_loss"] < block_run.history[0]["train_loss"]


def test_records_of_two_classes_or_none_are_refused_by_name(blocks, block_recipe, tmp_path):
    for file in blocks.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    table = pd.read_csv(blocks / "labels.csv")
    table.loc[[0, 3], "RBBB"] = 1
    table.to_csv(tmp_path / "labels.csv", index=False)
    with pytest.raises(
        RecipeError, match=r"2 of \d+ records .* more than one of .* narrow, RBBB, LBBB: 00.npy \(narrow and RBBB\)"
    ):
        ECGData(whole(block_recipe), {"folder": tmp_path}, tmp_path / "stores")
    table.loc[[0, 3], ["narrow", "RBBB"]] = 0
    table.to_csv(tmp_path / "labels.csv", index=False)
    with pytest.raises(RecipeError, match=r"have none of the classes .*: 00.npy \(none\), 03.npy \(none\)"):
        ECGData(whole(block_recipe), {"folder": tmp_path}, tmp_path / "stores")


def whole(recipe):
    """Trained on nearly everyone."""
    parts = {"train": [{"collection": "folder", "share": [0, 0.95]}]}
    return recipe.model_copy(
        update={
            "data": recipe.data.model_validate({**parts, "validation": [{"collection": "folder", "share": [0.95, 1]}]})
        }
    )


def test_what_is_mixed_stays_a_probability_of_the_classes():
    targets = torch.eye(3)[torch.tensor([0, 1, 2, 0, 1])]
    targets[4] = -1
    options = Augmentation(mixup=1.0, cutmix=0.5)
    _, mixed = mix(torch.randn(5, 1, 100), targets, options, torch.Generator().manual_seed(0))
    rows = (mixed >= 0).all(dim=1)
    assert rows.any()
    torch.testing.assert_close(mixed[rows].sum(dim=1), torch.ones(int(rows.sum())))
    assert ((mixed == UNKNOWN).all(dim=1) | rows).all()


def test_auxiliary_codes_are_learnt_beside_the_classes_as_what_may_be_together(blocks, stores, block_recipe, tmp_path):
    content = block_recipe.model_dump() | {"auxiliary": {"scheme": "OWN", "codes": ["RBBB", "not LBBB"], "weight": 0.5}}
    content["optimisation"] |= {"epochs": 1}
    run = train(Recipe.model_validate(content), {"folder": blocks}, tmp_path, stores=stores, show_progress=False)
    assert run.validation["logits"].shape[1] == 3
    assert np.isfinite(run.history[0]["train_loss"])


def test_teachers_of_classes_speak_by_their_softmax(block_run, blocks, stores, changed, tmp_path):
    lesson = {"teachers": [str(block_run.folder)], "weight": 0.25, "temperature": 2.0}
    recipe = changed(distillation=lesson, findings=["LBBB", "narrow", "RBBB"])
    training = ECGData(recipe, {"folder": blocks}, stores).training
    (taught,) = teach(recipe, [block_run], training, tmp_path / "teaching.npz", silent)
    signals = torch.from_numpy(taught.store.read(taught.rows))
    with torch.inference_mode():
        logits = block_run.load_network()((signals - block_run.preparation.mean) / block_run.preparation.scale)
    said = softmax(logits.numpy()[:, [2, 0, 1]] / 2.0, axis=1)
    unknown = (taught.labels == UNKNOWN).all(axis=1)
    np.testing.assert_allclose(taught.targets[~unknown], (0.75 * taught.labels + 0.25 * said)[~unknown], atol=1e-5)
    np.testing.assert_allclose(taught.targets[unknown], said[unknown], atol=1e-5)


@pytest.mark.parametrize(
    ("sections", "why"),
    [
        ({"single_label": False, "loss": {}}, "classes that exclude each other, those of this recipe each present or"),
        ({"findings": ["narrow", "RBBB"]}, "a teacher must tell the same classes as the recipe, narrow, RBBB"),
    ],
)
def test_a_teacher_of_another_kind_or_other_classes_is_refused(
    block_run, blocks, stores, block_recipe, changed, tmp_path, sections, why
):
    training = ECGData(block_recipe, {"folder": blocks}, stores).training
    recipe = changed(distillation={"teachers": [str(block_run.folder)]}, **sections)
    with pytest.raises(RecipeError, match=why):
        teach(recipe, [block_run], [replace(part) for part in training], tmp_path / "teaching.npz", silent)


def test_runs_are_compared_by_their_softmax_and_not_with_runs_of_separate_findings(block_run, tmp_path):
    np.testing.assert_allclose(uncalibrated(block_run).sum(axis=1), 1)
    difference = compare_runs(block_run, block_run, n_resamples=5)
    assert difference.macro["sensitivity"].estimate == 0
    other = Run(tmp_path / "separate")
    shutil.copytree(block_run.folder, other.folder)
    content = yaml.safe_load((other.folder / "recipe.yaml").read_text()) | {"single_label": False}
    (other.folder / "recipe.yaml").write_text(yaml.safe_dump(content))
    with pytest.raises(
        RecipeError, match=r"blocks: its classes exclude each other .* the findings of .*separate do not"
    ):
        compare_runs(other, block_run)


def test_a_published_benchmark_or_comparison_is_of_findings_that_may_come_together(tmp_path):
    ptbxl = named_benchmark("ptbxl")
    folds = choose_folds(ptbxl, range(1, 11), None, None)
    with pytest.raises(RecipeError, match="single_label; the classes of ptbxl's published tasks may come together"):
        recipe_for(ptbxl, "superdiagnostic", "fcn", 0, folds, {"single_label": True})
    with pytest.raises(RecipeError, match="single_label; a protocol compares findings that may come together"):
        make_plan(load_protocol("code15"), tmp_path, changes={"single_label": True})
