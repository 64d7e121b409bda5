"""`ecoscale train`: train a recipe, or on a folder of a user's own."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ecoscale.cli._output import Cache  # noqa: TC001 - typer reads it at run time

if TYPE_CHECKING:
    from rich.console import Console

    from ecoscale.training import Draft

TABLES = (".csv", ".tsv")
"""What names the table of a folder's labels, if it has another name than labels.csv."""


class Accelerator(StrEnum):
    """What is trained on."""

    AUTO = "auto"
    CPU = "cpu"
    GPU = "gpu"


def train(
    source: Annotated[
        Path,
        typer.Argument(
            help="A recipe (YAML; see recipes/), or a folder of your own records with labels.csv.",
            metavar="RECIPE|FOLDER",
            show_default=False,
        ),
    ],
    data: Annotated[
        list[str] | None,
        typer.Option(
            help="Where a recipe's collection or its store lies: NAME=FOLDER or NAME=URL.", show_default=False
        ),
    ] = None,
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
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be trained, print the recipe, and train nothing.")
    ] = False,
    devices: Annotated[
        int, typer.Option(min=1, help="Devices of each machine, one process each; they share every batch.")
    ] = 1,
    nodes: Annotated[int, typer.Option(min=1, help="Machines; torchrun or srun starts this command on each.")] = 1,
    accelerator: Annotated[
        Accelerator, typer.Option(help="What is trained on; auto takes GPUs where there are any.")
    ] = Accelerator.AUTO,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar.")] = False,
) -> None:
    r"""Train a network by a recipe, or on a folder of your own (needs ecoscale\[train]).

    For a folder of records of any kind with labels.csv, the recipe is drafted from them (docs/own-signals.md).
    Killed or stopped, it goes on from its last epoch with --resume, and ends as an undisturbed run does.

    Examples:
      ecoscale train recipes/ptbxl-six-findings.yaml --data ptbxl=ptb-xl --data chapman=ecg-arrhythmia
      ecoscale train recipe.yaml --data code15=CODE-15 --set optimisation.epochs=3 --out runs/try
      ecoscale train recipe.yaml --data code15=CODE-15 --out runs/try --resume
      ecoscale train recipe.yaml --data code15=CODE-15 --devices 4
      ecoscale train recipe.yaml --data ptbxl=s3://bucket/stores/ptbxl --cache /scratch/ecoscale
      ecoscale train mine --dry-run
      ecoscale train mine --out runs/mine --set optimisation.epochs=40
    """
    import sys

    from rich.console import Console

    from ecoscale.cli._output import changes, console_on, pairs, recipe_changes, tracked
    from ecoscale.datasets import Folder
    from ecoscale.datasets.processes import silent
    from ecoscale.errors import MissingExtraError

    try:
        from ecoscale import training
    except ModuleNotFoundError as error:
        raise MissingExtraError("training", error.name or "torch", "train") from error

    # With several devices, this command runs once for each.
    speaks = training.is_first_process(devices, nodes)
    console = Console(stderr=True, highlight=False, quiet=not speaks)
    progress = tracked if speaks and not quiet else silent
    directories: dict[str, str | Path] = dict(pairs(data or [], "--data", "NAME=FOLDER"))
    draft = None
    if source.is_dir() or source.suffix in TABLES:
        if directories:
            raise typer.BadParameter(f"{source} holds the data itself; leave this out", param_hint="--data")
        directories = {"folder": source}
        folder = out or Path("runs") / training.own_name(source)
        if resume:
            loaded = training.load_recipe(folder / "recipe.yaml", **recipe_changes(change))
        else:
            draft = training.draft_recipe(Folder(source), folder, changes(change), progress=progress)
            loaded = draft.recipe
            _say_what_was_found(console, draft)
    else:
        loaded = training.load_recipe(source, **recipe_changes(change))
        folder = out or Path("runs") / loaded.name
    if dry_run:
        console_on(sys.stdout).print(loaded.to_yaml(), end="", markup=False, soft_wrap=True)
        return
    console.print(loaded.to_yaml(), style="dim", markup=False)
    if draft is not None and speaks:
        draft.write_parts()
    run = training.train(
        loaded,
        directories,
        folder,
        stores=stores,
        cache=cache,
        resume=resume,
        progress=progress,
        show_progress=not quiet,
        devices=devices,
        nodes=nodes,
        accelerator=accelerator.value,
    )
    best = max(run.history, key=training.rank_of)
    if run.resources:
        console.print(_resources(run.resources), markup=False, soft_wrap=True)
    following = f"ecoscale pack {folder} --out bundles/{loaded.name}"
    if draft is not None and (kept := draft.kept_aside):
        following += f"; ecoscale evaluate bundles/{loaded.name} {source} {kept}"
    console.print(
        f"{len(run.history)} epochs; best validation macro AUROC {best['val_macro_auroc']:.4f} at epoch "
        f"{best['epoch']:.0f} (counted from 0).\nNext: {following}",
        markup=False,
        soft_wrap=True,
    )


def _say_what_was_found(console: Console, draft: Draft) -> None:
    """What the records are, how many of what are in which part, and what is doubtful."""
    from ecoscale.cli._output import counts_by_part

    for line in draft.found:
        console.print(line, markup=False, soft_wrap=True)
    if draft.counts:
        console.print(counts_by_part(draft.counts))
    for line in draft.doubts:
        console.print(line, style="yellow", markup=False, soft_wrap=True)


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
