"""A run shared by two processes, the same by one, and how such a run is begun."""

import subprocess
import sys

import pytest

from ecoscale.training import Recipe, Run, train


@pytest.fixture(scope="session")
def shared_recipe(tiny_recipe) -> Recipe:
    """Nothing random but the order of the exams, batches that no two processes can share evenly, some labels unknown.

    The network has no unit that its rounding could turn on or off for a whole batch, as tiny EcoScale-Nets have.
    """
    content = tiny_recipe.model_dump() | {"name": "shared", "augmentation": {}}
    # 87 and 32 records.
    content["data"] = {
        part: [{"collection": "code15", "share": share}]
        for part, share in (("train", (0, 0.72)), ("validation", (0.72, 1)))
    }
    content["model"] = {"name": "fcn", "config": {"width": 8}}
    content["optimisation"] |= {"epochs": 3, "batch_size": 7, "learning_rate": 1e-3}
    return Recipe.model_validate(content)


@pytest.fixture(scope="session")
def begin(shared_recipe, code15, stores, tmp_path_factory):
    """Start `ecoscale train` by two processes."""
    path = tmp_path_factory.mktemp("recipes") / "shared.yaml"
    path.write_text(shared_recipe.to_yaml())

    def begun(folder, *options, **how):
        command = [sys.executable, "-m", "ecoscale", "train", path, "--data", f"code15={code15}", "--stores", stores]
        arguments = [*command, "--out", folder, "--devices", "2", "--quiet", *options]
        return subprocess.Popen([str(a) for a in arguments], stderr=subprocess.PIPE, text=True, **how)

    return begun


@pytest.fixture(scope="session")
def alone(shared_recipe, code15, stores, tmp_path_factory) -> Run:
    folder = tmp_path_factory.mktemp("runs") / "alone"
    return train(shared_recipe, {"code15": code15}, folder, stores=stores, show_progress=False, accelerator="cpu")


@pytest.fixture(scope="session")
def shared(begin, alone, tmp_path_factory) -> Run:
    """The same recipe by two processes (gloo)."""
    folder = tmp_path_factory.mktemp("runs") / "shared"
    with begin(folder) as process:
        said = process.communicate(timeout=600)[1]
    assert process.returncode == 0, said
    assert said.count("3 epochs; best validation macro AUROC") == 1
    return Run(folder)
