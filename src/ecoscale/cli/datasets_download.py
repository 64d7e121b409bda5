"""`ecoscale datasets download`: fetch a collection from its publisher."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from pathlib import Path  # noqa: TC003 - typer reads it at run time
from typing import TYPE_CHECKING, Annotated

import typer

from ecoscale.cli._output import CollectionName  # noqa: TC001 - typer reads it at run time

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ecoscale.datasets.download import Plan

STOPPED = 130


def download(
    name: CollectionName,
    directory: Annotated[
        Path, typer.Argument(help="Its folder; made if missing.", metavar="DIR", file_okay=False, show_default=False)
    ],
    only: Annotated[
        list[str] | None,
        typer.Option(help="Only files whose path fits; repeatable.", metavar="PATTERN", show_default=False),
    ] = None,
    connections: Annotated[int, typer.Option(min=1, max=8, help="Files fetched at the same time.")] = 4,
    mirror: Annotated[
        str | None,
        typer.Option(help="Another server, laid out as the publisher's.", metavar="URL", show_default=False),
    ] = None,
    keep_archives: Annotated[
        bool,
        typer.Option("--keep-archives/--no-keep-archives", help="Keep zip and tar files once unpacked."),
    ] = False,
    reread: Annotated[
        bool, typer.Option("--reread", help="Compare the checksum of every file at hand, even if it is unchanged.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be fetched, and stop.")] = False,
    retry_wait: Annotated[
        float, typer.Option(min=0, help="Seconds before a failed request is tried again; doubled each time.")
    ] = 1.0,
) -> None:
    """Download a collection, verify every file, and unpack it.

    Stopped or killed, the same command goes on where it was. What is whole is not fetched again.

    Examples:
      ecoscale datasets download ptbxl ptb-xl --dry-run
      ecoscale datasets download code15 CODE-15 --only exams.csv --only 'exams_part0.*'
      ecoscale datasets download ptbxl ptb-xl --mirror https://physionet-open.s3.amazonaws.com
    """
    import logging

    from rich.filesize import decimal

    from ecoscale.cli._output import FAILED, console_on, tracked
    from ecoscale.datasets import named_collection
    from ecoscale.datasets.download import download as fetch
    from ecoscale.datasets.download import plan_download
    from ecoscale.errors import DatasetError

    cls = named_collection(name)
    if cls.archive is None:
        raise DatasetError(
            f"{cls.title} cannot be downloaded without asking: see {cls.source}, and ecoscale datasets describe {name}"
        )
    logging.getLogger("urllib3").setLevel(logging.ERROR)  # what passes is tried again; what does not, is said below
    console, remarks = console_on(sys.stdout), console_on(sys.stderr)
    remarks.print(f"{cls.title}\nLicence: {cls.licence}\nCite: {cls.source}", markup=False)
    plan = plan_download(
        cls.archive,
        directory,
        only=only or (),
        base_url=mirror,
        connections=connections,
        keep_archives=keep_archives,
        reread=reread,
        backoff=retry_wait,
        progress=tracked,
    )
    if dry_run:
        about = "about " if plan.estimated else ""
        console.print(
            f"files     {len(plan.files):,}, of which {len(plan.files) - len(plan.to_do):,} are whole in {directory}\n"
            f"to fetch  {about}{decimal(plan.to_come)} in {len(plan.to_fetch):,} files\n"
            f"room      {about}{decimal(plan.needed)} needed, {decimal(plan.free)} free",
            markup=False,
        )
        plan.check_room()
        return
    try:
        with _progress(plan) as (received, finished):
            report = fetch(plan, received=received, finished=finished)
    except KeyboardInterrupt:
        remarks.print("stopped; what has come is kept, and the same command goes on from there")
        raise typer.Exit(STOPPED) from None
    for failure in report.failures:
        remarks.print(f"failed: {failure.reason}", markup=False)
    console.print(
        f"{report.n_files:,} of {len(plan.files):,} files verified in {directory}: {report.n_before:,} were there, "
        f"{decimal(report.n_bytes)} came in {report.seconds:,.1f} s",
        markup=False,
    )
    if report.failures:
        remarks.print(f"{len(report.failures):,} failed; the same command tries again")
        raise typer.Exit(FAILED)


@contextmanager
def _progress(plan: Plan) -> Iterator[tuple[Callable[[int], object], Callable[[int], object]]]:
    """Where standard error is a terminal, a bar over bytes; two functions that move it by bytes and by files."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    columns = (
        TextColumn("{task.fields[n_files]:,}/{task.fields[of]:,} files"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(elapsed_when_finished=True),
    )
    bar = Progress(*columns, console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty())
    with bar:
        task = bar.add_task("downloading", total=plan.to_come, n_files=0, of=len(plan.to_do))

        def finished(n_files: int) -> None:
            bar.update(task, n_files=bar.tasks[0].fields["n_files"] + n_files)

        yield lambda n_bytes: bar.advance(task, n_bytes), finished
