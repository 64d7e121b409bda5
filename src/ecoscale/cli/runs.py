"""`ecoscale runs`: training runs side by side."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ecoscale.cli._output import Format

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ecoscale.training import Run


def runs(
    folders: Annotated[
        list[Path] | None,
        typer.Argument(help="Runs, or folders with runs below them.", metavar="[FOLDER]...", show_default="runs"),
    ] = None,
    sort: Annotated[
        str, typer.Option(help="Column to sort by, the best or largest first.", metavar="COLUMN")
    ] = "macro AUROC",
    form: Annotated[Format, typer.Option("--format", help="table, json (an object a line) or csv.")] = Format.TABLE,
) -> None:
    r"""List training runs, the best first, with whatever their recipes differ in (needs ecoscale\[train]).

    Figures are of the validation part, on which the epoch was chosen.

    Examples:
      ecoscale runs
      ecoscale runs runs/radix runs/prime --format csv
    """
    import csv
    import json
    import sys

    from rich.table import Table

    from ecoscale.cli._output import console_on
    from ecoscale.errors import MissingExtraError, RecipeError

    try:
        from ecoscale.training import Run
    except ModuleNotFoundError as error:
        raise MissingExtraError("listing runs", error.name or "torch", "train") from error

    places = folders or [Path("runs")]
    found = [Run(folder) for place in places for folder in _runs_in(place)]
    if not found:
        raise RecipeError(f"{', '.join(map(str, places))}: no run here; ecoscale train makes one")
    rows = [_figures(run) for run in found]
    for row, differing in zip(rows, _differences(found), strict=True):
        row |= differing
    if sort not in rows[0]:
        raise typer.BadParameter(f"no column {sort!r}; there are {', '.join(rows[0])}", param_hint="--sort")
    # A run without a figure yet comes last, whatever the others have.
    rows.sort(key=lambda row: (row[sort] is not None, isinstance(row[sort], str), row[sort] or 0), reverse=True)
    if form is Format.JSON:
        for row in rows:
            typer.echo(json.dumps(row))
    elif form is Format.CSV:
        writer = csv.DictWriter(sys.stdout, rows[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    else:
        table = Table(box=None, header_style="bold", pad_edge=False)
        for name, value in rows[0].items():
            table.add_column(name, justify="left" if isinstance(value, str) else "right")
        for row in rows:
            table.add_row(*map(_in_words, row.values()))
        console_on(sys.stdout).print(table)


def _runs_in(place: Path) -> Iterator[Path]:
    """The run that a folder is, or those below it."""
    if (place / "recipe.yaml").is_file():
        yield place
    else:
        yield from sorted(path.parent for path in place.glob("**/recipe.yaml"))


def _figures(run: Run) -> dict[str, Any]:
    """One run in a row."""
    history, recipe = run.history, run.recipe
    best = max(history, key=lambda row: row["val_macro_auroc"], default=None)
    return {
        "run": str(run.folder),
        "model": recipe.model.name,
        "epochs": f"{len(history)} of {recipe.optimisation.epochs}",
        "macro AUROC": None if best is None else best["val_macro_auroc"],
        "at epoch": None if best is None else int(best["epoch"]),
        "val_loss": None if best is None else best["val_loss"],
        "minutes": sum(row["seconds"] for row in history) / 60,
    }


def _differences(found: list[Run]) -> list[dict[str, Any]]:
    """Of each run, the keys of its recipe in which the runs differ."""
    shown = {"name", "description", "model.name"}
    flat = [{key: _plain(value) for key, value in run.recipe.flat().items()} for run in found]
    keys = [key for key in dict.fromkeys(key for recipe in flat for key in recipe) if key not in shown]
    differing = [key for key in keys if len({str(recipe.get(key)) for recipe in flat}) > 1]
    return [{key: recipe.get(key) for key in differing} for recipe in flat]


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, list | dict) else value


def _in_words(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
