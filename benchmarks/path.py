"""The whole path, not only the network: `python benchmarks/path.py`.

Importing, one record from the start of the process to the answer, and a folder of records beside what the network alone
takes of them. Every command is the one that a user types, in a process of its own. Files are in the page cache, as they
are for all but the first use after a start; `--drop-caches` (root, Linux) also measures one record from the disk.
"""

from __future__ import annotations

import itertools
import subprocess
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer

from measurement import (
    RESULTS,
    ProcessCost,
    Timing,
    command_line,
    describe_machine,
    matmul_rate,
    measure_together,
    n_cores,
    progress_bar,
    run_process,
    significant,
    write_results,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

ECOSCALE = (sys.executable, "-m", "ecoscale")
DROP = Path("/proc/sys/vm/drop_caches")
BATCH = 32
HOLTER = {"rate": 250, "hours": 1}
"""The long record: Hz, hours."""


class NotHereError(Exception):
    """Something that cannot be measured here, and why."""


def main(
    records: Annotated[
        Path | None,
        typer.Option(help="Folder of 12-lead recordings; synthetic ones (10 s, 500 Hz) without it.", file_okay=False),
    ] = None,
    n: Annotated[int, typer.Option(min=1, help="Records of the folder that are classified.")] = 1000,
    rounds: Annotated[int, typer.Option(min=1, help="Times that one record is classified.")] = 10,
    folder_rounds: Annotated[int, typer.Option(min=1, help="Times that the folder is classified.")] = 3,
    drop_caches: Annotated[bool, typer.Option(help="Also measure from the disk (needs root).")] = False,
    out: Annotated[Path, typer.Option(help="The figures as JSON.")] = RESULTS / "path.json",
) -> None:
    """Measure, and write the figures."""
    machine = describe_machine()
    threads = sorted({1, min(2, n_cores())})
    rates = {number: matmul_rate(number) for number in threads}
    with TemporaryDirectory() as scratch:
        folder = Path(scratch)
        paths = recording_paths(records or write_synthetic(folder / "synthetic", n), n)
        rows = [*start(paths[0], folder, rounds, drop_caches), *whole_folder(paths, folder, threads, folder_rounds)]
        rows += [attempt("a long record, ecoscale timeline", lambda: long_record(folder, folder_rounds))]
        rows += [attempt("a live signal, Stream", live_signal)]
    kind = "synthetic" if records is None else "real"
    write_results(
        out,
        command=command_line(),
        rows=rows,
        matmul_gmacs=rates,
        machine=machine,
        notes=[f"{len(paths):,} {kind} recordings; the shipped bundle six-findings; files in the page cache."],
    )


def write_synthetic(folder: Path, n: int) -> Path:
    """A folder of synthetic records of 10 s at 500 Hz."""
    subprocess.run([*ECOSCALE, "synth", folder, "--n", str(n)], check=True, capture_output=True)
    return folder


def recording_paths(folder: Path, n: int) -> list[Path]:
    """The first `n` recordings of a folder, by ecoscale's own search."""
    from ecoscale import find_recordings

    paths = [recording.path for recording in itertools.islice(find_recordings([folder]), n)]
    if not paths:
        raise typer.BadParameter(f"{folder}: no recording", param_hint="--records")
    return paths


def attempt(name: str, measure: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """The row, or the reason why there is none."""
    try:
        return {"kind": "signal", "name": name} | measure()
    except NotHereError as reason:
        return {"kind": "signal", "name": name, "skipped": str(reason)}


@dataclass
class Process:
    """A command that is run again and again, and what it cost each time."""

    command: tuple[str | Path, ...]
    before: Callable[[], object] = lambda: None

    def __post_init__(self) -> None:
        self.costs: list[ProcessCost] = []

    def run(self) -> None:
        """Once."""
        self.before()
        self.costs.append(run_process(self.command))

    def to_dict(self) -> dict[str, Any]:
        """Median and quartiles of its time, largest peak of its memory."""
        timing = Timing((tuple(cost.seconds for cost in self.costs),))
        return timing.to_dict() | {"peak_mb": round(max(cost.peak_mb for cost in self.costs))}


def in_turn(processes: dict[str, Process], rounds: int, description: str) -> None:
    """Run all of them once without counting, and then in turn."""
    with progress_bar(description, (rounds + 1) * len(processes)) as done:
        for number in range(rounds + 1):
            for name, process in processes.items():
                process.run()
                if number == 0:
                    process.costs.clear()
                done(name)


def start(record: Path, scratch: Path, rounds: int, drop_caches: bool) -> list[dict[str, Any]]:
    """From nothing to an answer: Python alone, the import, and one record."""
    predict = (*ECOSCALE, "predict", record, "--format", "json", "--output", scratch / "one.jsonl")
    processes = {
        "Python alone": Process((sys.executable, "-c", "pass")),
        "import ecoscale": Process((sys.executable, "-c", "import ecoscale")),
        "import ecoscale, the classifier loaded": Process(
            (sys.executable, "-c", "import ecoscale; ecoscale.Classifier.load()")
        ),
        "ecoscale predict RECORD": Process(predict),
    }
    if drop_caches:

        def drop() -> None:
            subprocess.run(["sync"], check=True)
            DROP.write_text("3\n")

        processes["ecoscale predict RECORD, from the disk"] = Process(predict, drop)
    in_turn(processes, rounds, "start")
    return [{"kind": "start", "name": name} | process.to_dict() for name, process in processes.items()]


def whole_folder(paths: list[Path], scratch: Path, threads: list[int], rounds: int) -> list[dict[str, Any]]:
    """Many records: the command, `Classifier.classify`, and the network alone on the same windows, in turn."""
    import ecoscale
    from ecoscale.formats import find_recordings

    linked = scratch / "linked"
    _link(paths, linked)
    rows = []
    for number in threads:
        classifier = ecoscale.Classifier.load(threads=number)
        windows = _windows(classifier, paths)
        options = ("--format", "json", "--output", scratch / "all.jsonl", "--threads", str(number))
        command = Process((*ECOSCALE, "predict", linked, *options))

        def network(classifier: ecoscale.Classifier = classifier, windows: NDArray[np.float32] = windows) -> None:
            for first in range(0, len(windows), BATCH):
                classifier.logits(windows[first : first + BATCH])

        def classify(classifier: ecoscale.Classifier = classifier) -> None:
            for _ in classifier.classify(find_recordings([linked])):
                pass

        candidates = {
            "the network alone": network,
            "Classifier.classify": classify,
            "ecoscale predict FOLDER": command.run,
        }
        network()
        with progress_bar(f"{len(paths):,} records, {number} thread(s)", rounds * len(candidates)) as done:
            times = measure_together(candidates, rounds=rounds, seconds=0, warm=False, progress=done)
        for name, timing in times.items():
            row = {"kind": "folder", "name": name, "threads": number, "batch": BATCH, "records": len(paths)}
            # The network's windows are counted for what they are: a long record has several.
            row |= timing.to_dict(times["the network alone"])
            row["records_per_s"] = significant(1e3 * len(paths) / timing.median_ms)
            if name == "ecoscale predict FOLDER":
                row["peak_mb"] = round(max(cost.peak_mb for cost in command.costs))
            rows.append(row)
    return rows


def _link(paths: list[Path], folder: Path) -> None:
    """A folder with these recordings alone, as links to their files, in as many folders as they lie in."""
    parents = {parent: str(number) for number, parent in enumerate(dict.fromkeys(path.parent for path in paths))}
    for path in paths:
        for file in path.parent.glob(f"{path.stem}.*"):
            link = folder / parents[path.parent] / file.name
            link.parent.mkdir(parents=True, exist_ok=True)
            if not link.exists():
                link.symlink_to(file.resolve())


def _windows(classifier: Any, paths: list[Path]) -> NDArray[np.float32]:
    import ecoscale

    return np.concatenate([classifier.preparation.windows(ecoscale.read_ecg(path)) for path in paths])


def long_record(scratch: Path, rounds: int) -> dict[str, Any]:
    """`ecoscale timeline` on a long recording of twelve leads: how many times real time, and memory."""
    if find_spec("ecoscale.cli.timeline") is None:
        raise NotHereError("this ecoscale has no timeline")
    import wfdb

    from ecoscale.datasets.synthetic import synthetic_ecg

    minute = synthetic_ecg([], rate=HOLTER["rate"], duration=60, seed=0).ecg
    signal = np.tile(minute.signal.T.astype(np.float64), (60 * HOLTER["hours"], 1))
    count = len(minute.leads)
    wfdb.wrsamp(
        "holter",
        fs=HOLTER["rate"],
        units=["mV"] * count,
        sig_name=list(minute.leads),
        p_signal=signal,
        fmt=["16"] * count,
        write_dir=str(scratch),
    )
    process = Process((*ECOSCALE, "timeline", scratch / "holter.hea", "--output", scratch / "windows.csv"))
    in_turn({"ecoscale timeline": process}, rounds, "a long record")
    row = process.to_dict()
    return row | {"times_real_time": significant(3.6e6 * HOLTER["hours"] / row["median_ms"]), **HOLTER}


def live_signal(seconds: int = 300, chunk: float = 0.1) -> dict[str, Any]:
    """`Stream` fed in chunks: processor time for each second of signal, in per cent of one core."""
    if find_spec("ecoscale.streaming") is None:
        raise NotHereError("this ecoscale has no Stream")
    import time

    import ecoscale
    from ecoscale.datasets.synthetic import synthetic_ecg
    from ecoscale.streaming import Stream

    minute = synthetic_ecg([], rate=500, duration=60, seed=0).ecg
    signal = np.tile(minute.signal, (1, seconds // 60))
    stream = Stream(ecoscale.Classifier.load(threads=1), rate=500, leads=minute.leads, hop=5.0)
    step = round(chunk * 500)
    began = time.process_time()
    for first in range(0, signal.shape[1], step):
        stream.push(signal[:, first : first + step])
    spent = time.process_time() - began
    return {"core_percent": significant(100 * spent / seconds), "hop_s": 5.0, "chunk_s": chunk, "rate": 500}


if __name__ == "__main__":
    typer.run(main)
