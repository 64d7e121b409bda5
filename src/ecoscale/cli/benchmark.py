"""`ecoscale benchmark`: a published benchmark, trained and measured."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.table import Table

    from ecoscale.benchmarking import BenchmarkReport


class Read(StrEnum):
    """How a test record is read."""

    WHOLE = "whole"
    MEAN = "mean"
    MAX = "max"


class Measured(StrEnum):
    """Which epoch is measured."""

    BEST = "best"
    LAST = "last"


def benchmark(
    name: Annotated[str, typer.Argument(help="The benchmark's collection.", metavar="NAME", show_default=False)],
    model: Annotated[
        list[str],
        typer.Option(
            help="A network, a recipe of the benchmark's, or a recipe's file; repeatable.", show_default=False
        ),
    ],
    directory: Annotated[
        Path | None,
        typer.Argument(
            help="The collection's folder, or a store of it.", metavar="[DIR]", show_default="NAME, in this folder"
        ),
    ] = None,
    task: Annotated[
        list[str] | None, typer.Option(help="A task; repeatable.", show_default="all that are published")
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Trainings of each, with seeds 0, 1, ...")] = 1,
    validation_fold: Annotated[
        int | None, typer.Option(help="Where epoch and thresholds are chosen.", show_default="the published one")
    ] = None,
    test_fold: Annotated[
        int | None,
        typer.Option(help="What is reported on.", show_default="the published one, else its validation fold"),
    ] = None,
    epoch: Annotated[Measured, typer.Option(help="The best on the validation fold, or the last.")] = Measured.BEST,
    aggregate: Annotated[
        Read, typer.Option(help="A record at once, or the mean or maximum over windows as long as trained on.")
    ] = Read.WHOLE,
    change: Annotated[
        list[str] | None,
        typer.Option("--set", help="Change a key of every recipe, as KEY=VALUE; repeatable.", show_default=False),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", file_okay=False, help="Folder of runs and report.", show_default="runs/benchmark-NAME"
        ),
    ] = None,
    stores: Annotated[
        Path | None, typer.Option(help="Folder of prepared signals.", show_default="stores beside --out")
    ] = None,
    resamples: Annotated[int, typer.Option(min=2, help="Bootstrap resamples (by patient).")] = 1000,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar.")] = False,
) -> None:
    r"""Train and measure models on a published benchmark, beside its figures (needs ecoscale\[train]).

    Stopped or killed, the same command goes on; what is done is not done again.

    Examples:
      ecoscale benchmark ptbxl ptb-xl --task all --model ecoscalenet_small
      ecoscale benchmark ptbxl ptb-xl --model ecoscalenet_radix_small --model xresnet1d101 --seeds 3
      ecoscale benchmark ptbxl ptb-xl --task form --model mine.yaml --validation-fold 8 --test-fold 9
    """
    import shlex
    import sys

    from rich.console import Console

    from ecoscale.cli._output import console_on, recipe_changes, tracked
    from ecoscale.datasets import named_collection
    from ecoscale.datasets.processes import silent
    from ecoscale.errors import MissingExtraError

    try:
        from ecoscale import benchmarking
    except ModuleNotFoundError as error:
        raise MissingExtraError("a benchmark", error.name or "torch", "train") from error

    published = benchmarking.named_benchmark(name)
    collection = named_collection(name)
    folder, place = out or Path("runs") / f"benchmark-{name}", directory or Path(name)
    tasks = list(dict.fromkeys(task or published.tasks))
    changes = recipe_changes(change)
    opened = benchmarking.open_records(published, place)
    folds = benchmarking.choose_folds(published, opened.folds, validation_fold, test_fold)
    protocol = benchmarking.Protocol(published, folds, epoch.value, aggregate.value)
    # What cannot be trained is refused before the first hours of training.
    wanted = [(one, which, seed) for one in tasks for which in dict.fromkeys(model) for seed in range(seeds)]
    for one, which, seed in wanted:
        benchmarking.recipe_for(published, one, which, seed, folds, changes)
    console = Console(stderr=True, highlight=False)
    scores = [
        benchmarking.train_and_score(
            protocol,
            one,
            which,
            seed,
            place,
            folder,
            stores=stores or folder.parent / "stores",
            changes=changes,
            progress=silent if quiet else tracked,
            show_progress=not quiet,
            announce=lambda text: console.print(text, style="dim", markup=False, soft_wrap=True),
        )
        for one, which, seed in wanted
    ]
    figures = benchmarking.measure_scores(
        scores, {own.name: own.names for own in collection.tasks}, n_resamples=resamples
    )
    report = benchmarking.BenchmarkReport(
        protocol, tuple(figures), opened.notes, shlex.join(("ecoscale", *sys.argv[1:]))
    )
    path = report.write(folder)
    shown = console_on(sys.stdout)
    shown.print(_table(report))
    for remark in (*report.differences(), *report.remarks):
        shown.print(remark, markup=False)
    shown.print(f"report: {path}", markup=False, soft_wrap=True)


def _table(report: BenchmarkReport) -> Table:
    from rich.table import Table

    rows = list(report.rows())
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in rows[0]:
        table.add_column(name, justify="left" if name in ("task", "network", "measured on", "macro AUROC") else "right")
    for row in rows:
        table.add_row(*row.values(), style="dim" if not row["seeds"] else "")
    return table
