"""`ecoscale predict`: what ECGs show."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - typer reads it at run time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ecoscale.cli._output import (
    FAILED,
    Format,
    Lead_names,
    Prevalence,
    Rate,
    Unit,
    numbers,
    prevalences,
    stated,
    tracked,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ecoscale.ecg import ECG
    from ecoscale.formats import Recording
    from ecoscale.inference import Classifier


def predict(
    paths: Annotated[
        list[str],
        typer.Argument(help="Files, folders or patterns ('**/*.hea').", metavar="PATH", show_default=False),
    ],
    format: Annotated[  # noqa: A002 - the option's name
        Format, typer.Option("--format", "-f", help="table, json (one object a line) or csv.")
    ] = Format.TABLE,
    bundle: Annotated[
        str | None, typer.Option(help="A bundle's folder or name.", show_default="the bundle in the package")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", dir_okay=False, help="Write to this file.", show_default="standard output"),
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option(dir_okay=False, help="Also write an HTML report with every ECG drawn.", show_default=False),
    ] = None,
    threshold: Annotated[
        list[str] | None,
        typer.Option(help="Use another threshold for a finding, as NAME=VALUE; repeatable.", show_default=False),
    ] = None,
    prevalence: Prevalence = None,
    rate: Rate = None,
    unit: Unit = None,
    leads: Lead_names = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Recordings classified at once.")] = 32,
    threads: Annotated[int | None, typer.Option(min=1, help="Processor threads.", show_default="all")] = None,
) -> None:
    """Classify ECGs: WFDB, DICOM, CODE and SPH HDF5; .npy and CSV with --rate, --unit and --leads.

    A file that cannot be read becomes a line with an error, the others go on, and the exit status is 1.
    With --prevalence, probabilities and thresholds are corrected for how common findings are among these records;
    'estimate' reads everything twice, and needs 100 of them.

    Examples:
      ecoscale predict record.hea
      ecoscale predict ptb-xl/records500 --format json --output findings.jsonl
      ecoscale predict '**/*.dcm' --report findings.html
      ecoscale predict ecg.csv --rate 500 --unit uV
      ecoscale predict records --threshold SB=0.03 --threshold AF=0.3
      ecoscale predict screening --prevalence AF=0.02 --prevalence ST=0.005
    """
    import sys

    from ecoscale.cli._results import write_results
    from ecoscale.ecg import LEADS
    from ecoscale.formats import find_recordings
    from ecoscale.inference import Classifier

    options = stated(rate, unit, leads)
    thresholds = numbers(threshold or [], "--threshold", "NAME=VALUE")
    shares, estimate = prevalences(prevalence)

    def recordings() -> Iterable[_Stated]:
        for recording in find_recordings(paths, tables={"rate", "unit"} <= options.keys()):
            yield _Stated(recording, options)

    classifier = Classifier.load(bundle, threads=threads, thresholds=thresholds, prevalence=shares)
    # A bundle for a watch reads what a watch writes.
    options["fewer_leads"] = set(classifier.preparation.leads) != set(LEADS)
    if estimate:
        shares = _estimate(Classifier.load(bundle, threads=threads), recordings(), batch_size) | shares
        classifier = Classifier.load(bundle, threads=threads, thresholds=thresholds, prevalence=shares)
    for correction in classifier.corrections.values():
        typer.echo(str(correction), err=True)
    results = classifier.classify(recordings(), batch_size)
    # Results that appear in the terminal are their own progress.
    counted = tracked(results, "classifying", show=output is not None or not sys.stdout.isatty())
    outcome = write_results(counted, format, output, report, [label.name for label in classifier.labels])
    if not outcome.recordings:
        typer.echo(f"no recordings found in {', '.join(paths)}", err=True)
        raise typer.Exit(FAILED)
    if report is not None:
        typer.echo(f"report: {report}", err=True)
    if outcome.failed:
        typer.echo(f"{outcome.failed:,} of {outcome.recordings:,} recordings could not be classified", err=True)
        raise typer.Exit(FAILED)


def _estimate(classifier: Classifier, recordings: Iterable[_Stated], batch_size: int) -> dict[str, float]:
    """How common each finding is among the recordings that can be read, from their probabilities."""
    from ecoscale.inference import Failure
    from ecoscale.prevalence import estimate_prevalences

    results = tracked(classifier.classify(recordings, batch_size), "estimating prevalences")
    found = [
        [finding.probability for finding in result[1].findings.values()]
        for result in results
        if not isinstance(result, Failure)
    ]
    return estimate_prevalences(classifier.bundle, found)


class _Stated:
    """A recording with what the user states about files that do not say it themselves."""

    def __init__(self, recording: Recording, options: dict[str, Any]) -> None:
        self.path, self.record = recording.path, recording.record
        self._recording, self._options = recording, options

    def read(self) -> ECG:
        return self._recording.read(**self._options)
