"""What the benchmarks share: times taken in turn, the rate of a matrix product, the machine, and the results' file.

Times of different things are comparable only if they were taken in one run on one machine, so all that stands in one
table is measured together: every candidate has its turn in every round, and a machine that slows down slows all.

A results file is JSON: `command`, `date`, `machine`, `matmul_gmacs` (by threads: what one matrix product reaches, 1e9
multiply-accumulates a second), `rows` and `notes`. A row of times has `name`, `threads`, `batch`, `median_ms`, `iqr_ms`
and, where they mean something, `ratio` (how many times as fast as the row it is compared with) and `floor_ms` (its MACs
over the rate of the matrix product). A row that could not be measured has `name` and `skipped`, the reason.
"""

from __future__ import annotations

import json
import os
import platform
import shlex
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

RESULTS = Path(__file__).parent / "results"

PACKAGES = ("ecoscale", "numpy", "scipy", "onnxruntime", "openvino", "torch", "wfdb")
"""Packages whose versions the results state."""

FEATURES = (
    "avx2",
    "fma",
    "avx512f",
    "avx512_vnni",
    "avx_vnni",
    "avx512_bf16",
    "amx_bf16",
    "amx_int8",
    "asimddp",
    "i8mm",
)
"""What a processor can have that decides which kernels run, as Linux calls it."""

MATMUL_SIZES = (512, 1024, 1536)
"""Sides of the square matrices that are multiplied."""


@dataclass(frozen=True)
class Timing:
    """Seconds of every call of one candidate, by rounds."""

    rounds: tuple[tuple[float, ...], ...]

    @property
    def seconds(self) -> NDArray[np.float64]:
        """Every call, in turn."""
        return np.concatenate([np.asarray(calls) for calls in self.rounds])

    @property
    def median_ms(self) -> float:
        """Median of all calls, ms."""
        return 1e3 * float(np.median(self.seconds))

    @property
    def iqr_ms(self) -> tuple[float, float]:
        """First and third quartile of all calls, ms."""
        low, high = np.quantile(self.seconds, (0.25, 0.75))
        return 1e3 * float(low), 1e3 * float(high)

    def divided(self, number: float) -> Timing:
        """Of a call that does a number of things, the time of one of them."""
        return Timing(tuple(tuple(second / number for second in calls) for calls in self.rounds))

    def ratio_to(self, base: Timing) -> float:
        """How many times as fast as `base`: the median, over the rounds of both, of the ratios of their medians.

        Both must have been measured together; a slow one may have taken part in the first rounds only.
        """
        return float(np.median(self._ratios(base)))

    def ratio_range(self, base: Timing) -> tuple[float, float]:
        """Smallest and largest of the ratios of which `ratio_to` is the median."""
        ratios = self._ratios(base)
        return min(ratios), max(ratios)

    def _ratios(self, base: Timing) -> list[float]:
        return [
            float(np.median(theirs) / np.median(ours)) for ours, theirs in zip(self.rounds, base.rounds, strict=False)
        ]

    def to_dict(self, base: Timing | None = None) -> dict[str, Any]:
        """`median_ms`, `iqr_ms`, `calls`, and `ratio` and `ratio_range` to `base`, for a row of results."""
        row: dict[str, Any] = {
            "median_ms": significant(self.median_ms),
            "iqr_ms": [significant(value) for value in self.iqr_ms],
            "calls": len(self.seconds),
        }
        if base is not None:
            row["ratio"] = significant(self.ratio_to(base))
            row["ratio_range"] = [significant(value) for value in self.ratio_range(base)]
        return row


def measure_together(
    candidates: Mapping[str, Callable[[], object]],
    *,
    rounds: int = 5,
    seconds: float = 1.0,
    warm: bool = True,
    progress: Callable[[str], object] | None = None,
) -> dict[str, Timing]:
    """Time every candidate in every round, one after the other: A B C, A B C.

    A turn is one call that does not count, which warms caches and buffers (unless not `warm`), and then calls for
    `seconds`, at least one.
    `progress` is told of each turn, by the candidate's name, when it ends.
    """
    if rounds < 1:
        raise ValueError(f"rounds is {rounds}; expected at least 1")
    found: dict[str, list[tuple[float, ...]]] = {name: [] for name in candidates}
    for _ in range(rounds):
        for name, call in candidates.items():
            found[name].append(time_calls(call, seconds, warm=warm))
            if progress is not None:
                progress(name)
    return {name: Timing(tuple(turns)) for name, turns in found.items()}


def time_calls(call: Callable[[], object], seconds: float, *, warm: bool = True) -> tuple[float, ...]:
    """Seconds of each call, for `seconds` and at least once, after one that does not count (unless not `warm`)."""
    if warm:
        call()
    times: list[float] = []
    while not times or sum(times) < seconds:
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return tuple(times)


@dataclass(frozen=True)
class ProcessCost:
    """What a command took: wall-clock seconds from start to end, and the peak of its resident memory in MB."""

    seconds: float
    peak_mb: float


_LAUNCHER = """
import json, resource, subprocess, sys, time
start = time.perf_counter()
status = subprocess.run(sys.argv[1:], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL).returncode
seconds = time.perf_counter() - start
print(json.dumps([status, seconds, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss]))
"""


def run_process(command: Sequence[str | Path], environment: Mapping[str, str] | None = None) -> ProcessCost:
    """Run a command in a new process, its output thrown away. Raises `RuntimeError` with its last words if it fails.

    A small process starts it and reads its peak, since Linux counts the memory of the process that forks as the
    child's own.
    """
    launched = subprocess.run(
        [sys.executable, "-S", "-c", _LAUNCHER, *map(str, command)],
        capture_output=True,
        text=True,
        env=None if environment is None else {**os.environ, **environment},
        check=True,
    )
    status, seconds, peak = json.loads(launched.stdout)
    if status:
        last = launched.stderr.strip().splitlines()[-3:]
        raise RuntimeError(f"{' '.join(map(str, command))}: exit status {status}; {' '.join(last)}")
    return ProcessCost(seconds, peak * (1 if sys.platform == "darwin" else 1024) / 1e6)


def peak_memory_mb() -> float:
    """Peak of this process's resident memory so far, MB."""
    about = Path("/proc/self/status")
    if about.exists():
        (line,) = (line for line in about.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024 / 1e6
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


@contextmanager
def limited_threads(threads: int) -> Iterator[None]:
    """So many threads for numpy's, scipy's and torch's arithmetic. Sessions of ONNX Runtime have their own options."""
    from threadpoolctl import threadpool_limits

    torch = _torch()
    before = None if torch is None else torch.get_num_threads()
    with threadpool_limits(threads):
        if torch is not None:
            torch.set_num_threads(threads)
        try:
            yield
        finally:
            if torch is not None:
                torch.set_num_threads(before)


def matmul_rate(threads: int, *, seconds: float = 0.3) -> float:
    """The arithmetic that this machine reaches: GMAC/s of the fastest float32 matrix product (`matmul_rates`)."""
    return max(matmul_rates(threads, seconds=seconds).values())


def matmul_rates(threads: int, *, seconds: float = 0.3, sizes: Sequence[int] = MATMUL_SIZES) -> dict[str, float]:
    """GMAC/s of square float32 matrix products by numpy, ONNX Runtime and torch, whichever is here, best size of each.

    Each library and size has a turn of `seconds`; the fastest call counts, as a floor should.
    """
    random = np.random.default_rng(0)
    rates: dict[str, float] = {}
    with limited_threads(threads):
        for size in sizes:
            left, right = (random.standard_normal((size, size), dtype=np.float32) for _ in range(2))
            for library, multiply in _products(left, right, threads).items():
                rate = size**3 / min(time_calls(multiply, seconds)) / 1e9
                rates[library] = max(rate, rates.get(library, 0.0))
    return rates


def _products(left: NDArray[np.float32], right: NDArray[np.float32], threads: int) -> dict[str, Callable[[], object]]:
    """The product of two matrices by each library."""
    out = np.empty_like(left)
    products: dict[str, Callable[[], object]] = {"numpy": lambda: np.matmul(left, right, out=out)}
    if (session := _matmul_session(len(left), threads)) is not None:
        products["onnxruntime"] = lambda: session.run(None, {"left": left, "right": right})
    if (torch := _torch()) is not None:
        ours, theirs = torch.from_numpy(left), torch.from_numpy(right)
        products["torch"] = lambda: torch.mm(ours, theirs)
    return products


def _matmul_session(size: int, threads: int) -> Any:
    """A session of ONNX Runtime that multiplies two matrices; None without onnx, which writes its network."""
    try:
        import onnxruntime
        from onnx import TensorProto, helper
    except ImportError:
        return None
    sides = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [size, size]) for name in ("left", "right", "out")]
    graph = helper.make_graph([helper.make_node("MatMul", ["left", "right"], ["out"])], "product", sides[:2], sides[2:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def _torch() -> Any:
    try:
        import torch
    except ImportError:
        return None
    return torch


@contextmanager
def progress_bar(description: str, total: int) -> Iterator[Callable[[str], None]]:
    """A bar on standard error of `total` turns; what it gives is told the name of each when it ends."""
    from rich import progress
    from rich.console import Console

    columns = (
        progress.TextColumn("{task.description}", markup=False),
        progress.BarColumn(),
        progress.MofNCompleteColumn(),
        progress.TimeElapsedColumn(),
        progress.TimeRemainingColumn(),
    )
    with progress.Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(description, total=total)
        yield lambda name: bar.update(task, advance=1, description=f"{description}: {name}")


def describe_machine() -> dict[str, Any]:
    """Processor, cores that this process may use, what they can do, memory, load, and versions, as JSON values.

    `load` is how many processes ran or waited in the minute before: far above zero, others ran beside.
    """
    import psutil

    return {
        "processor": _processor(),
        "cores": n_cores(),
        "features": _features(),
        "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
        "load": round(psutil.getloadavg()[0], 2),
        "system": f"{platform.system()} {platform.machine()}",
        "versions": {"python": platform.python_version()} | _versions(),
    }


def n_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _about(field: str) -> str:
    """A field of the first processor in Linux's list; empty elsewhere."""
    about = Path("/proc/cpuinfo")
    lines = about.read_text().splitlines() if about.exists() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(field)), "")


def _processor() -> str:
    return _about("model name") or platform.processor() or platform.machine()


def _features() -> list[str]:
    known = set((_about("flags") or _about("Features")).split())
    return [feature for feature in FEATURES if feature in known]


def _versions() -> dict[str, str]:
    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def significant(value: float, digits: int = 4) -> float:
    """A number to so many significant digits, for files that people read."""
    return float(f"{value:.{digits}g}")


def command_line() -> str:
    """What was typed to run this script, folders left unnamed."""
    script, *words = sys.argv
    hidden = ["FOLDER" if Path(word).is_absolute() or Path(word).exists() else word for word in words]
    return shlex.join(["python", f"benchmarks/{Path(script).name}", *hidden])


def write_results(
    path: Path,
    *,
    command: str,
    rows: Sequence[Mapping[str, Any]],
    matmul_gmacs: Mapping[int, float],
    machine: Mapping[str, Any] | None = None,
    notes: Sequence[str] = (),
) -> dict[str, Any]:
    """Write a results file, and return what it says.

    `command` is what a reader runs to have the same, with names in place of this machine's folders; `machine` is what
    `describe_machine` said before the measuring began.
    """
    results = {
        "command": command,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": dict(machine or describe_machine()),
        "matmul_gmacs": {str(threads): significant(rate) for threads, rate in matmul_gmacs.items()},
        "rows": [dict(row) for row in rows],
        "notes": list(notes),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    return results


def read_results(path: Path) -> dict[str, Any]:
    """What `write_results` wrote."""
    return json.loads(path.read_text(encoding="utf-8"))
