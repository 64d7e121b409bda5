"""An archive by the Ray engine beside this process: `python benchmarks/cluster.py`.

The same records are classified in parts by this process, by one actor and by two, each on one thread without reader
threads, in turn, several rounds. A Ray is started once for all; how long that takes, and how long actors take to be
ready, stands beside the rates. It says too by how much a record's logits depend on how many are classified with it.
"""

from __future__ import annotations

import os

# Before numpy: each way has one thread.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import time
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer

from ecoscale.cluster.engine import Pool, classify_on_ray, connected
from ecoscale.cluster.folder import ResultsFolder
from ecoscale.cluster.part import PartClassifier, Reading, peak_mb
from ecoscale.cluster.run import ArchiveRun
from ecoscale.cluster.worker import SentBundle, WorkerOrders
from ecoscale.inference import Classifier
from ecoscale.results import run_settings
from ecoscale.sources import find_records
from measurement import RESULTS, command_line, describe_machine, significant, write_results
from path import write_synthetic

if TYPE_CHECKING:
    from ecoscale.cluster.part import PartOutcome

BATCH = 32
SIZES = (1, 2, 3, 5, 8, 32)
"""Records that are classified together, of those whose logits are compared."""
HERE, ONE, TWO = "this process", "Ray, 1 actor", "Ray, 2 actors"


@dataclass(frozen=True)
class Turn:
    """One way's turn: seconds until the first part was begun and from there to the end, and the largest process."""

    listing: float
    start: float
    work: float
    peak_mb: float


def main(
    records: Annotated[
        Path | None, typer.Option(help="Folder of 12-lead WFDB records; synthetic ones without it.", file_okay=False)
    ] = None,
    n: Annotated[int, typer.Option(min=BATCH, help="Synthetic records.")] = 2048,
    part_size: Annotated[int, typer.Option(min=BATCH, help="Records of a part.")] = 256,
    rounds: Annotated[int, typer.Option(min=1, help="Turns of each way.")] = 3,
    out: Annotated[Path, typer.Option(help="The figures as JSON.")] = RESULTS / "clusters" / "cluster.json",
) -> None:
    """Measure, and write the figures."""
    machine = describe_machine()
    classifier = Classifier.load(threads=1)
    turns: dict[str, list[Turn]] = {name: [] for name in (HERE, ONE, TWO)}
    with TemporaryDirectory() as scratch:
        folder = records or write_synthetic(Path(scratch) / "synthetic", n)
        counted = sum(1 for _ in find_records([folder], classifier.preparation))
        began = time.perf_counter()
        with connected("local"):
            ray_seconds = time.perf_counter() - began
            for number in range(rounds):
                for name in turns:
                    place = Path(scratch) / f"{name} {number}"
                    turns[name].append(turn(name, folder, place, classifier, part_size))
                    typer.echo(f"round {number + 1}, {name}: {turns[name][-1]}", err=True)
    rows = [row(name, taken, turns[HERE], counted) for name, taken in turns.items()]
    rows.append({"kind": "start", "name": "Ray", "seconds": significant(ray_seconds)})
    rows.append({"kind": "mates", "name": classifier.title, "largest_difference": dependence(classifier)})
    write_results(
        out,
        command=command_line(),
        rows=rows,
        matmul_gmacs={},
        machine=machine,
        notes=[
            f"{counted:,} {'synthetic' if records is None else 'real'} recordings, parts of {part_size}, each way on "
            f"one thread without reader threads, {rounds} rounds in turn; parts run from the first that is begun.",
            "ratio: records a second beside this process in the same round, median, smallest and largest.",
            f"largest_difference: between logits of a record alone and among {', '.join(map(str, SIZES[1:]))}.",
        ],
    )


def turn(name: str, source: Path, place: Path, classifier: Classifier, part_size: int) -> Turn:
    """Classify the archive into a new folder, one way."""
    folder = ResultsFolder(str(place))
    settings = run_settings(classifier, "parquet", sources=[str(source)])
    reading = Reading(batch_size=BATCH, workers=0)
    began = time.perf_counter()
    run = ArchiveRun.begin(folder, settings, find_records([source], classifier.preparation), part_size)
    listed = time.perf_counter()
    if name == HERE:
        outcomes: Any = map(PartClassifier(folder, classifier, settings, reading).classify, run.todo())
    else:
        orders = WorkerOrders(folder, settings, reading, SentBundle.of(classifier.bundle), 1, {}, {}, None, None)
        actors = 1 if name == ONE else 2
        outcomes = classify_on_ray(run.todo(), orders, Pool(actors, actors))
    first = 0.0
    found: list[PartOutcome] = []
    for outcome in outcomes:
        first = first or time.perf_counter() - outcome.seconds
        found.append(outcome)
    if run.todo() or any(outcome.error for outcome in found):
        raise typer.BadParameter(f"{name}: not all parts were done", param_hint="--records")
    largest = max(outcome.peak_mb for outcome in found)
    return Turn(listed - began, first - listed, time.perf_counter() - first, largest)


def row(name: str, turns: list[Turn], base: list[Turn], counted: int) -> dict[str, Any]:
    """The figures of one way."""
    ratios = [theirs.work / ours.work for ours, theirs in zip(turns, base, strict=True)]
    return {
        "kind": "cluster",
        "name": name,
        "records_per_s": significant(counted / float(np.median([each.work for each in turns]))),
        "ratio": significant(float(np.median(ratios))),
        "ratio_range": [significant(min(ratios)), significant(max(ratios))],
        "start_s": significant(float(np.median([each.start for each in turns]))),
        "listing_ms_per_record": significant(1e3 * float(np.median([each.listing for each in turns])) / counted),
        "peak_mb": significant(max(each.peak_mb for each in turns)),
        "driver_peak_mb": significant(peak_mb()),
    }


def dependence(classifier: Classifier) -> float:
    """The largest difference of a record's logits, alone and classified with others."""
    preparation = classifier.preparation
    random = np.random.default_rng(0)
    windows = random.normal(scale=0.3, size=(64, preparation.n_channels, preparation.window)).astype(np.float32)
    alone = np.concatenate([classifier.logits(window[None]) for window in windows])
    differences = []
    for size in SIZES:
        together = [classifier.logits(windows[first : first + size]) for first in range(0, len(windows), size)]
        differences.append(float(np.abs(np.concatenate(together) - alone).max()))
    return max(differences)


if __name__ == "__main__":
    typer.run(main)
