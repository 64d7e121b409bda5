"""`ecoscale predict`: what ECGs show."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path  # noqa: TC003 - typer reads it at run time
from typing import TYPE_CHECKING, Annotated

import typer

from ecoscale.cli._output import FAILED, Lead_names, Rate, Unit, open_output, stated, tracked

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ecoscale.ecg import ECG
    from ecoscale.inference import Failure, Prediction


class Format(StrEnum):
    """How results are written."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"


def predict(
    paths: Annotated[list[str], typer.Argument(help="Files, folders or patterns ('**/*.hea').", show_default=False)],
    format: Annotated[  # noqa: A002 - the option's name
        Format, typer.Option("--format", "-f", help="table, json (one object a line) or csv.")
    ] = Format.TABLE,
    bundle: Annotated[
        str | None, typer.Option(help="A bundle's folder or name.", show_default="the bundle in the package")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write to this file.", show_default="standard output")
    ] = None,
    report: Annotated[
        Path | None, typer.Option(help="Also write an HTML report with every ECG drawn.", show_default=False)
    ] = None,
    rate: Rate = None,
    unit: Unit = None,
    leads: Lead_names = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Recordings classified at once.")] = 32,
    threads: Annotated[int | None, typer.Option(min=1, help="Processor threads.", show_default="all")] = None,
) -> None:
    """Classify ECGs: WFDB, DICOM, CODE HDF5; .npy and CSV with --rate, --unit and --leads.

    A file that cannot be read becomes a line with an error, the others go on, and the exit status is 1.

    Examples:

      ecoscale predict record.hea

      ecoscale predict ptb-xl/records500 --format json --output findings.jsonl

      ecoscale predict '**/*.dcm' --report findings.html

      ecoscale predict ecg.csv --rate 500 --unit uV
    """
    from ecoscale.formats import find_recordings
    from ecoscale.inference import Classifier

    options = stated(rate, unit, leads)
    recordings = find_recordings(paths, tables={"rate", "unit"} <= options.keys())
    classifier = Classifier.load(bundle, threads=threads)
    results = classifier.classify((_Stated(recording, options) for recording in recordings), batch_size)
    shown = tracked(results, "classifying", show=format is Format.TABLE or output is not None)
    failed = write_results(shown, format, output, report, [label.name for label in classifier.labels])
    if report is not None:
        typer.echo(f"report: {report}", err=True)
    if failed:
        typer.echo(f"{failed} of the recordings could not be classified", err=True)
        raise typer.Exit(FAILED)


def write_results(
    results: Iterable[tuple[ECG, Prediction] | Failure],
    format: Format,  # noqa: A002 - the option's name
    output: Path | None,
    report: Path | None,
    names: list[str],
) -> int:
    """Write results as they come, and the HTML report of them; how many were failures."""
    from ecoscale.inference import Failure

    failures: list[tuple[str, str]] = []

    def classified(stream) -> Iterator[tuple[ECG, Prediction]]:
        write = {Format.TABLE: _write_table, Format.JSON: _write_json, Format.CSV: _write_csv}[format]
        for result in write(results, stream, names):
            if isinstance(result, Failure):
                failures.append((f"{result.source} {result.record}".strip(), result.error))
            else:
                yield result

    with open_output(output) as stream:
        if report is None:
            for _ in classified(stream):
                pass
        else:
            from ecoscale.report import write_report

            write_report(classified(stream), report, failures=failures)
    return len(failures)


class _Stated:
    """A recording with what the user states about files that do not say it themselves."""

    def __init__(self, recording, options: dict[str, object]) -> None:
        self.path, self.record = recording.path, recording.record
        self._recording, self._options = recording, options

    def read(self) -> ECG:
        return self._recording.read(**self._options)


def _write_json(results: Iterable, stream, _names: list[str]) -> Iterator:
    import json

    from ecoscale.inference import Failure

    for result in results:
        about = result if isinstance(result, Failure) else result[1]
        stream.write(json.dumps(about.to_dict(), ensure_ascii=False) + "\n")
        stream.flush()
        yield result


def _write_csv(results: Iterable, stream, names: list[str]) -> Iterator:
    import csv

    from ecoscale.inference import Failure

    columns = ["source", "record", *(f"{name}_{what}" for name in names for what in ("probability", "present"))]
    writer = csv.DictWriter(stream, [*columns, "warnings", "error", "bundle"], restval="")
    writer.writeheader()
    for result in results:
        if isinstance(result, Failure):
            writer.writerow(result.to_dict())
        else:
            prediction = result[1]
            row = {"source": prediction.source, "record": prediction.record, "bundle": prediction.bundle}
            for name, finding in prediction.findings.items():
                row[f"{name}_probability"] = f"{finding.probability:.6f}"
                row[f"{name}_present"] = str(int(finding.present))
            writer.writerow(row | {"warnings": " | ".join(prediction.warnings)})
        yield result


def _write_table(results: Iterable, stream, names: list[str]) -> Iterator:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from ecoscale.findings import DISCLAIMER
    from ecoscale.inference import Failure

    table = Table("recording", *names, "shows", box=None, header_style="bold", pad_edge=False)
    remarks: list[tuple[str, str]] = []
    bundle = ""
    for result in results:
        if isinstance(result, Failure):
            name = result.record or result.source
            table.add_row(name, *("-" for _ in names), Text("not classified", "red"))
            remarks.append((name, f"error: {result.error}"))
        else:
            prediction = result[1]
            name, bundle = prediction.record or prediction.source, prediction.bundle
            cells = [
                Text(f"{finding.probability:.3f}", "bold" if finding.present else "dim")
                for finding in prediction.findings.values()
            ]
            table.add_row(name, *cells, ", ".join(prediction.present) or Text("none of these", "dim"))
            remarks.extend((name, warning) for warning in prediction.warnings)
        yield result
    console = Console(file=stream, highlight=False)
    console.print(table)
    for name, remark in remarks:
        console.print(Text(f"{name}: {remark}"), soft_wrap=True)
    console.print(
        Text(f"\nprobabilities by {bundle or 'no bundle'}; bold: at or above the threshold. {DISCLAIMER}", "dim")
    )
