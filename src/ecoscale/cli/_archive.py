"""`ecoscale predict --out`: an archive in parts, by this process or by Ray; options checked, outcomes said."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import typer

from ecoscale.cli._output import FAILED, progress_shown, tracked
from ecoscale.errors import EcoscaleError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from ecoscale.cluster.engine import Pool
    from ecoscale.cluster.part import PartOutcome, Reading
    from ecoscale.cluster.run import ArchiveRun, Part
    from ecoscale.inference import Classifier
    from ecoscale.reading import Readable
    from ecoscale.runtime import Precision

IN_A_ROW = 3
"""Parts that cannot be written or fetched, one after the other, after which the run ends: so will the others be."""


class Engine(StrEnum):
    """What classifies."""

    LOCAL = "local"
    RAY = "ray"


@dataclass(frozen=True)
class Archive:
    """How an archive is classified: options of the command."""

    out: str
    engine: Engine
    address: str | None
    actors: str | None
    part_size: int
    resume: bool
    retry_failed: bool


@dataclass(frozen=True)
class Loading:
    """How the bundle is loaded, here and by each worker."""

    threads: int | None
    thresholds: dict[str, float]
    prevalence: dict[str, float]
    precision: Precision | None


def classify_archive(
    archive: Archive,
    records: Iterable[Readable],
    classifier: Classifier,
    loading: Loading,
    reading: Reading,
    stated_too: dict[str, Any],
) -> None:
    """List the records, classify the parts that are not done, and say what came of them.

    Raises `typer.Exit` with status 1 where recordings could not be classified.
    """
    from ecoscale.cluster.folder import ResultsFolder
    from ecoscale.cluster.run import ArchiveRun, alone_in
    from ecoscale.results import run_settings

    pool = _pool(archive.actors)
    settings = run_settings(classifier, "parquet", batch_size=reading.batch_size, **stated_too)
    folder = ResultsFolder(archive.out)
    listed = tracked(records, "listing", show=progress_shown())
    with alone_in(folder):
        if archive.resume:
            run = ArchiveRun.resume(folder, settings, listed, archive.part_size, retry_failed=archive.retry_failed)
        else:
            run = ArchiveRun.begin(folder, settings, listed, archive.part_size)
        try:
            if todo := run.todo():
                _classify(archive, run, todo, classifier, loading, reading, pool)
        except KeyboardInterrupt:
            left = sum(part.records for part in run.todo())
            typer.echo(
                f"interrupted: {left:,} of {run.n_records:,} recordings are left; the same command with --resume goes "
                "on",
                err=True,
            )
            raise typer.Exit(130) from None
        _say_what_came(run)


def _classify(
    archive: Archive,
    run: ArchiveRun,
    todo: Sequence[Part],
    classifier: Classifier,
    loading: Loading,
    reading: Reading,
    pool: Pool | None,
) -> None:
    total = sum(part.records for part in todo)
    if archive.engine is Engine.LOCAL:
        from ecoscale.cluster.part import PartClassifier

        parts = PartClassifier(run.folder, classifier, run.manifest.settings, reading)
        _follow(map(parts.classify, todo), total)
        return
    from ecoscale.cluster.engine import classify_on_ray, connected
    from ecoscale.cluster.worker import SentBundle, WorkerOrders

    threads = loading.threads or 1
    orders = WorkerOrders(
        run.folder,
        run.manifest.settings,
        reading,
        SentBundle.of(classifier.bundle),
        threads,
        loading.thresholds,
        loading.prevalence,
        loading.precision,
        run.manifest.settings["folder"],
    )
    with connected(archive.address) as cluster:
        pool = cluster.pool(threads, pool)
        shown = f"; dashboard: {cluster.dashboard}" if cluster.dashboard else ""
        typer.echo(f"Ray: {cluster.processors} processors, {pool} actors of {threads}{shown}", err=True)
        _follow(classify_on_ray(todo, orders, pool), total)


def _follow(outcomes: Iterable[PartOutcome], total: int) -> None:
    """Go through the outcomes with a progress bar. Raises `EcoscaleError` when parts fail one after the other."""
    in_a_row = 0

    def recordings() -> Iterator[None]:
        nonlocal in_a_row
        for outcome in outcomes:
            in_a_row = in_a_row + 1 if outcome.error else 0
            if outcome.error:
                typer.echo(outcome.error, err=True)
            if in_a_row == IN_A_ROW:
                raise EcoscaleError(f"{IN_A_ROW} parts in a row could not be done; with --resume the others are")
            yield from [None] * (0 if outcome.error else outcome.records)

    for _ in tracked(recordings(), "classifying", total):
        pass


def _say_what_came(run: ArchiveRun) -> None:
    from ecoscale.cluster.run import FAILED as FAILURES
    from ecoscale.cluster.run import FINDINGS

    left = run.todo()
    n_left = sum(part.records for part in left)
    n_failed = run.count_failed()
    if run.n_before:
        typer.echo(
            f"{run.n_before:,} recordings were done before, {run.n_records - run.n_before - n_left:,} now", err=True
        )
    if run.n_records > n_left + n_failed:
        typer.echo(f"{run.n_records - n_left - n_failed:,} recordings classified: {run.folder.at(FINDINGS)}", err=True)
    if n_failed:
        typer.echo(
            f"{n_failed:,} of {run.n_records:,} recordings could not be classified: {run.folder.at(FAILURES)}", err=True
        )
    if left:
        typer.echo(f"{n_left:,} recordings of {len(left):,} parts are left; --resume goes on with them", err=True)
    if not run.n_records:
        typer.echo(f"no recordings found in {', '.join(run.manifest.settings['sources'])}", err=True)
    if n_failed or left or not run.n_records:
        raise typer.Exit(FAILED)


def _pool(text: str | None) -> Pool | None:
    """`"4"` or `"2:16"`."""
    from ecoscale.cluster.engine import Pool

    if text is None:
        return None
    smallest, _, largest = text.partition(":")
    try:
        pool = Pool(int(smallest), int(largest or smallest))
    except ValueError:
        pool = Pool(0, 0)
    if not 1 <= pool.smallest <= pool.largest:
        raise typer.BadParameter(f"{text!r}; expected a number as 4, or from and to as 2:16", param_hint="--actors")
    return pool
