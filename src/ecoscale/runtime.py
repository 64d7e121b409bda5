"""What computes a bundle's network: ONNX Runtime in float or 8-bit integers, or OpenVINO in bfloat16.

A call takes prepared windows and gives logits. Several windows are computed in parts side by side, each on one thread,
which on a CPU beats one large batch on all threads: a part's activations stay in the core's cache. One window is
computed by all threads together.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np

from ecoscale.errors import BundleError, MissingExtraError
from ecoscale.workers import available_cores

if TYPE_CHECKING:
    from pathlib import Path

    import onnxruntime
    from numpy.typing import NDArray

Precision = Literal["fp32", "int8", "bf16"]
WINDOWS_TOGETHER = 8
"""Windows in one pass on one thread: more do not fit a core's cache, fewer pay the runtime's overhead more often."""


class Runtime(Protocol):
    """A network that is ready to run."""

    @property
    def name(self) -> str:
        """What computes it, in words."""
        ...

    @property
    def precision(self) -> Precision:
        """The numbers that it computes with."""
        ...

    def logits(self, windows: NDArray[np.float32]) -> NDArray[np.float32]:
        """`(batch, findings)` for prepared windows `(batch, channels, samples)`."""
        ...


def open_runtime(path: Path, precision: Precision, threads: int | None = None) -> Runtime:
    """A network on `threads` processor threads (None: all): OpenVINO for bf16, ONNX Runtime for the others.

    Raises `BundleError` if the runtime cannot load it, and `MissingExtraError` for bf16 without OpenVINO.
    """
    threads = threads or available_cores()
    return OpenVinoRuntime(path, threads) if precision == "bf16" else OnnxRuntime(path, precision, threads)


class OnnxRuntime:
    """A network in ONNX Runtime."""

    def __init__(self, path: Path, precision: Precision, threads: int) -> None:
        self.precision: Precision = precision
        self._path, self._threads = path, threads
        # Loaded now, so that what is wrong with it is known now.
        self._together = self._session(threads)

    @property
    def name(self) -> str:
        """What computes it, in words."""
        import onnxruntime

        return f"ONNX Runtime {onnxruntime.__version__}, {self.precision}"

    def logits(self, windows: NDArray[np.float32]) -> NDArray[np.float32]:
        """`(batch, findings)` for prepared windows `(batch, channels, samples)`."""
        if self._threads == 1 or len(windows) == 1:
            return np.concatenate([_run(self._together, part) for part in _parts(windows, 1)])
        return np.concatenate(list(self._pool.map(self._run_beside, _parts(windows, self._threads))))

    def _run_beside(self, part: NDArray[np.float32]) -> NDArray[np.float32]:
        return _run(self._beside, part)

    @cached_property
    def _beside(self) -> onnxruntime.InferenceSession:
        """A session of one thread, which several threads run at the same time."""
        return self._session(1)

    @cached_property
    def _pool(self) -> ThreadPoolExecutor:
        _ = self._beside  # before threads ask for it
        return ThreadPoolExecutor(self._threads, "ecoscale-inference")

    def _session(self, threads: int) -> onnxruntime.InferenceSession:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        # Threads that wait would else spin, and take the time of those that read the next records.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3
        try:
            return onnxruntime.InferenceSession(str(self._path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's exceptions share no parent but Exception
            raise BundleError(f"{self._path}: onnxruntime cannot load it ({error})") from error


class OpenVinoRuntime:
    """A network in OpenVINO, its products in bfloat16 where the processor has such, in float32 where not."""

    precision: Precision = "bf16"

    def __init__(self, path: Path, threads: int) -> None:
        try:
            import openvino
        except ModuleNotFoundError as error:
            raise MissingExtraError("bf16 by OpenVINO", "openvino", "openvino") from error
        options = {
            "INFERENCE_PRECISION_HINT": "bf16",
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": threads,
        }
        self._version = openvino.__version__.partition("-")[0]
        try:
            self._network = openvino.Core().compile_model(str(path), "CPU", options)
        except RuntimeError as error:
            raise BundleError(f"{path}: OpenVINO cannot load it ({error})") from error

    @property
    def name(self) -> str:
        """What computes it, in words."""
        return f"OpenVINO {self._version}, {self._network.get_property('INFERENCE_PRECISION_HINT').to_string()}"

    def logits(self, windows: NDArray[np.float32]) -> NDArray[np.float32]:
        """`(batch, findings)` for prepared windows `(batch, channels, samples)`."""
        return np.concatenate([self._network(part)["logits"] for part in _parts(windows, 1)])


def _run(session: onnxruntime.InferenceSession, part: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(session.run(["logits"], {"signal": part})[0])


def _parts(windows: NDArray[np.float32], threads: int) -> list[NDArray[np.float32]]:
    """Windows in parts of at most `WINDOWS_TOGETHER`: as many parts for each thread, of the same size but for the last.

    24 windows for two threads are four parts of six: of three parts of eight, one thread would do the last alone.
    """
    turns = max(1, -(-len(windows) // (WINDOWS_TOGETHER * threads)))
    each = max(1, -(-len(windows) // (turns * threads)))
    return [windows[first : first + each] for first in range(0, max(len(windows), 1), each)]
