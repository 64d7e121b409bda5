"""EcoScale-Net beside what one would install instead: `python benchmarks/side_by_side.py`.

The same records go through the networks of each package, every package in an environment of its own (made if it is not
there), every network in a process of its own, and all of them in turn. Weights are random but for the shipped bundles':
this is about speed, memory and size, and says nothing of what a network finds.
"""

from __future__ import annotations

import inspect
import os
import subprocess
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer

from measurement import (
    RESULTS,
    Timing,
    command_line,
    describe_machine,
    matmul_rate,
    n_cores,
    progress_bar,
    significant,
    write_results,
)
from peers.environments import OURS, THEIRS, installed_size, prepare_environment, python_of
from peers.peer import Peer, PeerError, measure_in_turn, open_peers

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

IMPORTS = {
    "ecoscale": "from ecoscale import Classifier",
    "ecoscale-train": "from ecoscale.models import create_model; create_model('ecoscalenet', 12, 6)",
    "torch_ecg": "from torch_ecg.models import ECG_CRNN",
    "braindecode": "from braindecode.models import EEGInceptionERP",
    "tsai": "from tsai.models.OmniScaleCNN import OmniScaleCNN",
}
"""What one imports from each environment to have the network."""

LONG, SHORT = "4,096 samples at 400 Hz", "1,000 samples at 100 Hz"
EAGER = "EcoScale-Net, eager PyTorch"
BUNDLE = "EcoScale-Net of six-findings, eager PyTorch"
PEERS: dict[str, tuple[str, dict[str, Any]]] = {
    "Ribeiro's ResNet (ours)": ("ecoscale-train", {"open": "ecoscale", "model": "ribeiro_resnet"}),
    "torch_ecg ECG_CRNN": ("torch_ecg", {"open": "torch_ecg"}),
    "tsai InceptionTime": ("tsai", {"open": "tsai", "model": "InceptionTimePlus"}),
    "braindecode EEGInceptionERP": ("braindecode", {"open": "braindecode", "model": "EEGInceptionERP"}),
    "OS-CNN, budgeted (ours)": ("ecoscale-train", {"open": "ecoscale", "model": "oscnn"}),
    "OS-CNN, budgeted, masked (ours)": ("ecoscale-train", {"open": "ecoscale", "model": "oscnn_masked"}),
}
"""Networks by name: the environment, and what its worker opens. These are run on both inputs."""
WITHOUT_BUDGET: dict[str, tuple[str, dict[str, Any]]] = {
    "OS-CNN, uncapped (ours)": ("ecoscale-train", {"open": "ecoscale", "model": "oscnn_uncapped"}),
    "OS-CNN, uncapped (tsai OmniScaleCNN)": ("tsai", {"open": "tsai", "model": "OmniScaleCNN"}),
    "OS-CNN, un-budgeted (ours)": ("ecoscale-train", {"open": "ecoscale", "model": "oscnn_unbudgeted"}),
}
BATCH = 32
PATIENCE = 4.0
"""Seconds that one call may take where a batch is chosen: a slow network's throughput is of a smaller one."""


def main(
    records: Annotated[
        Path | None, typer.Option(help="Folder of recordings; synthetic ones without it.", file_okay=False)
    ] = None,
    rounds: Annotated[int, typer.Option(min=1, help="Turns of each network.")] = 5,
    seconds: Annotated[float, typer.Option(min=0, help="Length of a turn.")] = 0.5,
    imports: Annotated[int, typer.Option(min=1, help="Times that each package is imported.")] = 5,
    most_threads: Annotated[int, typer.Option("--threads", min=1, max=2, help="Largest number of threads.")] = 2,
    only: Annotated[str, typer.Option(help="Only networks whose name contains this, beside the eager ones.")] = "",
    long: Annotated[bool, typer.Option(help="Also 4,096 samples.")] = True,
    unbudgeted: Annotated[bool, typer.Option(help="Also OS-CNN without a budget, at 4,096 samples (slow).")] = True,
    out: Annotated[Path, typer.Option(help="The figures as JSON.")] = RESULTS / "peers.json",
) -> None:
    """Measure, and write the figures."""
    from ecoscale import Bundle

    machine = describe_machine()
    failed = prepare_environments()
    threads = sorted({1, min(most_threads, n_cores())})
    rates = {number: matmul_rate(number) for number in threads}
    rows = package_rows(failed, imports)
    with TemporaryDirectory() as scratch:
        folder = Path(scratch)
        short, made = _signals(records, rate=100, window=1000)
        network = Bundle.load("six-findings").manifest.network
        at_100_hz = {
            BUNDLE: ("ecoscale-train", {"open": "ecoscale", "model": network["model"], "config": network["config"]}),
            "six-findings, Classifier": ("ecoscale", {"open": "bundle", "bundle": "six-findings"}),
            "statements, Classifier": ("ecoscale", {"open": "bundle", "bundle": "statements"}),
            **_in_int8(),
            **PEERS,
        }
        inputs = [(SHORT, short, 100, at_100_hz, BUNDLE)]
        if long:
            signals, _ = _signals(records, rate=400, window=4096)
            exported = _export(signals[:2], folder / "ecoscalenet.onnx")
            at_400_hz = {
                EAGER: ("ecoscale-train", {"open": "ecoscale", "model": "ecoscalenet"}),
                "EcoScale-Net, ecoscale's export in ONNX Runtime": ("ecoscale", exported),
                **PEERS,
                **(WITHOUT_BUDGET if unbudgeted else {}),
            }
            inputs.insert(0, (LONG, signals, 400, at_400_hz, EAGER))
        for shape, signals, rate, networks, base in inputs:
            source = folder / f"{rate}.npy"
            np.save(source, signals)
            chosen = {name: peer for name, peer in networks.items() if only in name or name == base}
            tasks = {
                name: (python_of(environment), {**task, "rate": rate})
                for name, (environment, task) in chosen.items()
                if environment not in failed
            }
            skipped = {name: failed[environment] for name, (environment, _) in chosen.items() if environment in failed}
            rows += network_rows(shape, base, tasks, skipped, source, threads, rates, rounds, seconds)
    write_results(
        out,
        command=command_line(),
        rows=rows,
        matmul_gmacs=rates,
        machine=machine,
        notes=[
            f"The same {len(short)} recordings for all: {made}.",
            "Weights are random but for the shipped bundles': speed, memory and size only.",
            "The memory of a process is its peak with one thread, in a process that did nothing else.",
        ],
    )


def _in_int8() -> dict[str, tuple[str, dict[str, Any]]]:
    """The shipped bundles once more, by the weights in int8 that they may hold."""
    from ecoscale import Classifier

    if "precision" not in inspect.signature(Classifier.load).parameters:
        return {}
    return {
        f"{name} in int8, Classifier": ("ecoscale", {"open": "bundle", "bundle": name, "precision": "int8"})
        for name in ("six-findings", "statements")
    }


def prepare_environments() -> dict[str, str]:
    """Make all of them; the reasons of those that cannot be made."""
    failed = {}
    names = (*OURS, *THEIRS)
    with progress_bar("environments", len(names)) as done:
        for name in names:
            try:
                prepare_environment(name)
            except (subprocess.CalledProcessError, OSError) as error:
                said = (getattr(error, "stderr", None) or str(error)).strip().splitlines()
                failed[name] = f"cannot be installed: {said[-1]}"
            done(name)
    return failed


def package_rows(failed: Mapping[str, str], imports: int) -> list[dict[str, Any]]:
    """Size and import time of every environment."""
    names = [name for name in (*OURS, *THEIRS) if name not in failed]
    times: dict[str, list[float]] = {name: [] for name in names}
    reasons = {name: f"{name}: {reason}" for name, reason in failed.items()}
    with progress_bar("imports", len(names) * (imports + 1)) as done:
        for number in range(imports + 1):
            for name in names:
                if name not in reasons:
                    try:
                        took = _import_seconds(name)
                    except subprocess.CalledProcessError as error:
                        reasons[name] = f"cannot be imported: {error.stderr.strip().splitlines()[-1]}"
                    else:
                        times[name] += [took] if number else []  # the first one fills the page cache
                done(name)
    rows = []
    for name in (*OURS, *THEIRS):
        row: dict[str, Any] = {"kind": "package", "name": name, "statement": IMPORTS[name]}
        if name not in failed:
            row |= {key: significant(value) for key, value in asdict(installed_size(name)).items()}
        if name in reasons:
            row["skipped"] = reasons[name]
        else:
            row |= {f"import_{key}": value for key, value in Timing((tuple(times[name]),)).to_dict().items()}
        rows.append(row)
    return rows


def _import_seconds(name: str) -> float:
    code = f"import time; start = time.perf_counter(); {IMPORTS[name]}; print(time.perf_counter() - start)"
    command = [python_of(name), "-W", "ignore", "-c", code]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    return float(done.stdout.split()[-1])


def _signals(records: Path | None, rate: float, window: int) -> tuple[NDArray[np.float32], str]:
    """A batch of prepared recordings `(BATCH, 12, window)`, and what they are."""
    from itertools import islice

    from ecoscale import Preparation, find_recordings
    from ecoscale.datasets.synthetic import synthetic_collection

    preparation = Preparation(rate=rate, window=window)
    if records is None:
        ecgs = [made.ecg for made in synthetic_collection(BATCH)]
    else:
        ecgs = [recording.read() for recording in islice(find_recordings([records]), BATCH)]
    windows = np.stack([preparation.windows(ecg)[0] for ecg in ecgs])
    if len(windows) < BATCH:
        raise typer.BadParameter(f"{records}: {len(windows)} recordings; expected at least {BATCH}")
    lengths = sorted({f"{ecg.duration:.3g} s at {ecg.rate:g} Hz" for ecg in ecgs})
    return windows, f"{'synthetic' if records is None else 'real'}, {', '.join(lengths)}"


def _export(signals: NDArray[np.float32], path: Path) -> dict[str, Any]:
    """Base EcoScale-Net, exported as a bundle's network is; the worker's task."""
    from ecoscale.complexity import measure_complexity
    from ecoscale.export import export_onnx
    from ecoscale.models import create_model

    network = create_model("ecoscalenet", signals.shape[1], 6).eval()
    path.write_bytes(export_onnx(network, signals).onnx)
    cost = measure_complexity(network, *signals.shape[1:])
    return {"open": "session", "path": str(path), "weights": "random", "parameters": cost.parameters, "macs": cost.macs}


def network_rows(
    shape: str,
    base: str,
    tasks: Mapping[str, tuple[Path, Mapping[str, Any]]],
    skipped: dict[str, str],
    source: Path,
    threads: list[int],
    rates: Mapping[int, float],
    rounds: int,
    seconds: float,
) -> list[dict[str, Any]]:
    """Rows of all networks on one input: batch 1 and a batch, by threads."""
    about, memory = {}, {}
    with progress_bar(f"{shape}, memory", len(tasks)) as done:
        for name, (python, task) in tasks.items():
            try:
                about[name], memory[name] = _alone(python, task, source)
            except PeerError as error:
                skipped[name] = str(error)
            done(name)
    ready = {name: task for name, task in tasks.items() if name not in skipped}
    rows: list[dict[str, Any]] = []
    with open_peers(ready, source) as (peers, reasons):
        skipped |= reasons
        for number in threads:
            for which in ("single", "several"):
                batches = {name: 1 if which == "single" else memory[name]["batch"] for name in peers}
                if which == "several":  # one so slow that its batch is one record has had its turns
                    batches = {name: batch for name, batch in batches.items() if batch > 1 or name == base}
                with progress_bar(f"{shape}, {number} thread(s)", rounds * len(batches)) as done:
                    times = measure_in_turn(
                        peers, batches, threads=number, rounds=rounds, seconds=seconds, progress=done
                    )
                per_record = {name: timing.divided(batches[name]) for name, timing in times.items()}
                for name, timing in times.items():
                    batch = batches[name]
                    compared = per_record[name].to_dict(per_record[base])
                    rows.append(
                        {"kind": "network", "input": shape, "name": name, "threads": number, "batch": batch}
                        | timing.to_dict()
                        | {key: compared[key] for key in ("ratio", "ratio_range")}
                        | {
                            "records_per_s": significant(1e3 * batch / timing.median_ms),
                            "floor_ms": significant(about[name]["macs"] * batch / rates[number] / 1e6),
                        }
                        | ({"peak_mb": memory[name][which]} if number == 1 else {})
                        | about[name]
                    )
    rows += [{"kind": "network", "input": shape, "name": name, "skipped": reason} for name, reason in skipped.items()]
    return rows


def _alone(python: Path, task: Mapping[str, Any], source: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """What there is to say of a network, and its peak memory for one record and for its batch, in its own process."""
    peer = Peer(python, task, source)
    try:
        (took,) = peer.ask("turn", batch=1, threads=1, seconds=0)["seconds"]
        single = peer.ask("memory")["peak_mb"]
        batch = BATCH
        while batch > 1 and batch * took > PATIENCE:
            batch //= 2
        if batch > 1:
            peer.ask("turn", batch=batch, threads=1, seconds=0)
        several = peer.ask("memory")["peak_mb"]
        about = peer.ask("describe")
    finally:
        peer.close()
    about = {key: task[key] for key in ("parameters", "macs") if key in task} | about
    return about, {"single": round(single), "several": round(several), "batch": batch}


if __name__ == "__main__":
    typer.run(main)
