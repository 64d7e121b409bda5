"""`ecoscale reproduce`: do a published comparison again."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from ecoscale.reproduction import Comparison, Estimate


def reproduce(
    protocol: Annotated[
        str, typer.Argument(help="code15, or a folder with a protocol.yaml.", metavar="PROTOCOL", show_default=False)
    ],
    directory: Annotated[
        Path | None,
        typer.Argument(
            help="Folder of the protocol's collection.", metavar="[DIR]", file_okay=False, show_default=False
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", file_okay=False, help="Split, stores, runs, comparison.", show_default="runs/PROTOCOL"
        ),
    ] = None,
    models: Annotated[
        str | None, typer.Option(help="Some of its networks: ecoscalenet,oscnn.", show_default="all")
    ] = None,
    seeds: Annotated[
        int | None, typer.Option(min=1, help="Trainings of each network.", show_default="the protocol's: 5")
    ] = None,
    change: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            help="Change a key of every recipe, as KEY=VALUE, or of one, as NETWORK:KEY=VALUE; repeatable.",
            show_default=False,
        ),
    ] = None,
    external: Annotated[
        Path | None,
        typer.Option(
            "--external",
            "--code-test",
            file_okay=False,
            help="Folder of the protocol's external test set; CODE-test for code15.",
            show_default=False,
        ),
    ] = None,
    only_estimate: Annotated[
        bool, typer.Option("--estimate", help="No training: what all of it would take on this machine.")
    ] = False,
    only_report: Annotated[
        bool, typer.Option("--report", help="No training: the comparison of the runs that are there.")
    ] = False,
    resamples: Annotated[int, typer.Option(min=2, help="Bootstrap resamples (by patient, and by seed).")] = 1000,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes that prepare.", show_default="all cores")
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress bars.")] = False,
) -> None:
    r"""Do a published comparison again: split, prepare, train, compare (needs ecoscale\[train]).

    Killed or stopped, the same command goes on where it was; what is done is not done twice.

    Examples:
      ecoscale reproduce code15 --estimate
      ecoscale reproduce code15 CODE-15 --code-test CODE-test
      ecoscale reproduce code15 CODE-15 --models oscnn --set oscnn:model.config.method=fourier
      ecoscale reproduce code15 --report
    """
    import json
    import shlex
    import sys

    from rich.console import Console

    from ecoscale.cli._output import changes, console_on, tracked
    from ecoscale.datasets.processes import silent
    from ecoscale.errors import MissingExtraError

    if only_estimate and only_report:
        raise typer.BadParameter("--estimate and --report exclude each other")
    if only_report and (seeds is not None or change):
        raise typer.BadParameter("--report is of the runs that are there, as they are; leave --seeds and --set out")
    if directory is None and not only_estimate and not only_report:
        raise typer.BadParameter("give the folder of the collection", param_hint="DIR")
    try:
        from ecoscale import reproduction
    except ModuleNotFoundError as error:
        raise MissingExtraError("training", error.name or "torch", "train") from error

    loaded = reproduction.load_protocol(protocol)
    folder = out or Path("runs") / loaded.name
    chosen = None if models is None else models.replace(",", " ").split()
    console = console_on(sys.stdout)
    if not only_report:
        plan = reproduction.make_plan(loaded, folder, models=chosen, seeds=seeds, changes=changes(change))
        if only_estimate:
            found = reproduction.estimate(
                plan, progress=lambda names, what, total: tracked(names, what, total, show=not quiet)
            )
            _print_estimate(console, found)
            if out is not None:
                out.mkdir(parents=True, exist_ok=True)
                (out / "estimate.json").write_text(json.dumps(found.to_dict(), indent=1) + "\n", encoding="utf-8")
            return
        assert directory is not None
        lines = Console(stderr=True, highlight=False)
        reproduction.reproduce(
            plan,
            directory,
            external=external,
            workers=workers,
            progress=silent if quiet else tracked,
            show_progress=not quiet,
            say=lambda line: lines.print(line, style="dim", markup=False, soft_wrap=True),
        )
    comparison = reproduction.compare(
        loaded, folder, models=chosen, n_resamples=resamples, command=shlex.join(("ecoscale", *sys.argv[1:]))
    )
    page = reproduction.write_comparison(comparison, folder)
    _print_comparison(console, comparison)
    console.print(f"comparison: {page}", markup=False, soft_wrap=True)


def _print_comparison(console: Console, comparison: Comparison) -> None:
    from ecoscale.reproduction import pages

    for table in pages.tables(comparison):
        _print_table(console, table.title, table.head, table.rows)
    console.print(pages.reading(comparison), markup=False)
    for remark in comparison.remarks:
        console.print(remark, style="yellow", markup=False)


def _print_estimate(console: Console, found: Estimate) -> None:
    head = ("network", "parameters", "GMAC", "trained/s", "predicted/s", "at a batch of", "memory, GB", "EFLOP a seed")
    head += ("time a seed", f"{found.seeds} seeds")
    rows = [
        (
            network.name,
            f"{network.parameters:,}",
            f"{network.macs / 1e9:.3f}",
            _rate(network.trained),
            _rate(network.predicted),
            f"{network.batch_size}",
            f"{network.memory / 1e9:.1f}",
            f"{network.flops_a_seed / 1e18:,.2f}",
            _duration(network.seconds_a_seed),
            _duration(found.seeds * network.seconds_a_seed),
        )
        for network in found.networks
    ]
    _print_table(console, f"On this machine ({found.device}, {found.threads} threads)", head, rows)
    parts = ", ".join(f"{part} {count:,}" for part, count in found.records.items())
    epochs, batches = ({getattr(n, key) for n in found.networks} for key in ("epochs", "recipe_batch_size"))
    files = "" if found.collection is None else f"{found.collection / 1e9:.0f} GB of files, "
    disk = f"{files}{found.store / 1e9:.1f} GB of prepared signals, {found.checkpoints / 1e9:.1f} GB of checkpoints"
    for line in (
        f"Records: {parts}. Epochs: {', '.join(map(str, sorted(epochs)))}.",
        f"All of it, one after the other: {_duration(found.seconds)}.",
        f"Disk: {disk}.",
        f"Memory is counted, for one step at the recipe's batch of {', '.join(map(str, sorted(batches)))}: weights, "
        "gradients, Adam's moments, activations in float32; workspaces come on top.",
    ):
        console.print(line, markup=False)


def _rate(a_second: float) -> str:
    return f"{a_second:,.0f}" if a_second >= 100 else f"{a_second:.3g}"


def _duration(seconds: float) -> str:
    """In minutes, hours, days or years."""
    for unit, length, up_to in (("min", 60, 120), ("h", 3600, 72), ("days", 86400, 1000)):
        if seconds / length < up_to:
            return f"{seconds / length:,.1f} {unit}"
    return f"{seconds / (365.25 * 86400):,.1f} years"


def _print_table(console: Console, title: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    from rich.table import Table

    table = Table(title=title, title_justify="left", box=None, header_style="bold", pad_edge=False)
    for position, name in enumerate(head):
        table.add_column(name, justify="right" if position else "left")
    for row in rows:
        table.add_row(*row)
    console.print(table)
    console.print()
