"""`ecoscale convert`: ECGs from one format to another."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path  # noqa: TC003 - typer reads it at run time
from typing import TYPE_CHECKING, Annotated

import typer

from ecoscale.cli._output import FAILED, Dialect_file, Lead_names, Rate, Unit, counted_ahead, stated, tracked

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ecoscale.converting import Conversion

REMARKS_SHOWN = 3
"""Recordings of each kind of note that are named."""


class Target(StrEnum):
    """Formats that are written."""

    WFDB = "wfdb"
    CSV = "csv"
    DICOM = "dicom"
    EDF = "edf"
    PARQUET = "parquet"


def convert(
    paths: Annotated[
        list[str],
        typer.Argument(help="Files, folders or patterns ('**/*.hea').", metavar="IN...", show_default=False),
    ],
    out: Annotated[
        Path,
        typer.Argument(help="A folder; for one recording also a file.", metavar="OUT", show_default=False),
    ],
    to: Annotated[
        Target | None, typer.Option("--to", "-t", help="The format.", show_default="as the suffix of OUT says")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Write over what is there, not skip it.")] = False,
    rate: Rate = None,
    unit: Unit = None,
    leads: Lead_names = None,
    dialect: Dialect_file = None,
) -> None:
    """Convert ECGs of any format that is read to WFDB, CSV, DICOM, EDF+ or Parquet.

    Samples that came from integers are kept to the bit; what a format cannot hold is refused or said.
    A folder's tree is kept. What is there already is skipped: the same command goes on after an interruption.
    A recording that cannot be converted is reported, the others go on, and the exit status is 1.

    Examples:
      ecoscale convert record.hea record.dcm
      ecoscale convert 'records/**/*.hea' out --to dicom
      ecoscale convert exports out --to wfdb
      ecoscale convert ecg.csv ecg.hea --rate 500 --unit uV
    """
    from collections import defaultdict
    from itertools import islice

    from ecoscale.converting import Conversion, plan_conversions, stated_recordings
    from ecoscale.converting import convert as convert_one

    options = stated(rate, unit, leads, dialect)
    target = _file_format(out, to)
    conversions: Iterable[Conversion]
    if target is not None:
        found = list(islice(stated_recordings(paths, options), 2))
        if len(found) > 1:
            raise typer.BadParameter(
                f"{out} is a file, and there are several recordings; give a folder, and --to", param_hint="OUT"
            )
        conversions = [Conversion(each, out, target.value) for each in found]
    elif to is None:
        raise typer.BadParameter("what shall be written? OUT has no known suffix", param_hint="--to")
    elif out.exists() and not out.is_dir():
        raise typer.BadParameter(f"{out} is a file; give a folder", param_hint="OUT")
    else:
        conversions = plan_conversions(paths, out, to.value, options)

    waiting, total = counted_ahead(conversions)
    counts: dict[str, int] = defaultdict(int)
    notes: dict[str, list[str]] = defaultdict(list)
    for conversion in tracked(waiting, "converting", total):
        done = convert_one(conversion, overwrite=overwrite)
        counts["failed" if done.error is not None else "skipped" if done.skipped else "written"] += 1
        if done.error is not None:
            about = "" if done.error.startswith(str(conversion.recording.path)) else f"{conversion.name}: "
            typer.echo(f"not converted: {about}{done.error}", err=True)
        for note in done.notes:
            notes[note].append(conversion.name)

    for note, names in notes.items():
        others = f" and {len(names) - REMARKS_SHOWN:,} more" if len(names) > REMARKS_SHOWN else ""
        typer.echo(f"{note} ({', '.join(names[:REMARKS_SHOWN])}{others})", err=True)
    if not counts:
        typer.echo(f"no recordings found in {', '.join(paths)}", err=True)
        raise typer.Exit(FAILED)
    there = f", {counts['skipped']:,} were there already" if counts["skipped"] else ""
    typer.echo(f"{counts['written']:,} recordings written to {out}{there}", err=True)
    if counts["failed"]:
        typer.echo(f"{counts['failed']:,} of {sum(counts.values()):,} could not be converted", err=True)
        raise typer.Exit(FAILED)


def _file_format(out: Path, to: Target | None) -> Target | None:
    """The format of a file that OUT names; None where it names a folder."""
    from ecoscale.errors import FormatError
    from ecoscale.formats.writing import written_format

    if out.is_dir():
        return None
    try:
        by_suffix = Target(written_format(out))
    except FormatError:
        return None
    if to not in (None, by_suffix):
        raise typer.BadParameter(f"{out} has the suffix of {by_suffix}, but --to is {to}", param_hint="--to")
    return by_suffix
