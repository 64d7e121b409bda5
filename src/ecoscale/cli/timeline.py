"""`ecoscale timeline`: what a long record shows, and when."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - typer reads it at run time
from typing import TYPE_CHECKING, Annotated

import typer

from ecoscale.cli._output import Dialect_file, Lead_names, Precision, Rate, Unit, numbers, stated

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from rich.console import Console

    from ecoscale.excerpts import Window
    from ecoscale.timeline import Timeline

PLOTS = (".png", ".svg", ".pdf")

EPISODES_SHOWN = 30
"""Episodes that are printed; the summary has all of them."""


def timeline(
    path: Annotated[
        Path,
        typer.Argument(
            help="A recording of any length (WFDB of one or many segments, EDF, ISHNE, .npy, ...).",
            metavar="RECORD",
            show_default=False,
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", dir_okay=False, help="Write every window: .csv, .jsonl or .parquet.", show_default=False
        ),
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option(dir_okay=False, help="Draw the timeline: .png, .svg or .pdf.", show_default=False),
    ] = None,
    summary: Annotated[
        Path | None,
        typer.Option(dir_okay=False, help="Write shares and all episodes as JSON.", show_default=False),
    ] = None,
    hop: Annotated[
        float | None, typer.Option(help="Seconds from window to window.", show_default="half a window")
    ] = None,
    longest_gap: Annotated[
        float | None,
        typer.Option(
            "--merge", min=0, help="Episodes with at most so many seconds between are one.", show_default="a window"
        ),
    ] = None,
    shortest: Annotated[float, typer.Option(min=0, help="Leave out shorter episodes, in seconds.")] = 0.0,
    bundle: Annotated[
        str | None, typer.Option(help="A bundle's folder or name.", show_default="the bundle in the package")
    ] = None,
    threshold: Annotated[
        list[str] | None,
        typer.Option(help="Use another threshold for a finding, as NAME=VALUE; repeatable.", show_default=False),
    ] = None,
    rate: Rate = None,
    unit: Unit = None,
    leads: Lead_names = None,
    dialect: Dialect_file = None,
    precision: Precision = None,
    threads: Annotated[int | None, typer.Option(min=1, help="Processor threads.", show_default="all")] = None,
) -> None:
    """Classify a long record, such as a 24 h Holter, window by window: which findings, when and for how long.

    The record is read in pieces, so memory does not grow with its length; another signal than an ECG is read whole.
    Needs a bundle of the record's leads, or channels.

    Examples:
      ecoscale timeline holter.hea --plot timeline.png
      ecoscale timeline holter.hea --output windows.csv --summary episodes.json
      ecoscale timeline holter.hea --shortest 30 --threshold AF=0.6
      ecoscale timeline holter.npy --rate 250 --unit mV --leads II,V1,V5 --bundle holter-bundle
    """
    import sys
    from contextlib import ExitStack

    from ecoscale.cli._output import console_on, open_output
    from ecoscale.formats import Recording
    from ecoscale.formats.long_records import long_signal, open_long_record
    from ecoscale.inference import Classifier
    from ecoscale.reading import to_read
    from ecoscale.timeline import Timeline, classify_windows
    from ecoscale.timeline.output import window_writer, write_summary

    if plot and plot.suffix.lower() not in PLOTS:
        raise typer.BadParameter(f"{plot}: cannot draw to it; use {', '.join(PLOTS)}", param_hint="--plot")
    thresholds = numbers(threshold or [], "--threshold", "NAME=VALUE")
    classifier = Classifier.load(
        bundle, threads=threads, thresholds=thresholds, precision=None if precision is None else precision.value
    )
    known = stated(rate, unit, leads, dialect)
    if classifier.preparation.is_ecg:
        record = open_long_record(path, **known)
    else:
        record = long_signal(to_read(Recording(path, None, known), classifier.preparation).read())
    windows = classify_windows(classifier, record, hop=hop)
    found = Timeline.of(classifier, record, hop=hop, longest_gap=longest_gap, shortest=shortest)
    with ExitStack() as stack:
        write = stack.enter_context(window_writer(output, found)) if output else None
        for window in _in_signal_time(windows, record.duration):
            found.add(window)
            if write:
                write(window)
    if summary:
        with open_output(summary) as stream:
            write_summary(stream, found)
    if plot:
        from ecoscale.timeline.plot import draw_timeline, save_timeline

        save_timeline(draw_timeline(found), plot)
    _print(console_on(sys.stdout), found)


def _in_signal_time(windows: Iterable[Window], duration: float) -> Iterator[Window]:
    """The windows, with a bar that counts hours of signal where standard error is a terminal."""
    import sys

    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    if not sys.stderr.isatty():
        yield from windows
        return
    columns = (
        TextColumn("classifying"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[at]} of " + clock_length(duration)),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True, redirect_stdout=False) as bar:
        task = bar.add_task("", total=duration, at="")
        for window in windows:
            bar.update(task, completed=window.stop, at=clock_length(window.stop))
            yield window


def clock_length(seconds: float) -> str:
    """`h:mm:ss`."""
    whole = round(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}"


def _print(console: Console, found: Timeline) -> None:
    import numpy as np
    from rich.table import Table
    from rich.text import Text

    from ecoscale.findings import DISCLAIMER, SIGNAL_DISCLAIMER

    record = found.record
    began = f", from {record.clock(0)}" if record.start else ""
    console.print(Text(record.record or record.source, "bold"), soft_wrap=True)
    rows = f"{len(record.leads)} {'leads' if record.units is None else 'channels'}"
    console.print(
        f"{clock_length(record.duration)} of {rows} at {record.rate:g} Hz{began}; "
        f"{found.n_windows:,} windows of {found.window:g} s every {found.hop:g} s"
    )
    episodes = {name: found.episodes(name) for name in found.names}
    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading in ("finding", "share of time", "episodes", "longest", "highest"):
        table.add_column(heading, justify="left" if heading == "finding" else "right")
    for name in found.names if len(found.names) <= 12 else [name for name in found.names if episodes[name]]:
        share, own = found.share(name), episodes[name]
        table.add_row(
            name,
            "-" if np.isnan(share) else f"{100 * share:.2f} %",
            f"{len(own):,}",
            clock_length(max(episode.duration for episode in own)) if own else "",
            f"{max(episode.highest for episode in own):.3f}" if own else "",
        )
    console.print(table)
    every = sorted((episode for own in episodes.values() for episode in own), key=lambda episode: episode.start)
    if every:
        longest = sorted(every, key=lambda episode: episode.duration, reverse=True)[:EPISODES_SHOWN]
        table = Table("finding", "from", "to", box=None, header_style="bold", pad_edge=False)
        for heading in ("length", "highest"):
            table.add_column(heading, justify="right")
        for episode in sorted(longest, key=lambda episode: episode.start):
            ends = (record.clock(at) or clock_length(at) for at in (episode.start, episode.stop))
            table.add_row(episode.finding, *ends, clock_length(episode.duration), f"{episode.highest:.3f}")
        console.print()
        console.print(table)
        if len(every) > len(longest):
            console.print(f"the longest {len(longest)} of {len(every):,} episodes; --summary has all", style="dim")
    console.print()
    if unread := int((~found.classified).sum()):
        console.print(f"not classified: {unread:,} of {found.n_windows:,} windows (most of the signal missing or flat)")
    for code, where in found.doubtful.items():
        first = float(found.edges[int(np.argmax(where))])
        at = record.clock(first) or clock_length(first)
        console.print(Text(f"{code}: {int(where.sum()):,} windows, first at {at}"), soft_wrap=True)
    for note in (*record.notes, *record.remarks):
        console.print(Text(note), soft_wrap=True)
    present = "the most probable class" if found.labels[0].threshold is None else "at or above the finding's threshold"
    console.print(Text(f"Probabilities by {found.bundle}; present: {present}.", "dim"))
    console.print(Text(DISCLAIMER if record.units is None else SIGNAL_DISCLAIMER, "dim"))
