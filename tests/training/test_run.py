"""A run: what it leaves behind, what it refuses, and how it goes on after being stopped in any way."""

import csv
import itertools
import json
import os
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

from ecoscale.errors import RecipeError
from ecoscale.evaluation import macro_auroc
from ecoscale.training import Run, load_recipe, train
from ecoscale.training.data import ECGData
from ecoscale.training.losses import masked_loss

TRAIN_IN_ANOTHER_PROCESS = """
import sys
from pathlib import Path
from ecoscale.training import load_recipe, train
recipe, code15, folder, stores = map(Path, sys.argv[1:])
train(load_recipe(recipe), {"code15": code15}, folder, stores=stores, show_progress=False)
"""


def scores(run):
    """A run's history without its times."""
    return [{key: value for key, value in row.items() if key != "seconds"} for row in run.history]


@pytest.fixture
def changed(tiny_recipe):
    """The tiny recipe with some options of its optimisation replaced."""

    def made(**optimisation):
        content = tiny_recipe.model_dump()
        content["optimisation"] |= optimisation
        return type(tiny_recipe).model_validate(content)

    return made


@pytest.fixture
def go(code15, stores):
    """Train on the synthetic collection."""

    def training(recipe, folder, *, show_progress=False, **options):
        return train(recipe, {"code15": code15}, folder, stores=stores, show_progress=show_progress, **options)

    return training


@pytest.fixture
def scored(monkeypatch):
    """Let each epoch have the validation score given; then the machine fails."""

    def given(*values):
        remaining = iter(values)

        def score(_labels, _probabilities):
            try:
                return next(remaining)
            except StopIteration:
                raise RuntimeError("power cut") from None

        monkeypatch.setattr("ecoscale.training.module.macro_auroc", score)

    return given


def test_the_history_has_one_row_an_epoch(trained_run, tiny_recipe):
    history = trained_run.history
    assert [row["epoch"] for row in history] == [0, 1, 2, 3]
    assert list(history[0]) == ["epoch", "train_loss", "val_loss", "val_macro_auroc", "seconds"]
    assert all(np.isfinite(list(row.values())).all() for row in history)
    assert history[-1]["train_loss"] < history[0]["train_loss"]


def test_the_folder_holds_what_the_run_depended_on(trained_run, tiny_recipe, code15, stores):
    assert load_recipe(trained_run.folder / "recipe.yaml") == trained_run.recipe == tiny_recipe
    data = ECGData(tiny_recipe, {"code15": code15}, stores)
    mean, scale = data.statistics()
    assert trained_run.preparation == tiny_recipe.preparation.model_copy(
        update={"mean": round(mean, 6), "scale": round(scale, 6)}
    )
    environment = json.loads((trained_run.folder / "environment.json").read_text())
    assert environment["packages"].keys() >= {"ecoscale", "torch", "lightning", "numpy"}
    assert environment.keys() >= {"python", "platform", "accelerator", "threads"}
    assert environment["processor"]
    assert environment["command"].split()[0] == Path(sys.argv[0]).name
    clone = Path(__file__).parents[2]
    if (clone / ".git").exists():
        command = ["git", "-C", clone, "rev-parse", "HEAD"]
        commit = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
        assert environment["revision"].removesuffix("-dirty") == commit
    assert environment["stores"]["code15"]["records"] == 119
    assert len(environment["stores"]["code15"]["unreadable"]) == 1
    with (trained_run.folder / "split.csv").open(newline="") as stream:
        split = [(row["part"], row["record"], row["patient"]) for row in csv.DictReader(stream)]
    assert len(split) == 119
    for part, examples in (("train", data.training[0]), ("validation", data.validation[0])):
        assert {row[1:] for row in split if row[0] == part} == set(
            zip(examples.records, examples.patients, strict=True)
        )


def test_the_folder_holds_logs_for_tensorboard_and_as_csv(trained_run):
    assert list((trained_run.folder / "logs" / "tensorboard").glob("events.out.tfevents.*"))
    (metrics,) = (trained_run.folder / "logs" / "csv").glob("*/metrics.csv")
    logged = metrics.read_text()
    assert "val_macro_auroc" in logged
    assert "lr-AdamW" in logged


def test_the_folder_holds_nothing_half_written(trained_run):
    assert not list(trained_run.folder.rglob("*partial*"))
    assert {path.name for path in (trained_run.folder / "checkpoints").iterdir()} == {"best.ckpt", "last.ckpt"}


def test_the_network_kept_is_the_best_epochs_and_gives_the_logits_kept(trained_run, tiny_recipe, code15, stores):
    validation, preparation = trained_run.validation, trained_run.preparation
    best = max(row["val_macro_auroc"] for row in trained_run.history)
    assert macro_auroc(validation["labels"], validation["logits"]) == pytest.approx(best, abs=1e-6)
    data = ECGData(tiny_recipe, {"code15": code15}, stores)
    network = trained_run.load_network()
    assert not network.training
    with torch.inference_mode():
        logits = torch.cat(
            [network((signals - preparation.mean) / preparation.scale) for signals, _ in data.val_dataloader()]
        )
    np.testing.assert_allclose(logits, validation["logits"], rtol=1e-4, atol=1e-5)
    assert validation["records"].tolist() == data.validation[0].records.tolist()
    assert validation["patients"].tolist() == data.validation[0].patients.tolist()
    assert set(validation["collections"]) == {"code15"}
    assert (validation["labels"] == data.validation[0].labels).all()


def test_batch_norms_and_biases_are_spared_weight_decay(trained_run):
    state = torch.load(trained_run.last_checkpoint, weights_only=True)
    decayed, spared = state["optimizer_states"][0]["param_groups"]
    assert (decayed["weight_decay"], spared["weight_decay"]) == (0.01, 0.0)
    shapes = [p.ndim > 1 for p in trained_run.load_network().parameters()]
    assert (len(decayed["params"]), len(spared["params"])) == (sum(shapes), len(shapes) - sum(shapes))


def test_a_run_killed_in_mid_training_and_resumed_has_the_history_of_an_undisturbed_one(
    trained_run, tiny_recipe, code15, stores, tmp_path, go
):
    recipe, folder = tmp_path / "recipe.yaml", tmp_path / "run"
    recipe.write_text(tiny_recipe.to_yaml())
    arguments = [sys.executable, "-c", TRAIN_IN_ANOTHER_PROCESS, recipe, code15, folder, stores]
    killed = Run(folder)
    with subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        while killed.last_checkpoint is None:
            try:
                process.wait(timeout=0.02)
            except subprocess.TimeoutExpired:
                continue
            pytest.fail(f"training ended before it could be killed: {process.stderr.read()}")
        process.kill()
    before = killed.history
    assert 1 <= len(before) < 4
    resumed = go(load_recipe(recipe), folder, resume=True)
    assert resumed.history[0]["seconds"] == before[0]["seconds"]
    assert scores(resumed) == scores(trained_run)
    for name, value in trained_run.validation.items():
        np.testing.assert_array_equal(resumed.validation[name], value, err_msg=name)
    expected = trained_run.load_network().state_dict()
    assert all(torch.equal(value, expected[key]) for key, value in resumed.load_network().state_dict().items())


def test_the_same_seed_gives_the_same_history(trained_run, tiny_recipe, tmp_path, go):
    torch.manual_seed(4321)
    np.random.seed(4321)  # noqa: NPY002  (what the run must not depend on)
    assert scores(go(tiny_recipe, tmp_path / "again")) == scores(trained_run)


def test_training_in_bfloat16_is_validated_in_float32(changed, trained_run, tmp_path, go):
    run = go(changed(precision="bf16", epochs=2), tmp_path / "run")
    # Another arithmetic, so other figures, but not much.
    losses = [row["train_loss"] for row in run.history]
    expected = [row["train_loss"] for row in trained_run.history[:2]]
    assert losses != expected
    np.testing.assert_allclose(losses, expected, rtol=0.1)
    logits = run.validation["logits"]
    assert logits.dtype == np.float32
    rounded = torch.from_numpy(logits).bfloat16().float().numpy()
    assert (logits != rounded).mean() > 0.9


def test_a_run_may_train_on_excerpts_and_is_validated_on_whole_windows(tiny_recipe, code15, stores, tmp_path):
    content = tiny_recipe.model_dump()
    content["augmentation"]["excerpt"] = 200
    content["optimisation"]["epochs"] = 1
    run = train(
        type(tiny_recipe).model_validate(content),
        {"code15": code15},
        tmp_path / "run",
        stores=stores,
        show_progress=False,
    )
    network, preparation = run.load_network(), run.preparation
    (validation,) = ECGData(run.recipe, {"code15": code15}, stores).validation
    signals = validation.store.signals[validation.rows[:3]] * np.float32(0.001)
    with torch.inference_mode():
        logits = network(torch.from_numpy(preparation.standardise(signals)))
    np.testing.assert_allclose(logits, run.validation["logits"][:3], rtol=1e-4, atol=1e-4)


def test_a_finished_run_that_is_resumed_stays_as_it_is(changed, tmp_path, go):
    run = go(changed(epochs=1, ema_decay=None, schedule="cosine"), tmp_path / "run")
    before = run.history, (run.folder / "validation.npz").read_bytes()
    go(run.recipe, run.folder, resume=True)
    assert (run.history, (run.folder / "validation.npz").read_bytes()) == before


def test_training_stops_when_patience_is_exhausted_and_a_resumed_run_stays_stopped(changed, scored, tmp_path, go):
    recipe = changed(epochs=9, patience=2)
    scored(0.5, 0.7, 0.6, 0.65, 0.9)
    run = go(recipe, tmp_path / "run")
    assert [row["val_macro_auroc"] for row in run.history] == pytest.approx([0.5, 0.7, 0.6, 0.65])
    before = scores(run)
    go(recipe, run.folder, resume=True)
    assert scores(run) == before


def test_without_patience_training_goes_on_to_the_last_epoch(changed, scored, tmp_path, go):
    scored(0.9, 0.8, 0.7)
    assert len(go(changed(epochs=3), tmp_path / "run").history) == 3


def test_of_epochs_with_the_same_score_the_one_of_the_lower_loss_is_kept(changed, scored, tmp_path, go):
    scored(1.0, 1.0, 1.0)
    run = go(changed(epochs=3), tmp_path / "run")
    best = min(run.history, key=lambda row: row["val_loss"])
    assert best is not run.history[0]
    kept = torch.from_numpy(run.validation["logits"])
    assert float(masked_loss(kept, torch.from_numpy(run.validation["labels"]))) == pytest.approx(best["val_loss"])


def test_a_run_goes_on_where_its_folder_was_moved_to_and_its_best_epoch_stays_the_best(changed, scored, tmp_path, go):
    recipe = changed(epochs=3)
    scored(0.8, 0.7)
    with pytest.raises(RuntimeError, match="power cut"):
        go(recipe, tmp_path / "here")
    best = {name: (tmp_path / "here" / name).read_bytes() for name in ("validation.npz", "checkpoints/best.ckpt")}
    moved = (tmp_path / "here").rename(tmp_path / "there")
    scored(0.75)
    run = go(recipe, moved, resume=True)
    assert [row["val_macro_auroc"] for row in run.history] == pytest.approx([0.8, 0.7, 0.75])
    assert {name: (moved / name).read_bytes() for name in best} == best
    assert not (tmp_path / "here").exists()


def test_a_run_stopped_in_its_first_epoch_starts_again(changed, scored, tmp_path, go):
    recipe = changed(epochs=1)
    scored()
    with pytest.raises(RuntimeError, match="power cut"):
        go(recipe, tmp_path / "run")
    assert Run(tmp_path / "run").history == []
    assert Run(tmp_path / "run").last_checkpoint is None
    scored(0.6)
    assert len(go(recipe, tmp_path / "run", resume=True).history) == 1


def test_a_run_is_not_overwritten(trained_run, tiny_recipe, go):
    with pytest.raises(RecipeError, match=r"holds a run already; go on with it \(--resume\) or choose another"):
        go(tiny_recipe, trained_run.folder)


def test_a_run_is_not_resumed_with_another_recipe(trained_run, changed, go):
    with pytest.raises(RecipeError, match="its recipe differs from the one given"):
        go(changed(learning_rate=0.02), trained_run.folder, resume=True)


def test_there_has_to_be_a_run_to_resume(tiny_recipe, tmp_path, go):
    with pytest.raises(RecipeError, match="no run to resume here; start it without --resume"):
        go(tiny_recipe, tmp_path / "nothing", resume=True)
    assert not (tmp_path / "nothing").exists()


def test_a_recipe_made_in_python_is_the_same_when_it_is_resumed(changed, tmp_path, go):
    made = changed(epochs=1)
    config = {"width": 8, "kernel_sizes": ((1, 2, 3), (1, 2, 3), (1, 2), (1,))}
    recipe = made.model_copy(update={"model": made.model.model_copy(update={"config": config})})
    run = go(recipe, tmp_path / "run")
    go(recipe, run.folder, resume=True)
    assert len(run.history) == 1


def test_a_folder_without_a_run_is_refused_by_what_it_lacks(tmp_path):
    run = Run(tmp_path)
    assert run.history == []
    for read, name in (
        (lambda: run.recipe, "recipe.yaml"),
        (lambda: run.preparation, "preparation.json"),
        (lambda: run.environment, "environment.json"),
        (lambda: run.validation, "validation.npz"),
        (run.load_network, "best.ckpt"),
    ):
        with pytest.raises(RecipeError, match=name):
            read()


@pytest.mark.parametrize(
    "content", [{"state_dict": {}, "code": itertools.count}, {"state_dict": {}}, {}], ids=["code", "other", "empty"]
)
def test_a_checkpoint_that_would_run_code_or_is_not_this_networks_is_refused(trained_run, tmp_path, content):
    (tmp_path / "checkpoints").mkdir()
    for name in ("recipe.yaml", "preparation.json"):
        (tmp_path / name).write_bytes((trained_run.folder / name).read_bytes())
    torch.save(content, tmp_path / "checkpoints" / "best.ckpt")
    with pytest.raises(RecipeError, match=r"best.ckpt: not the weights of this run's network"):
        Run(tmp_path).load_network()


def test_training_warns_of_nothing_on_a_machine_with_many_processors(changed, scored, tmp_path, go, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: set(range(16)), raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 16)
    scored(0.6)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        go(changed(epochs=1), tmp_path / "run", show_progress=True)
