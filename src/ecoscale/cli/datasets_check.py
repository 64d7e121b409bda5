"""`ecoscale datasets check`: read a collection and say what is wrong or doubtful in it."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - typer reads it at run time
from typing import TYPE_CHECKING, Annotated

import typer

from ecoscale.cli._output import CollectionFolder, CollectionName  # noqa: TC001 - typer reads them at run time

if TYPE_CHECKING:
    from rich.console import Console

    from ecoscale.datasets.checking import Check

STYLES = {"error": "bold red", "warning": "yellow", "note": "dim"}


def check(
    name: CollectionName,
    directory: CollectionFolder,
    split: Annotated[
        Path | None,
        typer.Option(help="A stored split to check.", dir_okay=False, show_default="the publisher's folds, if any"),
    ] = None,
    checksums: Annotated[
        bool, typer.Option(help="Compare files with the publisher's SHA256SUMS.txt, where it is there.")
    ] = True,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", dir_okay=False, help="Write all of it as JSON.", show_default=False)
    ] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes.", show_default="all cores")] = None,
) -> None:
    """Read every record and report: files, lead identities, amplitudes, flat leads, padding, duplicates, parts.

    Exit status 1 when something is wrong: an unreadable or altered file, a patient or a signal in two parts.

    Examples:
      ecoscale datasets check ptbxl ptb-xl
      ecoscale datasets check code15 CODE-15 --split splits/code15.csv --out check.json
    """
    import json
    import sys

    from ecoscale.cli._output import FAILED, console_on, tracked
    from ecoscale.datasets import open_collection
    from ecoscale.datasets.checking import check_collection
    from ecoscale.datasets.splits import read_split

    parts = None if split is None else read_split(split)
    collection = open_collection(directory, name)
    found = check_collection(collection, parts, workers=workers, checksums=checksums, progress=tracked)
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps(found.as_dict(), indent=1), encoding="utf-8")
    _print(console_on(sys.stdout), found)
    if not found.sound:
        raise typer.Exit(FAILED)


def _print(console: Console, found: Check) -> None:
    from rich.text import Text

    from ecoscale.cli._output import counts_by_part, counts_table

    console.print(f"{found.collection} in {found.directory}", style="bold", markup=False, soft_wrap=True)
    lines = [f"{found.readable:,} of {found.records:,} records read, {found.patients:,} patients"]
    if found.seconds:
        spread = ", ".join(f"{name} {value:.2f}" for name, value in found.seconds.items())
        rates = ", ".join(f"{rate} Hz ({count:,})" for rate, count in found.rates.items())
        lines += [f"seconds: {spread}", f"rates: {rates}"]
    if found.residual:
        spread = ", ".join(f"{name} {100 * value:.2f} %" for name, value in found.residual.items())
        lines.append(f"residual of the limb-lead identities: {spread}")
    if found.padding_seconds:
        lines.append(f"padding: {found.padding_seconds / 3600:.2f} hours of zeros in all")
    lines.append(
        f"publisher's checksums: {found.checksums_compared:,} files compared"
        if found.checksums_compared
        else "publisher's checksums: no list in the folder"
    )
    for line in (*lines, *found.notes):
        console.print(line, markup=False, soft_wrap=True)
    if found.labels:
        console.print()
        console.print(counts_table("finding", found.labels))
    if found.parts:
        console.print()
        console.print(counts_by_part(found.parts))
    console.print()
    if not found.observations:
        console.print("Nothing wrong, nothing doubtful.", style="green")
    for one in found.observations:
        heading = Text.assemble((one.level, STYLES[one.level]), f" {one.code}: {one.count:,} ({one.meaning})")
        console.print(heading, soft_wrap=True)
        for text in one.first:
            console.print(f"  {text}", markup=False, soft_wrap=True, style="dim")
        if one.count > len(one.first):
            console.print(f"  and {one.count - len(one.first):,} more", style="dim")
