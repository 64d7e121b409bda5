"""Results of classification as they come: a table, or what `ecoscale.results` writes, and the HTML report."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, cast

from ecoscale.cli._output import Format, console_on, open_output
from ecoscale.inference import Failure
from ecoscale.result_rows import CSVRows, JSONLines
from ecoscale.results import ResultsFile
from ecoscale.wording import measured_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from rich.console import Console
    from rich.text import Text

    from ecoscale.ecg import ECG
    from ecoscale.inference import Prediction
    from ecoscale.result_rows import Result

ROWS_AT_ONCE = 32
"""Rows of the table that are printed together: a long one appears as it grows."""

REMARKS_SHOWN = 10
"""Errors, and warnings of each kind, that are printed below a table."""


MOST_COLUMNS = 12
"""Findings up to which the table has a column for each; of more, a row says those that it shows."""


@dataclass(frozen=True)
class Outcome:
    """How many recordings there were, and how many of them were not classified."""

    recordings: int
    failed: int


def write_results(
    results: Iterable[Result],
    format: Format,  # noqa: A002 - the option's name
    output: ResultsFile | Path | None,
    report: Path | None,
    names: list[str],
    *,
    measured: bool = False,
    reliability: Mapping[str, str] | None = None,
) -> Outcome:
    """Write results as they come, and the report of them, HTML or PDF as its suffix says.

    `names` are the findings that the bundle knows, `measured` says that results carry measurements, `reliability` what
    the PDF says of each finding; a report is of ECGs (`Bundle.require_ecg`). Into a `ResultsFile` they are written in
    its own format.
    """
    failures: list[tuple[str, str]] = []
    n_recordings = 0

    def classified(stream: IO[str]) -> Iterator[tuple[ECG, Prediction]]:
        nonlocal n_recordings
        if isinstance(output, ResultsFile):
            written = output.written(results)
        elif format is Format.TABLE:
            written = _write_table(results, stream, names)
        else:
            form = CSVRows if format is Format.CSV else JSONLines
            written = _write_lines(results, stream, form(names, measured=measured))
        for n_recordings, result in enumerate(written, start=1):  # noqa: B007
            if isinstance(result, Failure):
                failures.append((f"{result.source} {result.record}".strip(), result.error))
            else:
                yield cast("tuple[ECG, Prediction]", result)

    with open_output(None if isinstance(output, ResultsFile) else output) as stream:
        if report is None:
            for _ in classified(stream):
                pass
        elif report.suffix.lower() == ".pdf":
            from ecoscale.report_pdf import write_report_pdf

            write_report_pdf(classified(stream), report, reliability=reliability or {}, failures=failures)
        else:
            from ecoscale.report import write_report

            write_report(classified(stream), report, failures=failures)
    return Outcome(n_recordings, len(failures))


def _write_lines(results: Iterable[Result], stream: IO[str], form: JSONLines) -> Iterator[Result]:
    stream.write(form.header)
    for result in results:
        stream.write(form.line(result))
        stream.flush()
        yield result


def _write_table(results: Iterable[Result], stream: IO[str], names: list[str]) -> Iterator[Result]:
    from rich.text import Text

    console = console_on(stream)
    columns = names if len(names) <= MOST_COLUMNS else []
    table = _Table(console, columns)
    remarks: defaultdict[str, list[str]] = defaultdict(list)
    counts: Counter[str] = Counter()
    bundle, disclaimer, single_label, n_recordings = "", "", False, 0
    for n_recordings, result in enumerate(results, start=1):  # noqa: B007
        if isinstance(result, Failure):
            table.add(_name(result), [Text("-") for _ in columns], Text("not classified", "red"))
            counts["not classified"] += 1
            remarks["error"].append(result.error)
        else:
            prediction = result[1]
            bundle, disclaimer = prediction.bundle, prediction.disclaimer
            single_label = prediction.single_label
            findings = prediction.findings
            cells = [
                Text(f"{findings[name].probability:.3f}", "bold" if findings[name].present else "dim")
                for name in columns
            ]
            present = prediction.present
            if single_label or not columns:
                present = tuple(f"{findings[name].title} {findings[name].probability:.3f}" for name in present)
            shown = Text(", ".join(present)) if present else Text("none of these", "dim")
            table.add(_name(prediction), cells, shown)
            counts.update(prediction.present or ["none of these"])
            for warning in prediction.warnings:
                remarks[warning.partition(":")[0]].append(f"{_name(prediction)}: {warning}")
            if prediction.measurements is not None:
                remarks["measured"].append(f"{_name(prediction)}: {measured_line(prediction.measurements)}")
                remarks["disagreement"] += [f"{_name(prediction)}: {said}" for said in prediction.disagreements]
        yield result
    table.print()
    for said in remarks.values():
        for remark in said[:REMARKS_SHOWN]:
            console.print(Text(remark), soft_wrap=True)
        if len(said) > REMARKS_SHOWN:
            more = len(said) - REMARKS_SHOWN
            console.print(f"... and {more:,} more such; --format json or csv has all of them", style="dim")
    if n_recordings > ROWS_AT_ONCE:
        listed = [f"{name} in {counts[name]:,}" for name in (*names, "none of these") if counts[name]]
        if counts["not classified"]:
            listed.append(f"{counts['not classified']:,} not classified")
        console.print(Text(f"\n{n_recordings:,} recordings: {', '.join(listed)}"))
    if bundle:
        which = "those" if columns else f"those of its {len(names)} findings that are"
        shows = f"the most probable of {len(names)} classes" if single_label else f"{which} at or above their threshold"
        console.print(Text(f"\nProbabilities by {bundle}; shown: {shows}.", "dim"))
        console.print(Text(disclaimer, "dim"))


def _name(result: Prediction | Failure) -> str:
    return result.record or result.source


class _Table:
    """A table that is printed in blocks of rows, under one heading."""

    def __init__(self, console: Console, names: list[str]) -> None:
        self._console = console
        self._headings = [name if len(name) >= 5 else f"{name:<5}" for name in names]
        self._rows: list[tuple[str, list[Text], Text]] = []
        self._begun = False
        self._width = len("recording")

    def add(self, name: str, cells: list[Text], shown: Text) -> None:
        """Add a row; print what waits once it fills a block."""
        self._rows.append((name, cells, shown))
        if len(self._rows) == ROWS_AT_ONCE:
            self.print()

    def print(self) -> None:
        """Print the rows that wait, the columns where they were before unless a name needs more room."""
        from rich.cells import cell_len
        from rich.table import Table
        from rich.text import Text

        if not self._rows:
            return
        findings = sum(len(heading) + 2 for heading in self._headings)
        # The names fold at half of what the findings leave, so that what an ECG shows has the other half.
        most = max(len("recording"), (self._console.width - findings) // 2)
        self._width = min(most, max(self._width, *(cell_len(name) for name, _, _ in self._rows)))
        table = Table(box=None, show_header=not self._begun, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
        table.add_column("recording", width=self._width, overflow="fold")
        for heading in self._headings:
            table.add_column(heading, width=len(heading))
        table.add_column("shows", overflow="fold")
        for name, cells, shown in self._rows:
            table.add_row(Text(name), *cells, shown)
        self._console.print(table)
        self._rows.clear()
        self._begun = True
