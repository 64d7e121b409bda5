"""`ecoscale synth`: write synthetic ECGs."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path  # noqa: TC003 - typer reads it at run time
from typing import Annotated

import typer


class Layout(StrEnum):
    """What to write: records with their labels, or the layout of a collection as published."""

    WFDB = "wfdb"
    HOLTER = "holter"
    CODE15 = "code15"
    CODE_TEST = "code_test"
    PTBXL = "ptbxl"
    CHALLENGE2021 = "challenge2021"
    CHALLENGE2025 = "challenge2025"
    SAMITROP = "samitrop"
    LUDB = "ludb"
    SPH = "sph"


class Prevalence(StrEnum):
    """How often each finding is drawn."""

    CODE15 = "code15"
    EVEN = "even"


def synth(
    out: Annotated[Path, typer.Argument(help="Folder to write to; made if missing.", show_default=False)],
    findings: Annotated[
        str | None,
        typer.Option(
            help="Findings that every recording shows, separated by commas, or 'normal' for none. "
            "Left out: drawn for each recording by --prevalence.",
            show_default=False,
        ),
    ] = None,
    n: Annotated[
        int, typer.Option("--n", "-n", min=1, help="Number of recordings; of each source in a Challenge.")
    ] = 10,
    layout: Annotated[
        Layout,
        typer.Option(
            "--layout",
            "--format",
            help="wfdb: records with labels.csv. holter: one long WFDB record with episodes of AF. "
            "Any other: a collection's files exactly as published.",
        ),
    ] = Layout.WFDB,
    rate: Annotated[
        float | None, typer.Option(min=50, help="Samples per second, in Hz (wfdb, holter).", show_default="500")
    ] = None,
    duration: Annotated[float | None, typer.Option(min=1, help="Length in seconds (wfdb).", show_default="10")] = None,
    hours: Annotated[float | None, typer.Option(min=0.05, help="Length (holter).", show_default="24")] = None,
    leads: Annotated[
        str | None, typer.Option(help="Leads, such as II,V1,V5 (holter).", show_default="all twelve")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same files.")] = 0,
    noise: Annotated[
        float | None,
        typer.Option(min=0, help="Noise and baseline wander (wfdb, code15, holter); 1: ordinary.", show_default="1"),
    ] = None,
    prevalence: Annotated[
        Prevalence | None,
        typer.Option(
            help="code15: as often as in CODE-15%. even: each in one of seven (wfdb, code15).", show_default="code15"
        ),
    ] = None,
    parts: Annotated[int | None, typer.Option(min=1, help="Number of HDF5 files (code15).", show_default="2")] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Write into a folder that is not empty, over files of the same name.")
    ] = False,
) -> None:
    """Write synthetic 12-lead ECGs whose findings are known. They are never evidence of accuracy.

    For example:

      ecoscale synth out --findings AF,RBBB --n 20

      ecoscale synth out --findings normal --rate 100 --noise 0

      ecoscale synth out --layout code15 --n 2000 --prevalence even

      ecoscale synth out --layout ptbxl --n 100

      ecoscale synth out --layout holter --hours 24 --rate 250 --leads II,V1,V5
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from ecoscale.datasets import open_collection
    from ecoscale.datasets.layouts import PLAIN, write_code15, write_wfdb
    from ecoscale.datasets.synthetic import (
        CODE15_PREVALENCE,
        DEFAULT_NOISE,
        EVEN_PREVALENCE,
        synthetic_collection,
    )

    if out.exists() and not out.is_dir():
        raise typer.BadParameter(f"{out} is a file; give a folder", param_hint="OUT")
    if not force and out.is_dir() and any(out.iterdir()):
        raise typer.BadParameter(
            f"{out} is not empty; choose another folder, or --force to write into it", param_hint="OUT"
        )
    if layout is Layout.HOLTER:
        for option, value in {"--findings": findings, "--duration": duration, "--prevalence": prevalence}.items():
            if value is not None:
                raise typer.BadParameter("a holter is of --hours, with AF at times that are drawn", param_hint=option)
        _holter(out, 24.0 if hours is None else hours, rate or 500.0, leads, seed, 1.0 if noise is None else noise)
        return
    foreign = {"--findings": findings, "--rate": rate, "--duration": duration, "--parts": parts}
    reason = f"the layout {layout.value} has it given by its publisher; leave this option out"
    if layout is Layout.CODE15:
        del foreign["--parts"]
        reason = "a CODE-15% is 10.24 s at 400 Hz, its findings drawn by --prevalence; leave this option out"
    elif layout is Layout.WFDB:
        foreign, reason = {"--parts": parts}, "it has no part in WFDB records; leave this option out"
    else:
        foreign |= {"--noise": noise, "--prevalence": prevalence}
    foreign |= {"--hours": hours, "--leads": leads}
    for option, value in foreign.items():
        if value is not None:
            raise typer.BadParameter(reason, param_hint=option)

    shares = EVEN_PREVALENCE if prevalence is Prevalence.EVEN else CODE15_PREVALENCE
    level = DEFAULT_NOISE.scaled(1.0 if noise is None else noise)
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("Drawing ECGs", total=None if layout.value in PLAIN else n)
        if layout.value in PLAIN:
            PLAIN[layout.value](out, n, seed=seed)
        elif layout is Layout.CODE15:
            write_code15(
                out,
                n,
                n_parts=parts or 2,
                seed=seed,
                prevalence=shares,
                noise=level,
                progress=lambda k: bar.advance(task, k),
            )
        else:
            names = None if findings is None else _names(findings)
            records = synthetic_collection(
                n,
                findings=names,
                seed=seed,
                prevalence=shares,
                rate=rate or 500.0,
                duration=duration or 10.0,
                noise=level,
            )
            write_wfdb(out, bar.track(records, total=n, task_id=task))
    written = len(open_collection(out, layout.value)) if layout.value in PLAIN else n
    typer.echo(f"{written} synthetic {'ECG' if written == 1 else 'ECGs'} in {out}")


def _holter(out: Path, hours: float, rate: float, leads: str | None, seed: int, noise: float) -> None:
    """Write one long record, and say where its episodes are."""
    from ecoscale.datasets.layouts import random_stretches, write_holter
    from ecoscale.datasets.synthetic import DEFAULT_NOISE
    from ecoscale.ecg import LEADS
    from ecoscale.formats.leads import canonical_leads

    names = LEADS if leads is None else canonical_leads(leads.replace(",", " ").split(), "--leads")
    stretches = random_stretches(hours, seed)
    header = write_holter(
        out, stretches, hours=hours, rate=rate, leads=names, noise=DEFAULT_NOISE.scaled(noise), seed=seed
    )
    episodes = sum(not stretch.off for stretch in stretches)
    said = f"{episodes} episode{'s' * (episodes != 1)} of AF"
    typer.echo(f"{header}: {hours:g} h with {said}, listed in {header.with_suffix('.csv')}")


def _names(findings: str) -> list[str]:
    """The findings in a list separated by commas, under any name that they have; none in "normal"."""
    from ecoscale.findings import named_finding

    return (
        []
        if findings.strip() == "normal"
        else [named_finding(name).name for name in findings.split(",") if name.strip()]
    )
