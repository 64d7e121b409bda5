"""A bundle that is made in milliseconds, the command in this process, and the command as a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper
from typer.testing import CliRunner

from ecoscale.bundle import Label, Manifest, write_bundle
from ecoscale.cli import app
from ecoscale.datasets.layouts import write_code15, write_wfdb
from ecoscale.datasets.synthetic import EVEN_PREVALENCE, synthetic_ecg
from ecoscale.findings import CODE_FINDINGS
from ecoscale.preparation import Preparation

SOURCE = Path(__file__).parents[2] / "src"


def made_bundle(
    folder, *, name="cheap", seed=0, findings=CODE_FINDINGS, provenance=None, single_label=False, prevalences=None
):
    """A bundle whose network weighs each lead's mean absolute value. It knows nothing, and is quick.

    With `single_label` its findings are taken for classes that exclude each other, at a temperature of 2.
    """
    random = np.random.default_rng(seed)
    weights = random.normal(scale=4, size=(12, len(findings))).astype(np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("Abs", ["signal"], ["size"]),
            helper.make_node("ReduceMean", ["size"], ["mean"], axes=[2], keepdims=0),
            helper.make_node("Gemm", ["mean", "weights"], ["logits"]),
        ],
        name,
        [helper.make_tensor_value_info("signal", TensorProto.FLOAT, ["batch", 12, "samples"])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", len(findings)])],
        [numpy_helper.from_array(weights, "weights")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    content = model.SerializeToString()
    onnx.checker.check_model(model)
    signal = random.normal(size=(2, 12, 1000)).astype(np.float32)
    logits = onnxruntime.InferenceSession(content).run(["logits"], {"signal": signal})[0]
    manifest = Manifest(
        name=name,
        version="1",
        created="2025-01-01",
        description="For tests",
        labels=tuple(
            Label(
                name=finding.name,
                title=finding.title,
                snomed=finding.snomed,
                threshold=None if single_label else 0.5,
                slope=0.5 if single_label else 1.0,
                prevalence=(prevalences or {}).get(finding.name),
            )
            for finding in findings
        ),
        single_label=single_label,
        calibration="temperature" if single_label else "platt",
        preparation=Preparation(rate=100, window=1000),
        thresholds_chosen="not at all",
        calibration_chosen="not at all",
        network={"model": "cheap", "config": {}, "parameters": weights.size, "macs": weights.size},
        provenance=provenance or {},
        metrics={},
        parity={"max_difference": 0.0},
    )
    return write_bundle(
        folder, manifest, content, {"signal": signal, "logits": np.asarray(logits)}, "# For tests\n"
    ).path


@pytest.fixture(scope="session")
def bundle(tmp_path_factory):
    """The folder of a bundle for the six findings."""
    return made_bundle(tmp_path_factory.mktemp("bundles") / "cheap")


@pytest.fixture(scope="session")
def ecgs(tmp_path_factory):
    """A folder of three synthetic WFDB records: good-AF, good-LBBB, good-normal."""
    folder = tmp_path_factory.mktemp("ecgs")
    cases = {"AF": ("AF",), "LBBB": ("LBBB",), "normal": ()}
    write_wfdb(folder, [synthetic_ecg(found, seed=1, record=f"good-{name}") for name, found in cases.items()])
    return folder


@pytest.fixture(scope="session")
def exams(tmp_path_factory):
    """A synthetic CODE-15% of 40 exams, one of them empty."""
    folder = tmp_path_factory.mktemp("exams")
    write_code15(folder, 40, seed=3, prevalence=EVEN_PREVALENCE, compression=None)
    return folder


@pytest.fixture
def run(monkeypatch):
    """The command in this process: `run("predict", path)` gives exit status, standard output and error."""
    monkeypatch.setenv("COLUMNS", "100")
    runner = CliRunner()
    return lambda *arguments: runner.invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def process(tmp_path):
    """The command as a process: `process("predict", path)`, in a folder of its own."""

    def start(*arguments, code=None, **options):
        program = ["-c", code] if code else ["-m", "ecoscale"]
        # A shell's background job ignores Ctrl-C, and so would what the tests start from there. Set here and not in the
        # child, which may not run Python between fork and exec: torch's threads may have held a lock.
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            return subprocess.Popen(
                [sys.executable, *program, *map(str, arguments)],
                **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "cwd": tmp_path} | options,
                env=os.environ | {"PYTHONPATH": str(SOURCE), "COLUMNS": "100", "NO_COLOR": "1"},
            )
        finally:
            signal.signal(signal.SIGINT, before)

    return start
