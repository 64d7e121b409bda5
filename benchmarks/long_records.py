"""Long and live signals on one core: `taskset -c 0 python benchmarks/long_records.py FOLDER --bundle BUNDLE`.

FOLDER gets a synthetic Holter record (unless one is there). For `ecoscale timeline`, how many seconds of signal a
second of work reads, and where that second goes; for `Stream`, the share of one core that a live signal takes.
"""

from __future__ import annotations

import json
import platform
import resource
import time
from pathlib import Path  # noqa: TC003 - typer reads it at run time
from statistics import median
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer

from ecoscale.datasets.layouts.holter import random_stretches, write_holter
from ecoscale.ecg import ECG, LEADS
from ecoscale.excerpts import why_unreadable, window_samples
from ecoscale.formats.long_records import LongRecord, open_long_record
from ecoscale.inference import Classifier
from ecoscale.streaming import Stream
from ecoscale.timeline import timeline

if TYPE_CHECKING:
    from collections.abc import Callable

HOPS = (1.0, 2.0, 5.0, 10.0)
CHUNKS = (1, 50)


def main(
    folder: Annotated[Path, typer.Argument(help="Where the record lies.", file_okay=False)],
    bundle: Annotated[str | None, typer.Option(help="The bundle.", show_default="the bundle in the package")] = None,
    hours: Annotated[float, typer.Option(min=0.1, help="Length of the record.")] = 24.0,
    rate: Annotated[float, typer.Option(min=50, help="Samples per second.")] = 500.0,
    repeats: Annotated[int, typer.Option(min=1, help="Runs of each; the median is told.")] = 3,
    out: Annotated[Path | None, typer.Option(help="The figures as JSON.")] = None,
) -> None:
    """Measure, print, and write the figures. Everything runs with one thread."""
    classifier = Classifier.load(bundle, threads=1)
    leads = LEADS if set(classifier.preparation.leads) == set(LEADS) else classifier.preparation.leads
    header = folder / f"holter-{len(leads)}-{hours:g}h-{rate:g}.hea"
    if not header.exists():
        write_holter(folder, random_stretches(hours, 1), hours=hours, rate=rate, leads=leads, record=header.stem)
    record = open_long_record(header)
    seconds = classifier.preparation.seconds
    figures: dict[str, Any] = {
        "machine": f"{platform.machine()}, Python {platform.python_version()}",
        "bundle": classifier.bundle.title,
        "record": f"{hours:g} h, {len(leads)} leads, {rate:g} Hz",
    }
    for name, hop in (("hop of a window", seconds), ("hop of half a window", seconds / 2)):
        took = median(timed(lambda: timeline(classifier, record, hop=hop)) for _ in range(repeats))  # noqa: B023
        figures[name] = {"seconds": round(took, 2), "times real time": round(record.duration / took)}
    figures["peak memory, MB"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
    figures["milliseconds of one window"] = breakdown(classifier, record, repeats)
    figures["live, percent of one core"] = live(classifier, record, repeats)
    text = json.dumps(figures, indent=1)
    typer.echo(text)
    if out:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(text + "\n", encoding="utf-8")


def timed(work: Callable[[], object]) -> float:
    """Seconds of processor time that it takes, in all threads."""
    began = time.process_time()
    work()
    return time.process_time() - began


def breakdown(classifier: Classifier, record: LongRecord, repeats: int, windows: int = 320) -> dict[str, float]:
    """Each step alone, over the same windows one after the other."""
    length = window_samples(classifier.preparation, record.rate)
    preparation = classifier.preparation
    signal = np.concatenate([piece for _, piece in zip(range(60), record.pieces(), strict=False)], axis=1)
    windows = min(windows, signal.shape[1] // length)
    ecgs = [
        ECG(signal[:, number * length : (number + 1) * length], record.rate, record.leads) for number in range(windows)
    ]
    chosen = [ecg.select(lead for lead in record.leads if lead in preparation.leads) for ecg in ecgs]
    resampled = [ecg.resample(preparation.rate) for ecg in chosen]
    prepared = np.concatenate([preparation.windows(ecg) for ecg in ecgs])
    batches = [prepared[first : first + 16] for first in range(0, len(prepared), 16)]
    read = median(timed(lambda: list(record.pieces())) for _ in range(repeats)) / (record.n_samples / length)
    steps: dict[str, Callable[[], object]] = {
        "check": lambda: [(why_unreadable(ecg), ecg.check()) for ecg in ecgs],
        "resample": lambda: [ecg.resample(preparation.rate) for ecg in chosen],
        "filter": lambda: [preparation.conform(ecg) for ecg in resampled],
        "network": lambda: [classifier.logits(batch) for batch in batches],
    }
    found = {name: median(timed(step) for _ in range(repeats)) / windows for name, step in steps.items()}
    return {name: round(1000 * value, 3) for name, value in ({"read": read} | found).items()}


def live(classifier: Classifier, record: LongRecord, repeats: int, seconds: float = 120.0) -> dict[str, float]:
    """What two minutes of signal cost, pushed in chunks of so many samples."""
    signal = next(iter(record.pieces(seconds)))
    found = {}
    for hop in HOPS:
        for chunk in CHUNKS:

            def push(hop: float = hop, chunk: int = chunk) -> None:
                stream = Stream(classifier, rate=record.rate, leads=record.leads, hop=hop)
                for first in range(0, signal.shape[1], chunk):
                    stream.push(signal[:, first : first + chunk])

            took = median(timed(push) for _ in range(repeats))
            found[f"hop {hop:g} s, chunks of {chunk}"] = round(100 * took / (signal.shape[1] / record.rate), 3)
    return found


if __name__ == "__main__":
    typer.run(main)
