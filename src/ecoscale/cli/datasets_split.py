"""`ecoscale datasets split`: make, store and print a split by patient."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - typer reads it at run time
from typing import Annotated

import typer

from ecoscale.cli._output import CollectionFolder, CollectionName  # noqa: TC001 - typer reads them at run time


def split(
    name: CollectionName,
    directory: CollectionFolder,
    out: Annotated[Path, typer.Option("--out", "-o", help="The split: record, patient, part.", dir_okay=False)],
    shares: Annotated[
        str, typer.Option(help="Parts with their shares of the records.")
    ] = "train=0.7,validation=0.1,test=0.2",
    findings: Annotated[
        str | None,
        typer.Option(help="Findings of which each part gets its share: AF,SB.", show_default="all that it states"),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same split of the same records.")] = 0,
    force: Annotated[bool, typer.Option("--force", help="Overwrite a split that is there.")] = False,
) -> None:
    """Split a collection by patient, with each finding in proportion, and store the part of every record.

    Patients stay whole. Use it in a recipe ({collection: code15, split: FILE, part: train}) and in evaluate (--split).

    Examples:
      ecoscale datasets split code15 CODE-15 --out splits/code15.csv
      ecoscale datasets split chapman ecg-arrhythmia --shares train=0.8,test=0.2 -o chapman.csv
    """
    import sys

    from ecoscale import __version__
    from ecoscale.cli._output import console_on, counts_by_part
    from ecoscale.datasets import open_collection, splits
    from ecoscale.datasets.checking import part_counts

    if out.exists() and not force:
        raise typer.BadParameter(
            f"{out} is there already; choose another name, or --force to overwrite it", param_hint="--out"
        )
    wanted = _shares(shares)
    collection = open_collection(directory, name)
    chosen = collection.findings if findings is None else tuple(findings.replace(",", " ").split())
    parts = splits.stratified_split(collection.records, collection.labels(chosen), wanted, seed)
    how = f"by patient, stratified by {' '.join(chosen)}, seed {seed}"
    about = f"ecoscale {__version__}: {collection.title}, {shares}, {how}"
    splits.write_split(out, collection.records, parts, about)
    console = console_on(sys.stdout)
    console.print(counts_by_part(part_counts(collection, parts)))
    console.print(f"{out}: {len(parts):,} records", markup=False, soft_wrap=True)


def _shares(text: str) -> dict[str, float]:
    """`train=0.8,test=0.2` as a mapping."""
    from ecoscale.cli._output import pairs

    form = "PART=SHARE, as in train=0.8,test=0.2"
    given = pairs(text.split(","), "--shares", form)
    try:
        return {part.strip(): float(share) for part, share in given.items()}
    except ValueError:
        raise typer.BadParameter(f"{text!r}; expected {form}", param_hint="--shares") from None
