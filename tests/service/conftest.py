"""The application in this process, the service as a process, and files to send."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

import pytest

pytest.importorskip("fastapi")

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # starlette's client prefers another package to httpx
    from fastapi.testclient import TestClient

from ecoscale.datasets.layouts import write_wfdb
from ecoscale.datasets.synthetic import synthetic_ecg
from ecoscale.service.app import create_app
from ecoscale.service.settings import Settings

SOURCE = Path(__file__).parents[2] / "src"


def form(*paths):
    """Files as a multipart form."""
    return [("file", (path.name, path.read_bytes())) for path in paths]


@pytest.fixture(scope="session")
def ecgs(tmp_path_factory):
    """A folder of two synthetic WFDB records: patient-jones-AF and patient-jones-normal."""
    folder = tmp_path_factory.mktemp("ecgs")
    cases = {"AF": ("AF",), "normal": ()}
    write_wfdb(folder, [synthetic_ecg(found, seed=1, record=f"patient-jones-{name}") for name, found in cases.items()])
    return folder


@pytest.fixture(scope="session")
def af(ecgs):
    """The files of one record, as a form."""
    return form(ecgs / "patient-jones-AF.hea", ecgs / "patient-jones-AF.dat")


@pytest.fixture
def start(tmp_path):
    """`start(queue=1)`: a client of the application with these settings, and its folder of uploads as `.uploads`."""
    clients = []

    def started(**settings):
        folder = Path(tempfile.mkdtemp(dir=tmp_path))
        client = TestClient(create_app(Settings(temporary=str(folder), threads=1, **settings)))
        client.uploads = folder
        clients.append(client.__enter__())
        return client

    yield started
    for client in clients:
        client.__exit__(None, None, None)
        assert list(client.uploads.iterdir()) == []


@pytest.fixture(scope="session")
def client(tmp_path_factory):
    """A client of the application with two bundles."""
    folder = tmp_path_factory.mktemp("uploads")
    bundles = ("six-findings", "six-findings-small")
    with TestClient(create_app(Settings(temporary=str(folder), threads=1, bundles=bundles))) as started:
        started.uploads = folder
        yield started
    assert list(folder.iterdir()) == []


def left_behind(client):
    """Files of uploads that are still there."""
    return [path for path in client.uploads.rglob("*") if path.is_file()]


class Process:
    """`ecoscale serve` on a free port of this machine; `log` holds its lines when it has ended."""

    def __init__(self, folder, *arguments, **environment):
        self.folder = folder
        command = [sys.executable, "-m", "ecoscale", "serve", "--port", "0", "--log-format", "json", "--threads", "1"]
        self.process = subprocess.Popen(
            [*command, "--temporary", str(folder / "uploads"), *map(str, arguments)],
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": str(SOURCE)} | environment,
        )
        self.log, self.url = [], ""
        while "complete" not in (line := self.next_line())["event"]:
            self.url = line.get("url", self.url)

    @property
    def address(self):
        """Host and port."""
        host, _, port = self.url.removeprefix("http://").partition(":")
        return host, int(port)

    def next_line(self):
        """The next line of its log."""
        line = self.process.stderr.readline()
        assert line, f"the service ended: {self.log}"
        self.log.append(json.loads(line))
        return self.log[-1]

    def end(self, number=signal.SIGTERM):
        """Have it end, and its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        _, rest = self.process.communicate(timeout=60)
        self.log += [json.loads(line) for line in rest.splitlines()]
        return self.process.returncode


@pytest.fixture
def process(tmp_path):
    """`process("--queue", 1)`: the service as a process, ended with the test."""
    (tmp_path / "uploads").mkdir()
    started = []

    def begin(*arguments, **environment):
        started.append(Process(tmp_path, *arguments, **environment))
        return started[-1]

    yield begin
    for each in started:
        if each.process.poll() is None:
            each.end()
