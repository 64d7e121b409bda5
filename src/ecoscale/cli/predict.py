"""`ecoscale predict`: what ECGs show."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ecoscale.cli._archive import Archive, Engine, Loading, classify_archive
from ecoscale.cli._output import (
    FAILED,
    Dialect_file,
    Format,
    Lead_names,
    Measure,
    Precision,
    Prevalence,
    Rate,
    Unit,
    counted_ahead,
    numbers,
    prevalences,
    progress_shown,
    stated,
    tables_wanted,
    tracked,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ecoscale.inference import Classifier
    from ecoscale.reading import Readable
    from ecoscale.results import ResultsFile

ARCHIVE = "An archive (docs/cluster.md)"

INTERRUPTED = 130
"""Exit status after Ctrl-C, as of every command that it ends."""


LONGEST_SECONDS = 3600.0
"""Longer recordings are refused: a day in memory may be more than there is, and the end of the whole run."""


def predict(
    paths: Annotated[
        list[str],
        typer.Argument(
            help="Files, folders, patterns ('**/*.hea') or prepared stores.", metavar="PATH", show_default=False
        ),
    ],
    format: Annotated[  # noqa: A002 - the option's name
        Format | None,
        typer.Option(
            "--format",
            "-f",
            help="table, json (one object a line), csv, or parquet (a file).",
            show_default="as the suffix of --output says, else table",
        ),
    ] = None,
    bundle: Annotated[
        str | None, typer.Option(help="A bundle's folder or name.", show_default="the bundle in the package")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", dir_okay=False, help="Write to this file.", show_default="standard output"),
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option(dir_okay=False, help="Also draw every ECG in a report, .html or .pdf.", show_default=False),
    ] = None,
    threshold: Annotated[
        list[str] | None,
        typer.Option(help="Use another threshold for a finding, as NAME=VALUE; repeatable.", show_default=False),
    ] = None,
    prevalence: Prevalence = None,
    measure: Measure = False,
    rate: Rate = None,
    unit: Unit = None,
    leads: Lead_names = None,
    dialect: Dialect_file = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Recordings classified at once.")] = 32,
    precision: Precision = None,
    threads: Annotated[
        int | None, typer.Option(min=1, help="Processor threads of the network.", show_default="all")
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(min=0, help="Threads that read and prepare meanwhile; 0: none.", show_default="one"),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with --output or --out where a run stopped.")] = False,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="With --resume: try again what could not be classified.")
    ] = False,
    out: Annotated[
        str | None,
        typer.Option(
            help="Write an archive's results in parts into this folder.", show_default=False, rich_help_panel=ARCHIVE
        ),
    ] = None,
    engine: Annotated[
        Engine,
        typer.Option(help="With --out: this process, or Ray's; needs ecoscale\\[ray].", rich_help_panel=ARCHIVE),
    ] = Engine.LOCAL,
    address: Annotated[
        str | None,
        typer.Option(
            help="A Ray cluster: HOST:PORT, or auto.",
            show_default="RAY_ADDRESS, else one on this machine",
            rich_help_panel=ARCHIVE,
        ),
    ] = None,
    actors: Annotated[
        str | None,
        typer.Option(
            help="Ray's processes that classify, --threads each: 4, or from and to as 2:16.",
            show_default="all processors",
            rich_help_panel=ARCHIVE,
        ),
    ] = None,
    part_size: Annotated[
        int, typer.Option(min=1, help="Recordings of one part, which is one file.", rich_help_panel=ARCHIVE)
    ] = 1024,
) -> None:
    """Classify ECGs: WFDB, DICOM, HL7 aECG, MUSE and Philips XML, FHIR and others (docs/formats.md).

    .npy and tables (CSV, TSV) need --rate, --unit and --leads, or tables a --dialect.

    A file that cannot be read becomes a line with an error, the others go on, and the exit status is 1.
    Results are written as they come; the same command with --resume goes on after any interruption.
    With --prevalence, probabilities and thresholds are corrected for how common findings are among these records;
    'estimate' reads everything twice, and needs 100 of them.
    With --measure, heart rate, intervals and axis stand beside the findings, and where the two disagree.

    Examples:
      ecoscale predict record.hea
      ecoscale predict ptb-xl/records500 --output findings.jsonl
      ecoscale predict ptb-xl/records500 --output findings.parquet --resume
      ecoscale predict '**/*.dcm' --report findings.html
      ecoscale predict record.hea --measure --report record.pdf
      ecoscale predict ecg.csv --rate 500 --unit uV
      ecoscale predict exports --dialect dialect.yaml
      ecoscale predict records --threshold SB=0.03 --threshold AF=0.3
      ecoscale predict screening --prevalence AF=0.02 --prevalence ST=0.005
      ecoscale predict mimic-iv-ecg --out findings --engine ray --resume
    """
    import sys
    from functools import partial

    from ecoscale.cli._results import write_results
    from ecoscale.inference import Classifier
    from ecoscale.results import earlier_run, measured_too
    from ecoscale.sources import fetched, find_records, holds_prepared
    from ecoscale.wording import reliability

    form = _format(format, output)
    archive = None
    if out is not None:
        archive = Archive(out, engine, address, actors, part_size, resume, retry_failed)
    _check(form, output, report, archive is not None, resume=resume, retry_failed=retry_failed)
    _check_archive(archive, engine, format, output, report, batch_size, part_size, prevalence)
    if (measure or report is not None) and holds_prepared(paths):
        raise typer.BadParameter(
            "a prepared store holds signals that are filtered and cut; name the recordings that it was made from",
            param_hint="--measure" if measure else "--report",
        )
    options = stated(rate, unit, leads, dialect)
    thresholds = numbers(threshold or [], "--threshold", "NAME=VALUE")
    shares, estimate = prevalences(prevalence)
    earlier = earlier_run(output) if resume and output is not None else None
    # What was estimated stays as it was: the recordings that are left are not those that it was estimated from.
    known = estimate and earlier is not None and earlier["prevalence_estimated"]
    if earlier is not None and known:
        shares = earlier["prevalence"] | shares

    if measure:
        from ecoscale.measurements import load_neurokit

        load_neurokit()  # without it nothing is begun
    load = partial(Classifier.load, bundle, threads=threads, precision=None if precision is None else precision.value)
    classifier = load(thresholds=thresholds, prevalence=shares)
    for asked, what in ((measure, "--measure"), (report is not None, "--report")):
        if asked:
            classifier.bundle.require_ecg(what)
    reading = options | {"fewer_leads": classifier.preparation.fewer_leads, "longest": LONGEST_SECONDS}

    def recordings() -> Iterator[Readable]:
        return find_records(paths, classifier.preparation, reading, tables=tables_wanted(options))

    if estimate and not known:
        found = load().classify(fetched(recordings()), batch_size, workers)
        shares = _estimate(classifier, found) | shares
        classifier = load(thresholds=thresholds, prevalence=shares)
    for correction in classifier.corrections.values():
        typer.echo(str(correction), err=True)

    stated_too = {"options": _as_json(options), "folder": _folder(paths), "measured": measure}
    if archive is not None:
        from ecoscale.cluster.part import Reading

        classify_archive(
            archive,
            recordings(),
            classifier,
            Loading(threads, thresholds, shares, None if precision is None else precision.value),
            Reading(reading, batch_size, workers, measure),
            stated_too | {"sources": paths},
        )
        return
    file = None
    if output is not None and form is not Format.TABLE and (output.is_file() or not output.exists()):
        file = _results_file(classifier, form, output, stated_too, estimate, resume, retry_failed, batch_size)
    # Results that appear in the terminal are their own progress.
    show = (output is not None or not sys.stdout.isatty()) and progress_shown()
    todo = recordings() if file is None else (each for each in recordings() if not file.is_done(each))
    waiting, total = counted_ahead(todo) if show else (todo, None)
    counted = tracked(classifier.classify(fetched(waiting), batch_size, workers), "classifying", total, show=show)
    names = [label.name for label in classifier.labels]
    told = {} if report is None else reliability(classifier)
    try:
        results = measured_too(counted) if measure else counted
        outcome = write_results(results, form, file or output, report, names, measured=measure, reliability=told)
    except KeyboardInterrupt:
        if file is None:
            raise
        typer.echo(
            f"interrupted: {output} has {file.n_done + file.n_written:,} recordings; the same command with --resume "
            "goes on",
            err=True,
        )
        raise typer.Exit(INTERRUPTED) from None
    n_before, n_failed = (file.n_done, file.n_failed + outcome.failed) if file else (0, outcome.failed)
    if n_before:
        typer.echo(f"{n_before:,} recordings were done before, {outcome.recordings:,} now", err=True)
    if not outcome.recordings and not n_before:
        typer.echo(f"no recordings found in {', '.join(paths)}", err=True)
        raise typer.Exit(FAILED)
    if report is not None:
        typer.echo(f"report: {report}", err=True)
    if n_failed:
        typer.echo(f"{n_failed:,} of {n_before + outcome.recordings:,} recordings could not be classified", err=True)
        raise typer.Exit(FAILED)


def _format(chosen: Format | None, output: Path | None) -> Format:
    """The format chosen, or that of the output's suffix."""
    if chosen is not None:
        return chosen
    suffixes = {".json": Format.JSON, ".jsonl": Format.JSON, ".csv": Format.CSV, ".parquet": Format.PARQUET}
    return suffixes.get(output.suffix.lower(), Format.TABLE) if output is not None else Format.TABLE


def _check(
    form: Format, output: Path | None, report: Path | None, is_archive: bool, *, resume: bool, retry_failed: bool
) -> None:
    """Refuse options that contradict each other."""
    if form is Format.PARQUET and not is_archive and (output is None or (output.exists() and not output.is_file())):
        raise typer.BadParameter("parquet is written to a file; give --output too", param_hint="--format")
    if retry_failed and not resume:
        raise typer.BadParameter("of which run? give --resume too", param_hint="--retry-failed")
    if resume and not is_archive and (output is None or form is Format.TABLE):
        raise typer.BadParameter("what? give --output with a name in .jsonl, .csv or .parquet", param_hint="--resume")
    if resume and report is not None and not is_archive:
        raise typer.BadParameter(
            "a report draws every ECG of one run, and a resumed run reads only those that are left; make it by a run "
            "without --resume",
            param_hint="--report",
        )


def _check_archive(
    archive: Archive | None,
    engine: Engine,
    form: Format | None,
    output: Path | None,
    report: Path | None,
    batch_size: int,
    part_size: int,
    prevalence: list[str] | None,
) -> None:
    """Refuse what an archive cannot have, and what only it can."""
    if archive is None:
        if engine is not Engine.LOCAL:
            raise typer.BadParameter("it writes an archive's results in parts; give --out DIR", param_hint="--engine")
        return
    for name, given in (("--output", output), ("--report", report)):
        if given is not None:
            raise typer.BadParameter("with --out, results are the files in that folder", param_hint=name)
    if form not in (None, Format.PARQUET):
        raise typer.BadParameter("an archive's results are written as parquet", param_hint="--format")
    if "estimate" in (prevalence or []):
        raise typer.BadParameter(
            "of an archive the estimate would read everything twice; estimate on a sample of it, and state the shares",
            param_hint="--prevalence",
        )
    if part_size % batch_size:
        raise typer.BadParameter(
            f"{part_size} is no multiple of --batch-size {batch_size}, so that batches would not be those of a run "
            f"without parts; take {max(1, part_size // batch_size) * batch_size}",
            param_hint="--part-size",
        )
    for name, given in (("--address", archive.address), ("--actors", archive.actors)):
        if given is not None and engine is Engine.LOCAL:
            raise typer.BadParameter("it is of Ray; give --engine ray too", param_hint=name)


def _results_file(
    classifier: Classifier,
    form: Format,
    output: Path,
    stated_too: dict[str, Any],
    estimated: bool,
    resume: bool,
    retry_failed: bool,
    batch_size: int,
) -> ResultsFile:
    from ecoscale.results import ResultsFile, run_settings

    settings = run_settings(classifier, form.value, estimated=estimated, **stated_too)  # pyright: ignore[reportArgumentType]
    if resume:
        return ResultsFile.resume(output, settings, batch_size, retry_failed=retry_failed)
    return ResultsFile.begin(output, settings)


def _as_json(options: dict[str, Any]) -> dict[str, Any]:
    """What was stated, as it is compared when a run is gone on with."""
    dialect = options.get("dialect")
    return options if dialect is None else options | {"dialect": dialect.model_dump(mode="json", exclude_defaults=True)}


def _folder(paths: list[str]) -> str | None:
    """From where the paths are to be understood; None where that does not matter."""
    from ecoscale.storage import is_url

    return None if all(is_url(path) or Path(path).is_absolute() for path in paths) else str(Path.cwd())


def _estimate(classifier: Classifier, results: Iterable) -> dict[str, float]:
    """How common each finding is among the recordings that can be read, from their uncorrected probabilities."""
    from ecoscale.inference import Failure
    from ecoscale.prevalence import estimate_prevalences

    found = [
        [finding.probability for finding in result[1].findings.values()]
        for result in tracked(results, "estimating prevalences")
        if not isinstance(result, Failure)
    ]
    return estimate_prevalences(classifier.bundle, found)
