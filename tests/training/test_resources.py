"""What a run takes and what it needs: time, memory, bfloat16 units, a compiler, GPUs."""

import logging

import numpy as np
import pytest
import torch

from ecoscale.errors import RecipeError
from ecoscale.training import Recipe, train
from ecoscale.training.data import EpochBatches
from ecoscale.training.recipe import Optimisation
from ecoscale.training.resources import refuse_what_the_machine_lacks


@pytest.fixture
def go(tiny_recipe, code15, stores, tmp_path):
    """Train the tiny recipe with some options of its optimisation replaced."""

    def training(**optimisation):
        content = tiny_recipe.model_dump()
        content["optimisation"] |= {"epochs": 2} | optimisation
        recipe, folder = Recipe.model_validate(content), tmp_path / "run"
        return train(recipe, {"code15": code15}, folder, stores=stores, show_progress=False, accelerator="cpu")

    return training


def test_a_run_says_what_it_took(trained_run, tiny_recipe):
    taken = trained_run.resources
    assert taken["processes"] == 1
    assert taken["batches"] % tiny_recipe.optimisation.epochs == 0
    assert 0 < taken["loader_share"] < 1
    assert 0 < taken["batches"] * taken["seconds_per_batch"] <= sum(row["seconds"] for row in trained_run.history)
    assert taken["memory_per_batch"] < taken["peak_memory"]


def test_the_memory_of_a_batch_grows_with_its_exams(go, trained_run):
    # Batches are made even: of 84 training exams, 11 batches of 7 or 8 there, 3 of 28 here.
    whole, small = go(batch_size=30, epochs=1).resources, trained_run.resources
    ratio = whole["memory_per_batch"] / small["memory_per_batch"]
    sizes = [len(next(iter(EpochBatches(84, size, 0)))) for size in (30, 8)]
    assert ratio == pytest.approx(sizes[0] / sizes[1], rel=0.05)


def test_gradients_of_several_batches_make_one_step_of_the_schedule_and_of_the_average(go):
    run = go(batch_size=4, accumulate=3)
    state = torch.load(run.last_checkpoint, weights_only=True)
    batches = run.resources["batches"]
    assert batches % 6 == 0
    assert state["global_step"] == state["lr_schedulers"][0]["last_epoch"] == batches // 3
    assert state["state_dict"]["average.n_averaged"] == batches // 3


@pytest.mark.parametrize(("n_examples", "batch_size", "accumulate"), [(65, 16, 2), (103, 4, 3), (9, 3, 3)])
def test_every_step_is_of_as_many_batches(n_examples, batch_size, accumulate):
    batches = list(EpochBatches(n_examples, batch_size, 1, accumulate))
    assert len(batches) % accumulate == 0
    assert sorted(position for batch in batches for position in batch) == list(range(n_examples))
    assert max(map(len, batches)) <= batch_size


def test_more_batches_a_step_than_exams_are_refused():
    with pytest.raises(RecipeError, match="3 exams in 8 batches"):
        EpochBatches(3, 2, 0, accumulate=8)


def test_a_compiled_network_leaves_the_checkpoints_of_any_other(go, trained_run):
    # The compiler itself takes half a minute: here what it would run is run as it is.
    with torch.compiler.set_stance("force_eager"):
        run = go(compile=True, epochs=4)
    assert [row["val_loss"] for row in run.history] == [row["val_loss"] for row in trained_run.history]
    expected = trained_run.load_network().state_dict()
    for name, value in run.load_network().state_dict().items():
        np.testing.assert_array_equal(value, expected[name])


def test_compiling_where_no_compiler_works_is_refused(monkeypatch):
    def broken(_function):
        raise RuntimeError("InvalidCxxCompiler: none found\nand more")

    monkeypatch.setattr(torch, "compile", broken)
    with pytest.raises(RecipeError, match=r"torch.compile does not work on .* \(InvalidCxxCompiler: none found\)"):
        refuse_what_the_machine_lacks(Optimisation(compile=True), "cpu", 1)


@pytest.mark.parametrize(("capabilities", "said"), [({"avx2": True, "avx512_bf16": False}, 1), ({"amx_bf16": True}, 0)])
def test_bfloat16_on_a_processor_without_units_for_it_is_remarked_on(monkeypatch, caplog, capabilities, said):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)
    with caplog.at_level(logging.WARNING):
        refuse_what_the_machine_lacks(Optimisation(precision="bf16"), "cpu", 1)
    assert len(caplog.records) == said


def test_bfloat16_on_a_gpu_without_it_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "Tesla V100")
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: False)
    with pytest.raises(RecipeError, match=r"Tesla V100 does not compute in bfloat16; train with precision 32"):
        refuse_what_the_machine_lacks(Optimisation(precision="bf16"), "auto", 1)
    refuse_what_the_machine_lacks(Optimisation(precision="32"), "auto", 1)


def test_gpus_that_are_not_there_are_refused(monkeypatch):
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(RecipeError, match="--accelerator gpu: no GPU"):
        refuse_what_the_machine_lacks(Optimisation(), "gpu", 1)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(RecipeError, match="--devices 4: this machine has 2 GPUs"):
        refuse_what_the_machine_lacks(Optimisation(), "auto", 4)
    refuse_what_the_machine_lacks(Optimisation(), "cpu", 4)
