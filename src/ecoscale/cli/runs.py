"""`ecoscale runs`: training runs side by side."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ecoscale.cli._output import Format

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.table import Table

    from ecoscale.evaluation import PairedDifference
    from ecoscale.training import Run


def runs(
    folders: Annotated[
        list[Path] | None,
        typer.Argument(help="Runs, or folders with runs below them.", metavar="[FOLDER]...", show_default="runs"),
    ] = None,
    sort: Annotated[
        str, typer.Option(help="Column to sort by, the best or largest first.", metavar="COLUMN")
    ] = "macro AUROC",
    against: Annotated[
        Path | None,
        typer.Option(help="A run; show every run's difference from it, and every class.", show_default=False),
    ] = None,
    resamples: Annotated[int, typer.Option(min=2, help="Bootstrap resamples (by patient), for --against.")] = 1000,
    plot: Annotated[
        Path | None, typer.Option(help="Draw the curves into this file (svg, png, pdf).", show_default=False)
    ] = None,
    form: Annotated[Format, typer.Option("--format", help="table, json (an object a line) or csv.")] = Format.TABLE,
) -> None:
    r"""List training runs, the best first, with whatever their recipes differ in (needs ecoscale\[train]).

    Figures are of the validation part, on which the epoch was chosen. Differences are paired: both runs are measured
    on the same resamples of its patients.

    Examples:
      ecoscale runs
      ecoscale runs --plot curves.svg
      ecoscale runs runs/radix runs/prime --against runs/prime
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
        from ecoscale.training.comparing import compare_runs, draw_curves
    except ModuleNotFoundError as error:
        raise MissingExtraError("listing runs", error.name or "torch", "train") from error

    places = folders or [Path("runs")]
    found = [Run(folder) for place in places for folder in _runs_in(place)]
    if not found:
        raise RecipeError(f"{', '.join(map(str, places))}: no run here; ecoscale train makes one")
    accuracy = any(run.recipe.single_label for run in found)
    rows = [_figures(run, accuracy=accuracy) for run in found]
    for row, differing in zip(rows, _differences(found), strict=True):
        row |= differing
    differences = {}
    if against is not None:
        others = [run for run in found if run.folder.resolve() != against.resolve()]
        differences = {str(run.folder): compare_runs(run, Run(against), n_resamples=resamples) for run in others}
        for row in rows:
            macro = differences[row["run"]].macro["auroc"] if row["run"] in differences else None
            for name in ("estimate", "low", "high"):
                row[_DIFFERENCE[name]] = None if macro is None else getattr(macro, name)
    if plot is not None:
        draw_curves(found, plot)
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
        console = console_on(sys.stdout)
        console.print(table)
        for folder, difference in differences.items():
            console.print(_by_class(Run(Path(folder)), Run(against or Path()), difference))


_DIFFERENCE = {"estimate": "difference", "low": "from", "high": "to"}
"""Columns of the difference in macro AUROC and its 95 % interval."""


def _by_class(run: Run, other: Run, difference: PairedDifference) -> Table:
    """AUROC of each class in two runs, and the difference with its interval."""
    from rich.table import Table

    from ecoscale.evaluation import class_auroc, mean_of_defined
    from ecoscale.training.comparing import uncalibrated

    ours = run.validation
    table = Table(box=None, header_style="bold", pad_edge=False, title=f"AUROC: {run.folder} minus {other.folder}")
    for name in ("finding", "positives", run.folder.name, other.folder.name, "difference", "95 % interval"):
        table.add_column(name, justify="left" if name == "finding" else "right")
    # Of separate findings by the logits, which hold more digits than probabilities next to 1.
    scores = [
        class_auroc(ours["labels"], uncalibrated(each) if each.recipe.single_label else each.validation["logits"])
        for each in (run, other)
    ]
    for position, (name, metrics) in enumerate(difference.classes.items()):
        interval = metrics["auroc"]
        table.add_row(
            name,
            f"{(ours['labels'][:, position] == 1).sum():,}",
            *(f"{own[position]:.4f}" for own in scores),
            f"{interval.estimate:+.4f}",
            f"[{interval.low:+.4f}, {interval.high:+.4f}]",
        )
    macro = difference.macro["auroc"]
    means = [f"{mean_of_defined(own):.4f}" for own in scores]
    table.add_row("macro", "", *means, f"{macro.estimate:+.4f}", f"[{macro.low:+.4f}, {macro.high:+.4f}]")
    return table


def _runs_in(place: Path) -> Iterator[Path]:
    """The run that a folder is, or those below it."""
    if (place / "recipe.yaml").is_file():
        yield place
    else:
        yield from sorted(path.parent for path in place.glob("**/recipe.yaml"))


def _figures(run: Run, *, accuracy: bool) -> dict[str, Any]:
    """One run in a row; with the accuracy where one of the runs is of classes that exclude each other."""
    history, recipe = run.history, run.recipe
    best = max(history, key=lambda row: row["val_macro_auroc"], default=None)
    return {
        "run": str(run.folder),
        "model": recipe.model.name,
        "epochs": f"{len(history)} of {recipe.optimisation.epochs}",
        "macro AUROC": None if best is None else best["val_macro_auroc"],
        **({"accuracy": None if best is None else best.get("val_accuracy")} if accuracy else {}),
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
