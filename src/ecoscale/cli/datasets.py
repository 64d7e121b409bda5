"""`ecoscale datasets`: the collections that can be read, and what can be done with their files."""

from __future__ import annotations

import typer

from ecoscale.cli._output import CollectionName  # noqa: TC001 - typer reads it at run time
from ecoscale.cli.datasets_check import check
from ecoscale.cli.datasets_download import download
from ecoscale.cli.datasets_split import split

datasets = typer.Typer(context_settings={"help_option_names": ["-h", "--help"]})


@datasets.callback(invoke_without_command=True)
def list_collections(context: typer.Context) -> None:
    """List the collections that ecoscale reads; describe, download, check and split them.

    Each is read from the folder that its publisher's files unpack to.

    Examples:
      ecoscale datasets
      ecoscale datasets describe code15
    """
    import sys

    from rich.table import Table

    from ecoscale.cli._output import console_on
    from ecoscale.datasets import list_collections

    if context.invoked_subcommand is not None:
        return
    table = Table("name", "collection", "source", "licence", box=None, header_style="bold", pad_edge=False)
    table.columns[2].no_wrap = True  # an address is to be copied
    for cls in list_collections().values():
        table.add_row(cls.name, cls.title, cls.source, cls.licence)
    console_on(sys.stdout).print(table)


@datasets.command()
def describe(name: CollectionName) -> None:
    """Describe a collection: source, licence, counts, where its labels come from, known traps, findings, tasks.

    Examples:
      ecoscale datasets describe code15
    """
    import inspect
    import sys

    from ecoscale.cli._output import console_on
    from ecoscale.datasets import named_collection
    from ecoscale.datasets.vocabulary import known_findings, unannotated
    from ecoscale.findings import FINDINGS

    cls = named_collection(name)
    lines = [inspect.getdoc(inspect.getmodule(cls)) or ""]
    if known := known_findings(cls.scheme):
        lines.append(f"Findings: {', '.join(known)}; every other finding of the vocabulary is unknown.")
        for part in cls.parts or (cls.name,):
            unknown = [name for name in FINDINGS if name in known and part in unannotated(name)]
            if unknown:
                lines.append(f"Not annotated in {part}: {', '.join(unknown)}.")
    lines += [f"Task {task.name}: {task.title} ({task.source}).\n  {', '.join(task.names)}" for task in cls.tasks]
    console_on(sys.stdout).print("\n\n".join(lines), markup=False)


datasets.command()(download)
datasets.command()(check)
datasets.command()(split)
