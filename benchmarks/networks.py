"""One network in several engines, with the same weights: `python benchmarks/networks.py`.

What the export gains, step by step: eager PyTorch, `torch.compile`, ONNX as torch exports it, ecoscale's (folded,
two-dimensional), the same in 8-bit integers, and in OpenVINO. The networks are EcoScale-Net as published, at 4,096
samples, with random weights, and those of the shipped bundles; their signals are synthetic ECGs, prepared.
"""

from __future__ import annotations

import logging
import warnings
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import torch
import typer
from safetensors.torch import load_file

from ecoscale.bundle import Bundle
from ecoscale.complexity import measure_complexity
from ecoscale.datasets.synthetic import synthetic_collection
from ecoscale.export import Quantiser, export_onnx
from ecoscale.models import create_model
from ecoscale.preparation import Preparation
from ecoscale.runtime import OpenVinoRuntime, open_runtime
from measurement import (
    RESULTS,
    command_line,
    describe_machine,
    limited_threads,
    matmul_rate,
    measure_together,
    n_cores,
    progress_bar,
    significant,
    write_results,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

BATCH = 32
EAGER = "eager PyTorch"
RANGES_FROM = 32
"""Synthetic ECGs that set the ranges of the activations in integers."""


@dataclass(frozen=True)
class Subject:
    """A network to measure, and signals for it `(batch, leads, samples)`."""

    name: str
    network: torch.nn.Module
    signals: NDArray[np.float32]


def main(
    rounds: Annotated[int, typer.Option(min=1, help="Turns of every engine.")] = 5,
    seconds: Annotated[float, typer.Option(min=0, help="Seconds of a turn.")] = 1.0,
    compiled: Annotated[bool, typer.Option(help="Also torch.compile (needs a C++ compiler).")] = True,
    only: Annotated[str | None, typer.Option(help="Networks whose name contains this.")] = None,
    out: Annotated[Path, typer.Option(help="The figures as JSON.")] = RESULTS / "networks.json",
) -> None:
    """Measure, and write the figures."""
    machine = describe_machine()
    threads = sorted({1, min(2, n_cores())})
    rates = {number: matmul_rate(number) for number in threads}
    rows, notes = [], ["Signals are synthetic ECGs; the weights of EcoScale-Net as published are random: speed only."]
    for subject in subjects():
        if only is None or only in subject.name:
            found, differences = measure(subject, threads, rates, rounds, seconds, compiled)
            rows += found
            worst = ", ".join(f"{name} {value:.1e}" for name, value in differences.items() if name != EAGER)
            notes.append(f"{subject.name}: largest difference of a logit from eager PyTorch's: {worst}.")
    write_results(out, command=command_line(), rows=rows, matmul_gmacs=rates, machine=machine, notes=notes)


def subjects() -> list[Subject]:
    """The networks."""
    torch.manual_seed(0)
    published = Preparation(rate=400, window=4096, highpass=None)
    found = [Subject("EcoScale-Net, 4,096 samples", create_model("ecoscalenet", 12, 6), synthetic(published))]
    for name in ("six-findings", "six-findings-small"):
        bundle = Bundle.load(name)
        manifest = bundle.manifest
        network = create_model(manifest.network["model"], 12, len(manifest.labels), **manifest.network["config"])
        network.load_state_dict(load_file(bundle.weights))
        found.append(Subject(f"{name}, 1,000 samples", network, synthetic(manifest.preparation)))
    return found


def synthetic(preparation: Preparation) -> NDArray[np.float32]:
    """Prepared windows of a batch of synthetic ECGs."""
    return np.concatenate([preparation.windows(made.ecg)[:1] for made in synthetic_collection(BATCH, seed=0)])


def measure(
    subject: Subject, threads: list[int], rates: dict[int, float], rounds: int, seconds: float, compiled: bool
) -> tuple[list[dict[str, Any]], dict[str, float]]:
    """Rows of every engine, batch and number of threads; and each engine's largest difference from eager logits."""
    network, signals = subject.network.eval(), subject.signals
    macs = measure_complexity(network, *signals.shape[1:]).macs
    rows: list[dict[str, Any]] = []
    differences: dict[str, float] = {}
    with TemporaryDirectory() as scratch:
        files = export(network, signals, Path(scratch))
        for number in threads:
            with limited_threads(number):
                engines = engines_of(network, files, number, compiled)
                for name, run in engines.items():
                    differences[name] = float(np.abs(run(signals) - engines[EAGER](signals)).max())
                for batch in (1, BATCH):
                    part = signals[:batch]
                    calls = {name: (lambda run=run, part=part: run(part)) for name, run in engines.items()}
                    said = f"{subject.name}, batch {batch}, {number} thread(s)"
                    with progress_bar(said, rounds * len(calls)) as done:
                        times = measure_together(calls, rounds=rounds, seconds=seconds, progress=done)
                    floor = 1e3 * batch * macs / 1e9 / rates[number]
                    for name, timing in times.items():
                        row = {"network": subject.name, "name": name, "threads": number, "batch": batch}
                        row |= timing.to_dict(times[EAGER])
                        row |= {"floor_ms": significant(floor), "of_floor": significant(floor / timing.median_ms)}
                        rows.append(row)
    return rows, differences


def export(network: torch.nn.Module, signals: NDArray[np.float32], folder: Path) -> dict[str, Path]:
    """The network in files: as torch exports it, as ecoscale does, and in integers."""
    content = export_onnx(network, signals[:2]).onnx
    files = {name: folder / f"{name}.onnx" for name in ("plain", "fp32", "int8")}
    files["fp32"].write_bytes(content)
    files["int8"].write_bytes(Quantiser(content, signals[:RANGES_FROM]).quantise())
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network,
            (torch.from_numpy(signals[:2]),),
            files["plain"],
            dynamo=True,
            external_data=False,
            input_names=["signal"],
            output_names=["logits"],
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            opset_version=18,
            verbose=False,
        )
    return files


def engines_of(
    network: torch.nn.Module, files: dict[str, Path], threads: int, compiled: bool
) -> dict[str, Callable[[NDArray[np.float32]], NDArray[np.float32]]]:
    """Each engine as a function of windows, on so many threads."""
    import onnxruntime

    def eager(windows: NDArray[np.float32], called: Callable[..., torch.Tensor] = network) -> NDArray[np.float32]:
        with torch.inference_mode():
            return called(torch.from_numpy(windows)).numpy()

    engines = {EAGER: eager}
    if compiled:
        fast = torch.compile(network, dynamic=False)
        engines["torch.compile"] = lambda windows: eager(windows, fast)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    plain = onnxruntime.InferenceSession(str(files["plain"]), options, providers=["CPUExecutionProvider"])
    engines["ONNX Runtime, torch's export"] = lambda windows: np.asarray(plain.run(None, {"signal": windows})[0])
    engines["ONNX Runtime, ecoscale's export"] = open_runtime(files["fp32"], "fp32", threads).logits
    engines["ONNX Runtime, int8"] = open_runtime(files["int8"], "int8", threads).logits
    with suppress(ImportError):
        engines["OpenVINO, bf16"] = OpenVinoRuntime(files["fp32"], threads).logits
    return engines


if __name__ == "__main__":
    typer.run(main)
