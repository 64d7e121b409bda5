"""`ecoscale train`: train a recipe."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer


def train(
    recipe: Annotated[
        Path, typer.Argument(help="A recipe (YAML); see recipes/.", metavar="RECIPE", show_default=False)
    ],
    data: Annotated[
        list[str],
        typer.Option(help="Where a collection or its store lies: NAME=FOLDER.", show_default=False),
    ],
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", file_okay=False, help="The run's folder.", show_default="runs/<recipe's name>"),
    ] = None,
    stores: Annotated[
        Path | None, typer.Option(help="Folder of prepared signals.", show_default="stores beside the run")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run that is in the folder.")] = False,
    change: Annotated[
        list[str] | None,
        typer.Option("--set", help="Change a key of the recipe, as KEY=VALUE; repeatable.", show_default=False),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar.")] = False,
) -> None:
    r"""Train a network by a recipe (needs ecoscale\[train]).

    Killed or stopped, it goes on from its last epoch with --resume, and ends as an undisturbed run does.

    Examples:
      ecoscale train recipes/ptbxl-six-findings.yaml --data ptbxl=ptb-xl --data chapman=ecg-arrhythmia
      ecoscale train recipe.yaml --data code15=CODE-15 --set optimisation.epochs=3 --out runs/try
      ecoscale train recipe.yaml --data code15=CODE-15 --out runs/try --resume
    """
    from rich.console import Console

    from ecoscale.cli._output import pairs, tracked
    from ecoscale.datasets.processes import silent
    from ecoscale.errors import MissingExtraError

    try:
        from ecoscale import training
    except ModuleNotFoundError as error:
        raise MissingExtraError("training", error.name or "torch", "train") from error

    given = pairs(change or [], "--set", "KEY=VALUE")
    changes = {key.replace(".", "__"): recipe_value(key, text) for key, text in given.items()}
    directories = {name: Path(folder) for name, folder in pairs(data, "--data", "NAME=FOLDER").items()}
    loaded = training.load_recipe(recipe, **changes)
    folder = out or Path("runs") / loaded.name
    console = Console(stderr=True, highlight=False)
    console.print(loaded.to_yaml(), style="dim", markup=False)
    run = training.train(
        loaded,
        directories,
        folder,
        stores=stores,
        resume=resume,
        progress=silent if quiet else tracked,
        show_progress=not quiet,
    )
    best = max(run.history, key=lambda row: row["val_macro_auroc"])
    console.print(
        f"{len(run.history)} epochs; best validation macro AUROC {best['val_macro_auroc']:.4f} at epoch "
        f"{best['epoch']:.0f} (counted from 0).\nNext: ecoscale pack {folder} --out bundles/{loaded.name}",
        markup=False,
        soft_wrap=True,
    )


def recipe_value(key: str, text: str) -> Any:
    """A value as YAML reads it: numbers, lists, null, words."""
    import yaml

    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        raise typer.BadParameter(f"{key}={text}; expected a value as YAML writes it", param_hint="--set") from None
