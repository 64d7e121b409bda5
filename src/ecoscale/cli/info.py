"""`ecoscale info`: what a recording holds, before anything is said of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from ecoscale.cli._output import FAILED, Dialect_file, Lead_names, Rate, Unit, stated, tables_wanted

if TYPE_CHECKING:
    from ecoscale.ecg import ECG


def info(
    paths: Annotated[
        list[str],
        typer.Argument(help="Files, folders or patterns ('**/*.hea').", metavar="PATH", show_default=False),
    ],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
    rate: Rate = None,
    unit: Unit = None,
    leads: Lead_names = None,
    dialect: Dialect_file = None,
) -> None:
    """Show leads, rate, duration, amplitudes and the quality checks of recordings.

    Nothing is classified, and no bundle is needed.

    Examples:
      ecoscale info record.hea
      ecoscale info ecg.csv --rate 500 --unit uV --json
    """
    import json
    import sys

    from rich.text import Text

    from ecoscale.cli._output import console_on
    from ecoscale.errors import EcoscaleError
    from ecoscale.formats import find_recordings

    options = stated(rate, unit, leads, dialect)
    console = console_on(sys.stdout)
    failed, recording = False, None
    for recording in find_recordings(paths, tables=tables_wanted(options)):
        try:
            facts = _facts(recording.read(**options))
        except EcoscaleError as error:
            failed = True
            facts = {"source": str(recording.path), "record": recording.record or "", "error": str(error)}
        if as_json:
            typer.echo(json.dumps(facts))
        elif "error" in facts:
            console.print(Text(f"{facts['error']}\n", "red"), soft_wrap=True)
        else:
            _print(console, facts)
    if recording is None:
        typer.echo(f"no recordings found in {', '.join(paths)}", err=True)
    if failed or recording is None:
        raise typer.Exit(FAILED)


def _facts(ecg: ECG) -> dict[str, Any]:
    import numpy as np

    return {
        "source": ecg.source,
        "record": ecg.record,
        "rate_hz": ecg.rate,
        "samples": ecg.n_samples,
        "duration_s": round(ecg.duration, 3),
        "leads": {
            lead: {"lowest_mv": round(float(np.nanmin(row)), 3), "highest_mv": round(float(np.nanmax(row)), 3)}
            if np.isfinite(row).any()
            else {"lowest_mv": None, "highest_mv": None}
            for lead, row in zip(ecg.leads, ecg.signal, strict=True)
        },
        "limb_lead_residual": {lead: round(value, 4) for lead, value in ecg.einthoven_residual().items()},
        "warnings": list(ecg.check()),
    }


def _print(console, facts: dict[str, Any]) -> None:
    from rich.table import Table
    from rich.text import Text

    console.print(Text(" ".join(filter(None, (facts["source"], facts["record"]))), "bold"), soft_wrap=True)
    console.print(f"{len(facts['leads'])} leads, {facts['duration_s']:g} s at {facts['rate_hz']:g} Hz")
    table = Table("lead", "lowest, mV", "highest, mV", "off the limb-lead identities", box=None, header_style="bold")
    for lead, span in facts["leads"].items():
        residual = facts["limb_lead_residual"].get(lead)
        values = ["-" if value is None else f"{value:.3f}" for value in span.values()]
        table.add_row(lead, *values, "" if residual is None else f"{100 * residual:.1f} %")
    console.print(table)
    for warning in facts["warnings"] or ["no warnings"]:
        console.print(Text(warning, "yellow" if facts["warnings"] else "green"), soft_wrap=True)
    console.print()
