"""Readers as threads and as processes: `python benchmarks/workers.py`.

Records a second that are read and prepared, and that the default bundle classifies too, on one thread, while they are:
for WFDB, .npy and DICOM. Each way in turn, several rounds; files are in the page cache, and pools are started before.
DICOM is pydicom's own recording (10 s at 1,000 Hz), copied.
"""

from __future__ import annotations

import shutil
import time
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer

from ecoscale.formats import Recording, find_recordings
from ecoscale.inference import Classifier
from ecoscale.reading import READ_AT_ONCE, Failure, PreparedSignal, read_prepared
from ecoscale.workers import in_order
from measurement import describe_machine
from path import write_synthetic

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ecoscale.preparation import Preparation

BATCH = 32
WAYS = (("none", 0), ("threads", 1), ("threads", 2), ("processes", 1), ("processes", 2))


def main(
    records: Annotated[
        Path | None, typer.Option(help="Folder of 12-lead WFDB records; synthetic ones without it.", file_okay=False)
    ] = None,
    n: Annotated[int, typer.Option(min=BATCH, help="Recordings of each format.")] = 960,
    rounds: Annotated[int, typer.Option(min=1, help="Turns of each way.")] = 5,
) -> None:
    """Measure, and print a table."""
    classifier = Classifier.load(threads=1)
    typer.echo(f"{describe_machine()}\n")
    typer.echo("| format | workers | read and prepared a second | classified a second |\n|---|---|---:|---:|")
    with TemporaryDirectory() as scratch:
        folder = records or write_synthetic(Path(scratch) / "synthetic", n)
        for form, recordings in recordings_of(folder, n, Path(scratch)).items():
            pools = {way: pool(*way) for way in WAYS}
            rates: dict[tuple, list[tuple[float, float]]] = {way: [] for way in WAYS}
            for turn in range(rounds + 1):
                for way in WAYS:
                    found = tuple(
                        len(recordings) / seconds(recordings, classifier, pools[way], way[1], network)
                        for network in (False, True)
                    )
                    if turn:  # the first warms up
                        rates[way].append(found)
            for (kind, count), found in rates.items():
                alone, together = np.median(found, axis=0)
                workers = f"{count} {kind}" if count else "none"
                typer.echo(f"| {form} | {workers} | {alone:,.0f} | {together:,.0f} |")
            for each in filter(None, pools.values()):
                each.shutdown()


def recordings_of(folder: Path, n: int, scratch: Path) -> dict[str, list[Recording]]:
    """By format, `n` recordings."""
    from pydicom.data import get_testdata_file

    wfdb = list(islice(find_recordings([folder]), n))
    arrays, dicom = [], []
    for number, recording in enumerate(wfdb):
        ecg = recording.read()
        path = scratch / f"{number}.npy"
        np.save(path, ecg.signal)
        arrays.append(Recording(path, None, {"rate": ecg.rate, "unit": "mV", "leads": ecg.leads}))
        copied = shutil.copyfile(str(get_testdata_file("waveform_ecg.dcm")), scratch / f"{number}.dcm")
        dicom.append(Recording(Path(copied)))
    return {"WFDB": wfdb, ".npy": arrays, "DICOM": dicom}


def pool(kind: str, count: int) -> Executor | None:
    """The workers; None for the thread that asks."""
    if kind == "processes":
        return ProcessPoolExecutor(count, get_context("spawn"))
    return ThreadPoolExecutor(count) if count else None


def seconds(
    recordings: list[Recording], classifier: Classifier, workers: Executor | None, count: int, network: bool
) -> float:
    """How long it takes to read and prepare all of them, and with `network` to classify them meanwhile."""
    begin = time.perf_counter()
    prepared = read(recordings, classifier.preparation, workers, count)
    while batch := list(islice(prepared, BATCH)):
        if network:
            classifier.logits(np.concatenate([each.windows for each in batch]))
    return time.perf_counter() - begin


def read(
    recordings: list[Recording], preparation: Preparation, workers: Executor | None, count: int
) -> Iterator[PreparedSignal]:
    """As `read_prepared` does it: jobs of a few recordings, in order, some ahead."""
    jobs = [
        (recordings[first : first + READ_AT_ONCE], preparation) for first in range(0, len(recordings), READ_AT_ONCE)
    ]
    if workers is None:
        found = (job(*each) for each in jobs)
    else:
        found = in_order(_Kept(workers), job, jobs, BATCH // READ_AT_ONCE + 2 * count)  # pyright: ignore[reportArgumentType]
    for each in found:
        yield from each


class _Kept:
    """A pool that stays open for the next round."""

    def __init__(self, pool: Executor) -> None:
        self.submit = pool.submit

    def shutdown(self, **_: object) -> None:
        """Nothing."""


def job(recordings: list[Recording], preparation: Preparation) -> list[PreparedSignal]:
    """One job of a worker."""
    made = []
    for each in read_prepared(recordings, preparation, READ_AT_ONCE, workers=0):
        if isinstance(each, Failure):
            raise typer.BadParameter(each.error, param_hint="--records")
        made.append(each)
    return made


if __name__ == "__main__":
    typer.run(main)
