"""`ecoscale watch`: classify what arrives in a folder."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path  # noqa: TC003 - typer reads it at run time
from typing import Annotated, Any

import typer

from ecoscale.cli._output import (
    FAILED,
    Dialect_file,
    Lead_names,
    Precision,
    Prevalence,
    Rate,
    Unit,
    numbers,
    prevalences,
    stated,
)
from ecoscale.cli.predict import INTERRUPTED, LONGEST_SECONDS


class Report(StrEnum):
    """What is written of each file beside JSON."""

    HTML = "html"
    PDF = "pdf"
    NONE = "none"


class Lines(StrEnum):
    """How the log is written."""

    TEXT = "text"
    JSON = "json"


def watch(
    inbox: Annotated[
        Path, typer.Argument(help="The folder in which ECGs arrive.", metavar="INBOX", show_default=False)
    ],
    outbox: Annotated[
        Path,
        typer.Argument(
            help="Where results, done and quarantined files go; made if missing.", metavar="OUTBOX", show_default=False
        ),
    ],
    report: Annotated[Report, typer.Option(help="What is written of each file, beside JSON.")] = Report.HTML,
    settle: Annotated[float, typer.Option(min=0, help="Seconds that a file has not changed before it is read.")] = 2.0,
    patience: Annotated[
        float, typer.Option(min=0, help="Seconds that one which cannot be read has not changed before it is given up.")
    ] = 30.0,
    poll: Annotated[
        float | None,
        typer.Option(
            min=0.1,
            help="Look every so many seconds, as for a network drive.",
            show_default="the system tells of changes",
        ),
    ] = None,
    once: Annotated[bool, typer.Option("--once", help="Do what is there, and end.")] = False,
    keep: Annotated[bool, typer.Option("--keep", help="Leave files in the inbox, not move them to OUTBOX.")] = False,
    log_format: Annotated[Lines, typer.Option(help="A line for each file, on standard error.")] = Lines.TEXT,
    bundle: Annotated[
        str | None, typer.Option(help="A bundle's folder or name.", show_default="the bundle in the package")
    ] = None,
    threshold: Annotated[
        list[str] | None,
        typer.Option(help="Use another threshold for a finding, as NAME=VALUE; repeatable.", show_default=False),
    ] = None,
    prevalence: Prevalence = None,
    rate: Rate = None,
    unit: Unit = None,
    leads: Lead_names = None,
    dialect: Dialect_file = None,
    precision: Precision = None,
    threads: Annotated[
        int | None, typer.Option(min=1, help="Processor threads of the network.", show_default="all")
    ] = None,
) -> None:
    """Classify each ECG that arrives in INBOX once: report and JSON go to OUTBOX, then the file itself.

    OUTBOX/results has the reports, done the files that were classified, and quarantine those that cannot be
    read, each with the reason. A file is read when it has ceased to change. A crash loses and repeats nothing:
    start it again. SIGTERM and Ctrl-C end it after the file at hand.

    Examples:
      ecoscale watch /srv/ecg/inbox /srv/ecg/outbox
      ecoscale watch inbox outbox --report pdf --poll 10
      ecoscale watch inbox outbox --once --keep
    """
    import signal
    from types import FrameType  # noqa: TC003

    from ecoscale.inference import Classifier
    from ecoscale.watching import Watcher, WatchOptions
    from ecoscale.watching.log import Log

    thresholds = numbers(threshold or [], "--threshold", "NAME=VALUE")
    shares, estimate = prevalences(prevalence)
    if estimate:
        raise typer.BadParameter("of what is yet to arrive? state it", param_hint="--prevalence")
    if report is Report.PDF:
        from ecoscale.report_pdf import report_pdf  # noqa: F401
    classifier = Classifier.load(
        bundle,
        threads=threads,
        thresholds=thresholds,
        prevalence=shares,
        precision=None if precision is None else precision.value,
    )
    classifier.bundle.require_ecg("ecoscale watch")
    reading = stated(rate, unit, leads, dialect)
    reading |= {"fewer_leads": classifier.preparation.fewer_leads, "longest": LONGEST_SECONDS}
    options = WatchOptions(report.value, settle, patience, poll, once, keep, reading)
    watcher = Watcher(inbox, outbox, classifier, options, Log(log_format.value))
    interrupted = False

    def stop(number: int, _: FrameType | None) -> None:
        nonlocal interrupted
        interrupted = number == signal.SIGINT
        watcher.stop()
        signal.signal(number, before[number])  # who is in a hurry sends it again

    before: dict[int, Any] = {int(each): signal.signal(each, stop) for each in (signal.SIGTERM, signal.SIGINT)}
    try:
        watcher.run()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if interrupted:
        raise typer.Exit(INTERRUPTED)
    if once and watcher.n_quarantined:
        raise typer.Exit(FAILED)
