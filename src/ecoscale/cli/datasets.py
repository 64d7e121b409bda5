"""`ecoscale datasets`: the collections that can be read."""

from __future__ import annotations

from typing import Annotated

import typer


def datasets(
    name: Annotated[
        str | None, typer.Argument(help="Describe this collection.", metavar="NAME", show_default=False)
    ] = None,
) -> None:
    """List the public collections that ecoscale reads, or describe one: source, licence, counts, traps.

    Each is read from the folder that its publisher's archive unpacks to.

    Examples:
      ecoscale datasets
      ecoscale datasets code15
    """
    import inspect
    import sys

    from rich.table import Table

    from ecoscale.cli._output import console_on
    from ecoscale.datasets import list_collections
    from ecoscale.errors import DatasetError

    console = console_on(sys.stdout)
    collections = list_collections()
    if name is None:
        table = Table("name", "collection", "source", "licence", box=None, header_style="bold", pad_edge=False)
        table.columns[2].no_wrap = True  # an address is to be copied
        for cls in collections.values():
            table.add_row(cls.name, cls.title, cls.source, cls.licence)
        console.print(table)
        return
    if name not in collections:
        raise DatasetError(f"no collection {name!r}; there are {', '.join(collections)}")
    console.print(inspect.getdoc(inspect.getmodule(collections[name])), markup=False)
