"""`ecoscale datasets`: the collections that can be read, and what can be done with their files."""

from __future__ import annotations

from typing import Annotated

import typer

from ecoscale.cli.datasets_check import check
from ecoscale.cli.datasets_download import download
from ecoscale.cli.datasets_split import split

datasets = typer.Typer(
    help="The collections that ecoscale reads: list, describe, download, check and split them.\n\n"
    "Examples:\n  ecoscale datasets list\n  ecoscale datasets describe code15\n"
    "  ecoscale datasets download code15 CODE-15",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)


datasets.command()(check)
datasets.command()(split)


@datasets.command("list")
def list_() -> None:
    """List the public collections that ecoscale reads, each from the folder that its publisher's files unpack to.

    Examples:
      ecoscale datasets list
    """
    import sys

    from rich.table import Table

    from ecoscale.cli._output import console_on
    from ecoscale.datasets import list_collections

    console = console_on(sys.stdout)
    table = Table("name", "collection", "source", "licence", box=None, header_style="bold", pad_edge=False)
    table.columns[2].no_wrap = True  # an address is to be copied
    for cls in list_collections().values():
        table.add_row(cls.name, cls.title, cls.source, cls.licence)
    console.print(table)


@datasets.command()
def describe(
    name: Annotated[str, typer.Argument(help="A collection's name.", metavar="NAME", show_default=False)],
) -> None:
    """Describe a collection: source, licence, counts, where its labels come from, known traps, tasks.

    Examples:
      ecoscale datasets describe code15
    """
    import inspect
    import sys

    from ecoscale.cli._output import console_on
    from ecoscale.datasets import named_collection

    cls = named_collection(name)
    console = console_on(sys.stdout)
    console.print(inspect.getdoc(inspect.getmodule(cls)), markup=False)
    for task in cls.tasks:
        console.print(f"\nTask {task.name}: {task.title} ({task.source})", markup=False)
        console.print("  " + ", ".join(task.names), markup=False)


datasets.command()(download)
