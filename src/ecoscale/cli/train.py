"""`ecoscale train`: train a recipe."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from ecoscale.cli._output import Cache  # noqa: TC001 - typer reads it at run time


class Accelerator(StrEnum):
    """What is trained on."""

    AUTO = "auto"
    CPU = "cpu"
    GPU = "gpu"


def train(
    recipe: Annotated[
        Path, typer.Argument(help="A recipe (YAML); see recipes/.", metavar="RECIPE", show_default=False)
    ],
    data: Annotated[
        list[str],
        typer.Option(help="Where a collection or its store lies: NAME=FOLDER or NAME=URL.", show_default=False),
    ],
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", file_okay=False, help="The run's folder.", show_default="runs/<recipe's name>"),
    ] = None,
    stores: Annotated[
        Path | None, typer.Option(help="Folder of prepared signals.", show_default="stores beside the run")
    ] = None,
    cache: Cache = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run that is in the folder.")] = False,
    change: Annotated[
        list[str] | None,
        typer.Option("--set", help="Change a key of the recipe, as KEY=VALUE; repeatable.", show_default=False),
    ] = None,
    devices: Annotated[
        int, typer.Option(min=1, help="Devices of each machine, one process each; they share every batch.")
    ] = 1,
    nodes: Annotated[int, typer.Option(min=1, help="Machines; torchrun or srun starts this command on each.")] = 1,
    accelerator: Annotated[
        Accelerator, typer.Option(help="What is trained on; auto takes GPUs where there are any.")
    ] = Accelerator.AUTO,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar.")] = False,
) -> None:
    r"""Train a network by a recipe (needs ecoscale\[train]).

    Killed or stopped, it goes on from its last epoch with --resume, and ends as an undisturbed run does.

    Examples:
      ecoscale train recipes/ptbxl-six-findings.yaml --data ptbxl=ptb-xl --data chapman=ecg-arrhythmia
      ecoscale train recipe.yaml --data code15=CODE-15 --set optimisation.epochs=3 --out runs/try
      ecoscale train recipe.yaml --data code15=CODE-15 --out runs/try --resume
      ecoscale train recipe.yaml --data code15=CODE-15 --devices 4
      ecoscale train recipe.yaml --data ptbxl=s3://bucket/stores/ptbxl --cache /scratch/ecoscale
    """
    from rich.console import Console

    from ecoscale.cli._output import pairs, recipe_changes, tracked
    from ecoscale.datasets.processes import silent
    from ecoscale.errors import MissingExtraError

    try:
        from ecoscale import training
    except ModuleNotFoundError as error:
        raise MissingExtraError("training", error.name or "torch", "train") from error

    changes = recipe_changes(change)
    directories = pairs(data, "--data", "NAME=FOLDER")
    loaded = training.load_recipe(recipe, **changes)
    folder = out or Path("runs") / loaded.name
    # With several devices, this command runs once for each.
    speaks = training.is_first_process(devices, nodes)
    console = Console(stderr=True, highlight=False, quiet=not speaks)
    console.print(loaded.to_yaml(), style="dim", markup=False)
    run = training.train(
        loaded,
        directories,
        folder,
        stores=stores,
        cache=cache,
        resume=resume,
        progress=tracked if speaks and not quiet else silent,
        show_progress=not quiet,
        devices=devices,
        nodes=nodes,
        accelerator=accelerator.value,
    )
    best = max(run.history, key=lambda row: row["val_macro_auroc"])
    if run.resources:
        console.print(_resources(run.resources), markup=False, soft_wrap=True)
    console.print(
        f"{len(run.history)} epochs; best validation macro AUROC {best['val_macro_auroc']:.4f} at epoch "
        f"{best['epoch']:.0f} (counted from 0).\nNext: ecoscale pack {folder} --out bundles/{loaded.name}",
        markup=False,
        soft_wrap=True,
    )


def _resources(taken: dict[str, Any]) -> str:
    """Time and memory in a line."""
    parts = [
        f"{1000 * taken['seconds_per_batch']:.0f} ms a batch, {taken['loader_share']:.1%} of it waiting for the loader"
    ]
    if taken["peak_memory"] is not None:
        parts.append(f"at most {_megabytes(taken['peak_memory'])} of memory in each process")
    if taken["memory_per_batch"] is not None:
        parts.append(f"{_megabytes(taken['memory_per_batch'])} of it kept for the backward pass of a batch")
    return "; ".join(parts) + "."


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.0f} MB"
