"""How fast CODE-15% is prepared and read, and in how much memory: `python benchmarks/data.py FOLDER`.

FOLDER gets a synthetic CODE-15% in its publisher's layout (unless one is there) and the prepared stores. Beside each
figure stands what it is to be compared with, measured in the same run: reading the HDF5 alone, a naive random read, and
what the base EcoScale-Net consumes. `--exams 345779` writes the full size, by repeating the packed tracings of the
first 21,000 under new ids (50 GB), for speed and memory only.
"""

from __future__ import annotations

import itertools
import json
import os
import platform
import shutil
import subprocess
import sys
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PUBLISHED = 345_779
DRAWN = 21_000
ROWS_A_PART = 20_000
STORES = {
    "400 Hz, 4096 samples, as published": ("--rate", "400", "--window", "4096", "--highpass", "0"),
    "100 Hz, 1000 samples, high-pass": (),
}


def main(
    folder: Annotated[Path, typer.Argument(help="Where the collection and its stores lie.", file_okay=False)],
    exams: Annotated[int, typer.Option(min=1000, help="Exams in the collection.")] = DRAWN,
    out: Annotated[Path, typer.Option(help="The figures as JSON.")] = Path("benchmarks/results/data.json"),
    only: Annotated[str, typer.Option(help="Only the stores whose name contains this, for example '100 Hz'.")] = "",
    loading: Annotated[bool, typer.Option(help="Also measure the loader beside the network (needs torch).")] = True,
) -> None:
    """Measure, print, and write the figures."""
    collection = folder / f"CODE-15-of-{exams}"
    if not (collection / "exams.csv").exists():
        write_collection(collection, exams)
    figures: dict[str, Any] = {"exams": exams, "machine": machine()}
    if loading:
        figures["reading the HDF5 alone"] = reading(collection)
    figures["preparing"] = {
        name: preparing(collection, folder / f"store-{number}-of-{exams}", options)
        for number, (name, options) in enumerate(STORES.items())
        if only in name
    }
    if loading:
        alone = figures["reading the HDF5 alone"]
        for prepared in figures["preparing"].values():
            prepared["of reading by one process, %"] = 100 * prepared["exams/s"] / alone["one process, exams/s"]
            prepared["of reading by all cores, %"] = 100 * prepared["exams/s"] / alone["all cores, exams/s"]
        figures["loading, batch 64"] = loading_figures(collection, folder / f"store-0-of-{exams}")
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    typer.echo(json.dumps(figures, indent=1))


def machine() -> dict[str, Any]:
    """Where it was measured."""
    return {"cores": len(os.sched_getaffinity(0)), "processor": platform.processor() or platform.machine()}


def write_collection(folder: Path, exams: int) -> None:
    """Synthetic exams; beyond those that are drawn, their packed tracings again under new ids and patients."""
    import h5py
    import pandas as pd

    from ecoscale.datasets.layouts import write_code15

    drawn = folder if exams <= DRAWN else folder.with_name(f"CODE-15-of-{DRAWN}")
    if not (drawn / "exams.csv").exists():
        write_code15(drawn, min(exams, DRAWN), n_parts=2, seed=1)
    if exams <= DRAWN:
        return
    table = pd.read_csv(drawn / "exams.csv").set_index("exam_id", drop=False)
    sources = [h5py.File(path, "r") for path in sorted(drawn.glob("*.hdf5"))]
    origin = [(file, row) for file in sources for row in range(len(file["exam_id"]) - 1)]
    ids = np.concatenate([file["exam_id"][:-1] for file in sources])
    folder.mkdir(parents=True)
    tables = []
    for part, first in enumerate(range(0, exams, ROWS_A_PART)):
        members = np.arange(first, min(first + ROWS_A_PART, exams))
        own, copy = members % len(ids), members // len(ids)
        name = f"exams_part{part}.hdf5"
        with h5py.File(folder / name, "w") as file:
            file["exam_id"] = np.append(ids[own] + copy * 10_000_000, 0)
            tracings = file.create_dataset(
                "tracings", (len(members) + 1, 4096, 12), np.float32, chunks=(1, 4096, 12), compression="gzip"
            )
            for row, index in enumerate(own):
                source, place = origin[index]
                tracings.id.write_direct_chunk((row, 0, 0), source["tracings"].id.read_direct_chunk((place, 0, 0))[1])
        rows = table.loc[ids[own]].reset_index(drop=True)
        rows["exam_id"] += copy * 10_000_000
        rows["patient_id"] += copy * 10_000_000
        rows["trace_file"] = name
        tables.append(rows)
    pd.concat(tables).sample(frac=1, random_state=0).to_csv(folder / "exams.csv", index=False)


def read_rows(path: Path, rows: range) -> int:
    """Read tracings one after the other, by h5py, and do nothing with them."""
    import h5py

    with h5py.File(path, "r") as file:
        tracings = file["tracings"]
        for row in rows:
            tracings[row]
    return len(rows)


def reading(collection: Path, n: int = 6000) -> dict[str, float]:
    """Exams a second that h5py reads: by one process, and by as many as there are cores, each its own piece."""
    paths = sorted(collection.glob("*.hdf5"))
    cores = len(os.sched_getaffinity(0))
    read_rows(paths[0], range(n))  # into the page cache, as all that follows
    start = time.perf_counter()
    read_rows(paths[0], range(n))
    one = n / (time.perf_counter() - start)
    pieces = [range(first, first + n // cores) for first in range(0, n - n // cores + 1, n // cores)]
    with ProcessPoolExecutor(cores, get_context("spawn")) as pool:
        list(pool.map(read_rows, [paths[0]] * cores, [range(1)] * cores))
        start = time.perf_counter()
        total = sum(pool.map(read_rows, [paths[0]] * len(pieces), pieces))
        everyone = total / (time.perf_counter() - start)
    return {"one process, exams/s": one, "all cores, exams/s": everyone}


def preparing(collection: Path, store: Path, options: tuple[str, ...]) -> dict[str, float]:
    """Exams a second and peak memory of `ecoscale prepare`, from start to end of the command."""
    import psutil

    from ecoscale.datasets.store import open_store

    shutil.rmtree(store, ignore_errors=True)
    command = [sys.executable, "-m", "ecoscale", "prepare", "code15", collection, "--out", store, "--quiet", *options]
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    shared, single = 0, 0
    while process.poll() is None:
        try:
            family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
            # Proportional: memory that processes share counts once.
            shared = max(shared, sum(one.memory_full_info().pss for one in family))
            single = max(single, *(one.memory_info().rss for one in family))
        except psutil.Error:
            pass
        time.sleep(0.2)
    seconds = time.perf_counter() - start
    if process.returncode:
        raise typer.Exit(process.returncode)
    start = time.perf_counter()
    opened = open_store(store)
    opening = time.perf_counter() - start
    start = time.perf_counter()
    n = len(opened.records) + len(opened.manifest.unreadable)
    return {
        "exams/s": n / seconds,
        "seconds": seconds,
        f"minutes for {PUBLISHED:,}": PUBLISHED * seconds / n / 60,
        "peak memory of all processes, MB": shared / 1e6,
        "largest process, MB": single / 1e6,
        "store, GB": sum(path.stat().st_size for path in store.iterdir()) / 1e9,
        "opening it, ms": 1e3 * opening,
        "its table, ms": 1e3 * (time.perf_counter() - start),
    }


def loading_figures(collection: Path, path: Path, seconds: float = 10) -> dict[str, float]:
    """Exams a second in random order: from the store, by h5py, and as the base EcoScale-Net takes them."""
    import h5py
    import torch
    from torch.utils.data import DataLoader

    from ecoscale.datasets.store import open_store
    from ecoscale.models import create_model
    from ecoscale.training.data import EpochBatches, Examples, SignalBatches

    store = open_store(path)
    rows = np.arange(len(store))
    batches = SignalBatches([Examples("code15", store, rows, store.labels(["AF"]))])

    def from_the_store() -> Iterator[int]:
        for seed in itertools.count():
            # As a training run makes it.
            sampler = EpochBatches(len(batches), 64, seed)
            for signals, _ in DataLoader(batches, sampler=sampler, batch_size=None, num_workers=0):
                yield len(signals)

    def naively() -> Iterator[int]:
        files = [h5py.File(part, "r") for part in sorted(collection.glob("*.hdf5"))]
        random = np.random.default_rng(0)
        while True:
            batch = []
            for _ in range(64):
                file = files[random.integers(len(files))]
                batch.append(file["tracings"][int(random.integers(len(file["exam_id"]) - 1))].T)
            torch.from_numpy(np.stack(batch))
            yield 64

    signals = torch.from_numpy(store.read(rows[:64]))
    network = create_model("ecoscalenet", n_channels=12, n_classes=6)
    optimiser = torch.optim.AdamW(network.parameters())

    def inference() -> Iterator[int]:
        network.eval()
        with torch.inference_mode():
            while True:
                network(signals)
                yield 64

    def training() -> Iterator[int]:
        network.train()
        while True:
            optimiser.zero_grad()
            network(signals).sigmoid().mean().backward()
            optimiser.step()
            yield 64

    def rate(work: Callable[[], Iterator[int]]) -> float:
        running = work()
        next(running)
        done, start = 0, time.perf_counter()
        while time.perf_counter() - start < seconds:
            done += next(running)
        return done / (time.perf_counter() - start)

    with (path / "signals.npy").open("rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    start = time.perf_counter()
    n_cold = sum(itertools.islice(from_the_store(), 100))
    cold = n_cold / (time.perf_counter() - start)
    for first in range(0, len(store), 64):
        store.read(rows[first : first + 64])
    several = [rate(from_the_store)]
    threads = min(2, len(os.sched_getaffinity(0)))
    counts = [0] * threads

    def count(number: int) -> None:
        counts[number] = rate(from_the_store)

    workers = [threading.Thread(target=count, args=(number,)) for number in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    several.append(sum(counts))
    found = {
        "store, one thread, exams/s": several[0],
        f"store, {threads} threads, exams/s": several[1],
        "store, from the disk, exams/s": cold,
        "h5py at random, exams/s": rate(naively),
        "base EcoScale-Net, inference, exams/s": rate(inference),
        "base EcoScale-Net, training, exams/s": rate(training),
    }
    loader = found["store, one thread, exams/s"]
    return found | {
        "times h5py at random": loader / found["h5py at random, exams/s"],
        "times inference": loader / found["base EcoScale-Net, inference, exams/s"],
        "times training": loader / found["base EcoScale-Net, training, exams/s"],
    }


if __name__ == "__main__":
    typer.run(main)
