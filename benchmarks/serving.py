"""The service under load: `python benchmarks/serving.py`.

A real process of `ecoscale serve`, and clients that send the files of real or synthetic records over kept connections,
each the next as soon as it has the answer to the last. In the same run, in turn: the network alone, and
`Classifier.classify` on the same files. The clients run on the same cores; what they take is told beside it.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import selectors
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import psutil
import typer

from ecoscale.formats import Recording
from ecoscale.inference import Classifier
from ecoscale.reading import prepare_signal
from measurement import RESULTS, command_line, describe_machine, matmul_rate, n_cores, significant, write_results
from path import recording_paths, write_synthetic

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

BATCH = 32
_LENGTH = re.compile(rb"content-length: (\d+)", re.IGNORECASE)


def main(
    records: Annotated[
        Path | None,
        typer.Option(help="Folder of 12-lead WFDB records; synthetic ones (10 s, 500 Hz) without it.", file_okay=False),
    ] = None,
    bundle: Annotated[str | None, typer.Option(help="The bundle.", show_default="the bundle in the package")] = None,
    precision: Annotated[str | None, typer.Option(help="fp32 or int8.", show_default="the bundle's")] = None,
    published: Annotated[
        bool, typer.Option("--published", help="EcoScale-Net as published (random weights, fp32) for the bundle.")
    ] = False,
    n: Annotated[int, typer.Option(min=1, help="Records that are sent, again and again.")] = 500,
    clients: Annotated[int, typer.Option(min=1, help="Connections.")] = 32,
    seconds: Annotated[float, typer.Option(min=1, help="Of load, in each turn.")] = 60.0,
    rounds: Annotated[int, typer.Option(min=1, help="Turns of each.")] = 1,
    requests: Annotated[int, typer.Option(min=0, help="Then send so many more, and tell the memory.")] = 20_000,
    workers: Annotated[int, typer.Option(min=1, help="Processes of the service.")] = 1,
    option: Annotated[list[str] | None, typer.Option(help="Further words for ecoscale serve; repeatable.")] = None,
    out: Annotated[Path | None, typer.Option(help="The figures as JSON.")] = RESULTS / "serving.json",
) -> None:
    """Measure, print, and write the figures."""
    machine = describe_machine()
    scratch = TemporaryDirectory()
    if published:
        bundle = str(write_published(Path(scratch.name) / "published"))
    words = [
        *(option or []),
        *(["--bundle", bundle] if bundle else []),
        *(["--precision", precision] if precision else []),
    ]
    with scratch:
        paths = recording_paths(records or write_synthetic(Path(scratch.name) / "synthetic", n), n)
        classifier = Classifier.load(bundle, threads=n_cores(), precision=precision)  # pyright: ignore[reportArgumentType]
        bodies = [as_request(path) for path in paths]
        turns: list[dict[str, Any]] = []
        with served(words, workers) as (process, address):
            for _ in range(rounds):
                turn = {"network": network_rate(classifier, paths), "classify": classify_rate(classifier, paths)}
                load = under_load(address, bodies, clients, process, seconds=seconds)
                turns.append(turn | {"classify after": classify_rate(classifier, paths), "serve": load.to_dict()})
                typer.echo(json.dumps(turns[-1]))
            memory = memory_over(address, bodies, clients, process, requests) if requests else None
    row = summary(turns, clients, n_cores()) | {"name": classifier.title, "workers": workers, "memory": memory}
    typer.echo(json.dumps(row, indent=1))
    if out is not None:
        rates = {number: matmul_rate(number) for number in {1, min(2, n_cores())}}
        kind = "synthetic" if records is None else "real"
        size = sum(map(len, bodies)) // len(bodies)
        notes = [f"{len(paths):,} {kind} recordings, each sent as its WFDB files; {size:,} bytes a request."]
        write_results(out, command=command_line(), rows=[row], matmul_gmacs=rates, machine=machine, notes=notes)


def write_published(folder: Path) -> Path:
    """A bundle of EcoScale-Net as published: 10.5 M parameters, 4,096 samples at 400 Hz; its weights are random."""
    from ecoscale import Preparation, create_model
    from ecoscale.bundle import Label, Manifest, write_bundle
    from ecoscale.export import export_onnx
    from ecoscale.findings import CODE_FINDINGS

    signal = np.random.default_rng(0).normal(size=(2, 12, 4096)).astype(np.float32)
    exported = export_onnx(create_model("ecoscalenet", 12, len(CODE_FINDINGS)), signal)
    manifest = Manifest(
        name="published",
        version="1",
        created="2026-01-01",
        description="EcoScale-Net as published, random weights: speed only",
        labels=tuple(Label(name=one.name, title=one.title, snomed=one.snomed, threshold=0.5) for one in CODE_FINDINGS),
        preparation=Preparation(rate=400, window=4096),
        thresholds_chosen="not at all",
        calibration_chosen="not at all",
        network={},
        provenance={},
        metrics={},
        parity={},
    )
    self_test = {"signal": signal, "logits": exported.logits}
    return write_bundle(folder, manifest, exported.onnx, self_test, "# For speed only\n").path


def as_request(path: Path) -> bytes:
    """The bytes of a request that sends a record's header and signal file."""
    from ecoscale.formats.wfdb_header import parse_header, read_text

    boundary = b"ecoscale-benchmark-boundary"
    names = dict.fromkeys([path.name, *(line.file for line in parse_header(read_text(path), str(path)).signals)])
    parts = [
        b'--%s\r\nContent-Disposition: form-data; name="file"; filename="%s"\r\n'
        b"Content-Type: application/octet-stream\r\n\r\n%s\r\n"
        % (boundary, name.encode(), (path.parent / name).read_bytes())
        for name in names
    ]
    body = b"".join(parts) + b"--%s--\r\n" % boundary
    head = (
        b"POST /v1/predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=%s\r\n"
        b"Content-Length: %d\r\n\r\n" % (boundary, len(body))
    )
    return head + body


@contextmanager
def served(words: Sequence[str], workers: int = 1) -> Iterator[tuple[psutil.Process, tuple[str, int]]]:
    """A service on a free port of this machine, until the block ends."""
    command = [sys.executable, "-m", "ecoscale", "serve", "--port", "0", "--log-format", "json", "--drain", "0"]
    command += ["--workers", str(workers), *words]
    with TemporaryDirectory() as folder, (Path(folder) / "log").open("w+") as log:
        process = subprocess.Popen(command, stderr=log)
        try:
            address = _wait_until_ready(process, Path(folder) / "log", workers)
            yield psutil.Process(process.pid), address
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)


def _wait_until_ready(process: subprocess.Popen, log: Path, workers: int) -> tuple[str, int]:
    for _ in range(600):
        time.sleep(0.1)
        if process.poll() is not None:
            raise RuntimeError(f"the service ended: {log.read_text()}")
        text = log.read_text()
        found = re.search(r'"url": "http://([\d.]+):(\d+)"', text)
        if found and text.count("Application startup complete") == workers:
            time.sleep(1)  # until all of them listen
            return found[1], int(found[2])
    raise RuntimeError("the service does not start")


def network_rate(classifier: Classifier, paths: Sequence[Path]) -> float:
    """Records a second that the network alone computes, prepared before."""
    ecgs = [Recording(path).read() for path in paths]
    windows = np.concatenate([prepare_signal(ecg, classifier.preparation).windows for ecg in ecgs])
    batches = [windows[first : first + BATCH] for first in range(0, len(windows), BATCH)]
    classifier.logits(batches[0])
    began, done = time.perf_counter(), 0
    while time.perf_counter() - began < 3:
        for batch in batches:
            classifier.logits(batch)
        done += len(ecgs)
    return done / (time.perf_counter() - began)


def classify_rate(classifier: Classifier, paths: Sequence[Path]) -> dict[str, float]:
    """Records a second that `Classifier.classify` reads and classifies, and its processor seconds of each."""
    recordings = [Recording(path) for path in paths]
    began, cpu, done = time.perf_counter(), time.process_time(), 0
    while time.perf_counter() - began < 5:
        done += sum(1 for _ in classifier.classify(recordings, BATCH))
    took = time.perf_counter() - began
    return {"records_per_s": done / took, "cpu_ms": 1000 * (time.process_time() - cpu) / done}


@dataclass
class Load:
    """What happened under load."""

    seconds: float = 0.0
    server_cpu: float = 0.0
    client_cpu: float = 0.0
    latencies: list[float] = field(default_factory=list)
    failures: dict[str, int] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Throughput, latencies in ms, failures, and processor time of a request."""
        p50, p90, p99 = (1000 * float(value) for value in np.quantile(self.latencies, (0.5, 0.9, 0.99)))
        n = len(self.latencies)
        return {
            "requests": n,
            "records_per_s": n / self.seconds,
            "p50_ms": p50,
            "p90_ms": p90,
            "p99_ms": p99,
            "failures": self.failures,
            "server_cpu_ms": 1000 * self.server_cpu / n,
            "client_cpu_ms": 1000 * self.client_cpu / n,
            "cores_of_clients": self.client_cpu / self.seconds,
        }


class _Connection:
    """A client: a socket that sends a request, reads the answer, and sends the next."""

    def __init__(self, address: tuple[str, int]) -> None:
        self.socket = socket.create_connection(address)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setblocking(False)
        self.began = 0.0
        self.left = memoryview(b"")
        self.answer = bytearray()
        self.expected = 0

    def send(self, request: bytes) -> None:
        self.began, self.left, self.expected = time.perf_counter(), memoryview(request), 0
        self.answer.clear()

    def on_writable(self) -> bool:
        """Send what the socket takes; whether all is sent."""
        with suppress(BlockingIOError):
            self.left = self.left[self.socket.send(self.left) :]
        return not self.left

    def on_readable(self) -> int:
        """Read; the status of a whole answer, else 0."""
        part = self.socket.recv(1 << 16)
        if not part:
            raise ConnectionError("closed")
        self.answer += part
        if not self.expected and (end := self.answer.find(b"\r\n\r\n")) >= 0:
            found = _LENGTH.search(self.answer, 0, end)
            self.expected = end + 4 + int(found[1]) if found else 0
        return int(self.answer[9:12]) if self.expected and len(self.answer) >= self.expected else 0


def under_load(
    address: tuple[str, int],
    bodies: Sequence[bytes],
    clients: int,
    process: psutil.Process,
    *,
    seconds: float = float("inf"),
    requests: float = float("inf"),
) -> Load:
    """Send requests by so many clients, for so long or until there are so many answers."""
    selector, waiting = selectors.DefaultSelector(), itertools.cycle(bodies)
    both, load = selectors.EVENT_READ | selectors.EVENT_WRITE, Load()
    for _ in range(clients):
        connection = _Connection(address)
        connection.send(next(waiting))
        selector.register(connection.socket, both, connection)
    began, client, server, open_ones = time.perf_counter(), time.process_time(), cpu_of(process), clients
    while open_ones:
        for key, events in selector.select():
            connection: _Connection = key.data
            try:
                if events & selectors.EVENT_WRITE and connection.on_writable():
                    selector.modify(connection.socket, selectors.EVENT_READ, connection)
                status = connection.on_readable() if events & selectors.EVENT_READ else 0
            except OSError as error:
                status = 0
                load.failures[type(error).__name__] = load.failures.get(type(error).__name__, 0) + 1
                selector.unregister(connection.socket)
                connection.socket.close()
                open_ones -= 1
                continue
            if not status:
                continue
            load.latencies.append(time.perf_counter() - connection.began)
            if status != 200:
                load.failures[str(status)] = load.failures.get(str(status), 0) + 1
            if time.perf_counter() - began < seconds and len(load.latencies) + open_ones <= requests:
                connection.send(next(waiting))
                selector.modify(connection.socket, both, connection)
            else:
                selector.unregister(connection.socket)
                connection.socket.close()
                open_ones -= 1
    load.seconds = time.perf_counter() - began
    load.client_cpu, load.server_cpu = time.process_time() - client, cpu_of(process) - server
    return load


def family(process: psutil.Process) -> list[psutil.Process]:
    """A process and its descendants."""
    return [process, *process.children(recursive=True)]


def cpu_of(process: psutil.Process) -> float:
    """Processor seconds that it and its descendants have used."""
    return sum(sum(each.cpu_times()[:2]) for each in family(process))


def memory_over(
    address: tuple[str, int], bodies: Sequence[bytes], clients: int, process: psutil.Process, requests: int
) -> dict[str, Any]:
    """Resident memory, MB, while so many requests are answered: twenty looks, and the slope of a line through them."""
    looks = []
    for _ in range(20):
        under_load(address, bodies, clients, process, requests=requests // 20)
        looks.append(sum(each.memory_info().rss for each in family(process)) / 1e6)
    slope = float(np.polyfit(np.arange(1, 21) * (requests // 20) / 1000, looks, 1)[0])
    return {
        "requests": requests,
        "mb": [round(look, 1) for look in looks],
        "mb_per_1000_requests": significant(slope, 3),
    }


def summary(turns: Sequence[dict[str, Any]], clients: int, cores: int) -> dict[str, Any]:
    """Medians over the turns, and throughput as a share of what `Classifier.classify` reaches before and after."""

    def share(turn: dict[str, Any]) -> float:
        batch = (turn["classify"]["records_per_s"] + turn["classify after"]["records_per_s"]) / 2
        return turn["serve"]["records_per_s"] / batch

    def median(values: Iterator[float]) -> float:
        return significant(float(np.median(list(values))))

    serve = [turn["serve"] for turn in turns]
    shares = [share(turn) for turn in turns]
    left = [one / (1 - load["cores_of_clients"] / cores) for one, load in zip(shares, serve, strict=True)]
    found = {name: median(load[name] for load in serve) for name in serve[0] if name not in ("failures", "requests")}
    return {
        "clients": clients,
        "turns": len(turns),
        "requests": sum(load["requests"] for load in serve),
        "failures": sum(sum(load["failures"].values()) for load in serve),
        **found,
        "p99_over_p50": median(load["p99_ms"] / load["p50_ms"] for load in serve),
        "classify_records_per_s": median(turn["classify"]["records_per_s"] for turn in turns),
        "classify_cpu_ms": median(turn["classify"]["cpu_ms"] for turn in turns),
        "network_records_per_s": median(turn["network"] for turn in turns),
        "share_of_classify": significant(float(np.median(shares))),
        "share_of_classify_on_the_cores_that_clients_leave": significant(float(np.median(left))),
        "share_of_network": median(turn["serve"]["records_per_s"] / turn["network"] for turn in turns),
    }


if __name__ == "__main__":
    os.environ.setdefault("PYTHONPATH", str(Path(__file__).parents[1] / "src"))
    typer.run(main)
