"""One network, or one way to read recordings, in a process of its own and in the environment of its package.

    python -m peers.worker TASK INPUT

TASK is JSON that names what to open (`OPEN`), INPUT an `.npy` of signals `(records, leads, samples)`, or a text file
with a path a line for readers. It is told what to do by lines of JSON on standard input, and answers each with one:
`{"do": "turn", "batch": 1, "threads": 1, "seconds": 0.5}` with the seconds of every call, `{"do": "describe"}` with
parameters and MACs, `{"do": "memory"}` with the peak of its memory.
"""

from __future__ import annotations

import itertools
import json
import os
import sys
from dataclasses import dataclass
from fractions import Fraction
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from measurement import peak_memory_mb, time_calls

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    Opened = Callable[[int, int], Callable[[], object]]
    """By batch and threads, the call that is timed."""

CLASSES = ["1dAVb", "RBBB", "LBBB", "SB", "ST", "AF"]
SLOW = 1.0
"""Seconds of a call beyond which none is run first: what it would warm is small beside it."""


@dataclass
class Worker:
    """What was opened: the call to time, and what there is to say of it."""

    call: Opened
    describe: Callable[[], dict[str, Any]]
    latest: float | None = None

    def turn(self, batch: int, threads: int, seconds: float) -> list[float]:
        """Seconds of each call."""
        call = self.call(batch, threads)
        times = time_calls(call, 0, warm=False) if self.latest is None else (self.latest,)
        if self.latest is not None or times[0] < SLOW:
            times = time_calls(call, seconds, warm=times[0] < SLOW)
        self.latest = float(np.median(times))
        return list(times)


def open_torch(make: Callable[[], Any], package: str, signals: NDArray[np.float32]) -> Worker:
    """A network in eager torch, evaluated without gradients."""
    import torch

    network = make().eval()
    whole = torch.from_numpy(signals)

    def call(batch: int, threads: int) -> Callable[[], object]:
        torch.set_num_threads(threads)
        part = whole[:batch]

        def run() -> object:
            with torch.inference_mode():
                return network(part)

        return run

    def describe() -> dict[str, Any]:
        other = make().state_dict()
        differ = any(not torch.equal(value, other[name]) for name, value in network.state_dict().items())
        return {
            "parameters": sum(p.numel() for p in network.parameters()),
            "macs": _macs(network, whole[:1]),
            "weights": "random" if differ else "the same whenever it is made",
            "package": f"{package} {version(package)}",
            "torch": torch.__version__,
        }

    return Worker(call, describe)


def _macs(network: Any, signal: Any) -> int:
    """Multiply-accumulates for one signal: our own count for our networks, torch's flop counter for others."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    if type(network).__module__.startswith("ecoscale."):
        from ecoscale.complexity import measure_complexity

        return measure_complexity(network, *signal.shape[1:]).macs
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        logits = network(signal)
    if logits.shape != (1, len(CLASSES)):
        raise ValueError(f"logits of shape {tuple(logits.shape)}; expected one for each of {len(CLASSES)} classes")
    return counter.get_total_flops() // 2


def open_ecoscale(task: Mapping[str, Any], signals: NDArray[np.float32]) -> Worker:
    """A network of ours in eager torch."""
    from ecoscale.models import create_model

    config = task.get("config", {})
    make = lambda: create_model(task["model"], signals.shape[1], len(CLASSES), **config)  # noqa: E731
    return open_torch(make, "ecoscale", signals)


def open_torch_ecg(task: Mapping[str, Any], signals: NDArray[np.float32]) -> Worker:
    """torch_ecg's classifier with its default configuration, or with another of its backbones."""
    from torch_ecg.cfg import CFG
    from torch_ecg.model_configs import ECG_CRNN_CONFIG
    from torch_ecg.models import ECG_CRNN

    config = CFG(ECG_CRNN_CONFIG)
    if "backbone" in task:
        config.cnn.name = task["backbone"]
    return open_torch(lambda: ECG_CRNN(CLASSES, signals.shape[1], config), "torch_ecg", signals)


def open_braindecode(task: Mapping[str, Any], signals: NDArray[np.float32]) -> Worker:
    """A network of braindecode with its defaults."""
    from braindecode import models

    _, n_leads, n_samples = signals.shape
    options = {"n_chans": n_leads, "n_outputs": len(CLASSES), "n_times": n_samples, "sfreq": task["rate"]}
    return open_torch(lambda: getattr(models, task["model"])(**options), "braindecode", signals)


def open_tsai(task: Mapping[str, Any], signals: NDArray[np.float32]) -> Worker:
    """A network of tsai with its defaults."""
    from importlib import import_module

    network = getattr(import_module(f"tsai.models.{task['model']}"), task["model"])
    _, n_leads, n_samples = signals.shape
    return open_torch(lambda: network(n_leads, len(CLASSES), n_samples), "tsai", signals)


def open_session(task: Mapping[str, Any], signals: NDArray[np.float32]) -> Worker:
    """A network that was exported, in ONNX Runtime."""
    import onnxruntime

    sessions: dict[int, Any] = {}

    def call(batch: int, threads: int) -> Callable[[], object]:
        if threads not in sessions:
            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
            sessions.clear()
            sessions[threads] = onnxruntime.InferenceSession(task["path"], options, providers=["CPUExecutionProvider"])
        feed = {"signal": signals[:batch]}
        return lambda: sessions[threads].run(["logits"], feed)

    return Worker(call, lambda: {"package": f"onnxruntime {version('onnxruntime')}", "weights": task["weights"]})


def open_bundle(task: Mapping[str, Any], signals: NDArray[np.float32]) -> Worker:
    """A shipped bundle, by `Classifier.logits`, in its own precision or in the one that the task names."""
    import ecoscale

    classifiers: dict[int, Any] = {}

    def call(batch: int, threads: int) -> Callable[[], object]:
        if threads not in classifiers:
            classifiers.clear()
            options = {key: task[key] for key in ("precision",) if key in task}
            classifiers[threads] = ecoscale.Classifier.load(task["bundle"], threads=threads, **options)
        part = signals[:batch]
        return lambda: classifiers[threads].logits(part)

    def describe() -> dict[str, Any]:
        network = ecoscale.Bundle.load(task["bundle"]).manifest.network
        return {
            "parameters": network["parameters"],
            "macs": network["macs"],
            "weights": "trained",
            "package": f"ecoscale {version('ecoscale')}",
        }

    return Worker(call, describe)


RATE, WINDOW, CORNER = 100, 1000, 0.5
"""What readers prepare a recording for: Hz, samples, and the corner of a zero-phase high-pass of second order in Hz."""


def read_by_ecoscale() -> Callable[[str], NDArray[np.float32]]:
    """`read_ecg` and `Preparation`."""
    from ecoscale import Preparation, read_ecg

    preparation = Preparation(rate=RATE, window=WINDOW, highpass=CORNER)
    return lambda path: preparation.windows(read_ecg(path))[0]


def read_by_hand() -> Callable[[str], NDArray[np.float32]]:
    """By wfdb and scipy: what one writes who has neither."""
    import wfdb
    from scipy.signal import butter, resample_poly, sosfiltfilt

    sections = butter(2, CORNER, "highpass", fs=RATE, output="sos")

    def read(path: str) -> NDArray[np.float32]:
        record = wfdb.rdrecord(path.removesuffix(".hea"))
        assert record.p_signal is not None
        ratio = Fraction(RATE / record.fs).limit_denominator(1000)
        signal = resample_poly(record.p_signal.T, ratio.numerator, ratio.denominator, axis=1)
        return _fit(sosfiltfilt(sections, signal, axis=1))

    return read


def read_by_torch_ecg() -> Callable[[str], NDArray[np.float32]]:
    """By wfdb and torch_ecg's preprocessors: its readers are of collections that it knows, not of a file."""
    import wfdb
    from torch_ecg._preprocessors import PreprocManager
    from torch_ecg.cfg import CFG

    bandpass = {"lowcut": CORNER, "highcut": None, "filter_type": "butter", "filter_order": 2}
    manager = PreprocManager.from_config(CFG(random=False, resample={"fs": RATE}, bandpass=bandpass))

    def read(path: str) -> NDArray[np.float32]:
        record = wfdb.rdrecord(path.removesuffix(".hea"))
        assert record.p_signal is not None
        return _fit(manager(record.p_signal.T, int(record.fs))[0])

    return read


def _fit(signal: NDArray[np.floating]) -> NDArray[np.float32]:
    """Cut to the window, or padded with zeros."""
    out = np.zeros((len(signal), WINDOW), dtype=np.float32)
    out[:, : signal.shape[1]] = signal[:, :WINDOW]
    return out


READERS = {"ecoscale": read_by_ecoscale, "by hand": read_by_hand, "torch_ecg": read_by_torch_ecg}


def open_reader(task: Mapping[str, Any], paths: list[str]) -> Worker:
    """A way to read recordings: a call reads and prepares `batch` of them, the next ones each time."""
    from threadpoolctl import threadpool_limits

    read = READERS[task["reader"]]()
    turning = itertools.cycle(paths)

    def call(batch: int, threads: int) -> Callable[[], object]:
        threadpool_limits(threads)
        return lambda: [read(path) for path in itertools.islice(turning, batch)]

    def describe() -> dict[str, Any]:
        return {"signals": np.stack([read(path) for path in paths[:8]]).astype(float).round(4).tolist()}

    return Worker(call, describe)


OPEN: dict[str, Callable[[Mapping[str, Any], Any], Worker]] = {
    "ecoscale": open_ecoscale,
    "torch_ecg": open_torch_ecg,
    "braindecode": open_braindecode,
    "tsai": open_tsai,
    "session": open_session,
    "bundle": open_bundle,
    "reader": open_reader,
}


def main() -> None:
    """Answer until standard input ends."""
    # Packages print as they please: answers have a channel of their own.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def answer(content: Mapping[str, Any]) -> None:
        answers.write(json.dumps(content) + "\n")
        answers.flush()

    task, source = json.loads(sys.argv[1]), Path(sys.argv[2])
    try:
        given = np.load(source) if source.suffix == ".npy" else source.read_text(encoding="utf-8").splitlines()
        worker = OPEN[task["open"]](task, given)
        answer({"pid": os.getpid()})
        for line in sys.stdin:
            match json.loads(line):
                case {"do": "turn", **order}:
                    answer({"seconds": worker.turn(**order)})
                case {"do": "memory"}:
                    answer({"peak_mb": peak_memory_mb()})
                case {"do": "describe"}:
                    answer(worker.describe())
    except Exception as error:  # whatever a package raises is the reason why its row is left out
        answer({"error": f"{type(error).__name__}: {error}"})
        raise


if __name__ == "__main__":
    main()
