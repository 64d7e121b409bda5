"""`worker.py` in the environment of a package, and how turns are taken among several."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Any

from measurement import Timing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

SLOW = 5.0
"""Seconds of one call."""
BENCHMARKS = Path(__file__).parents[1]


class PeerError(RuntimeError):
    """A package that cannot be installed, imported or run, and why."""


class Peer:
    """A worker that opened something; `close` ends it. Raises `PeerError` where it does not open."""

    def __init__(self, python: Path, task: Mapping[str, Any], source: Path) -> None:
        if not python.exists():
            raise PeerError("its environment is not here; make bench-peers makes it")
        self._errors = TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115 - closed by close()
        # Beside this process's own interpreter, an environment sees nothing but itself and the benchmarks.
        path = [str(BENCHMARKS)] + [os.environ.get("PYTHONPATH", "")] * (python == Path(sys.executable))
        self._process = subprocess.Popen(
            [python, "-W", "ignore", "-m", "peers.worker", json.dumps(task), source],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(path)},
        )
        try:
            self._read()
        except PeerError:
            self.close()
            raise

    def ask(self, do: str, **order: Any) -> dict[str, Any]:
        """Give an order and wait for its answer. Raises `PeerError` with what the package raised."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps({"do": do, **order}) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # its last words are read below
        return self._read()

    def close(self) -> None:
        """End the worker."""
        self._process.kill()
        self._process.communicate()
        self._errors.close()

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self._errors.seek(0)
            said = self._errors.read().strip().splitlines()
            raise PeerError(f"ended with status {self._process.wait()}; {said[-1] if said else 'it said nothing'}")
        answer = json.loads(line)
        if "error" in answer:
            raise PeerError(answer["error"])
        return answer


@contextmanager
def open_peers(
    tasks: Mapping[str, tuple[Path, Mapping[str, Any]]], source: Path
) -> Iterator[tuple[dict[str, Peer], dict[str, str]]]:
    """Workers by name, for `(interpreter, task)` by name; and the reasons of those that do not open."""
    opened: dict[str, Peer] = {}
    reasons: dict[str, str] = {}
    with ExitStack() as stack:
        for name, (python, task) in tasks.items():
            try:
                opened[name] = Peer(python, task, source)
                stack.callback(opened[name].close)
            except PeerError as error:
                reasons[name] = str(error)
        yield opened, reasons


def measure_in_turn(
    peers: Mapping[str, Peer],
    batches: Mapping[str, int],
    *,
    threads: int,
    rounds: int,
    seconds: float,
    progress: Callable[[str], object] | None = None,
) -> dict[str, Timing]:
    """As `measurement.measure_together`, each in its process: A B C, A B C.

    One whose call takes longer than `SLOW` takes part in the first round only.
    """
    found: dict[str, list[tuple[float, ...]]] = {name: [] for name in batches}
    for number in range(rounds):
        for name, batch in batches.items():
            if number and found[name][0][0] > SLOW:
                continue
            answer = peers[name].ask("turn", batch=batch, threads=threads, seconds=seconds)
            found[name].append(tuple(answer["seconds"]))
            if progress is not None:
                progress(name)
    return {name: Timing(tuple(turns)) for name, turns in found.items()}
