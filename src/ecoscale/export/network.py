"""A network to ONNX, with its outputs compared on every export, and its weights to safetensors."""

from __future__ import annotations

import copy
import logging
import time
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import torch
from onnx_ir.passes.common import ClearMetadataAndDocStringPass, RemoveUnusedNodesPass
from safetensors.torch import save
from torch import nn

from ecoscale.errors import BundleError
from ecoscale.export.folding import fold_batch_norms, name_layers, relu_before_concatenation
from ecoscale.export.layout import two_dimensional
from ecoscale.models.omniscale import compute_directly

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

OPSET = 18
PARITY_TOLERANCE = 1e-3
"""Largest difference of a logit that an export may have from the network."""
HALVING_TOLERANCE = 1e-2
"""Largest difference of a logit that halved weights may make: a quarter of a percent in a probability. They are where
training begins, not what is used; six networks of the study differ by 0.001 to 0.003."""


RUN_AT_ONCE = 8
"""Records in one pass of the network."""


@dataclass(frozen=True)
class ExportedNetwork:
    """ONNX bytes, its logits on the signals that it was compared on, and how far they are from the network's."""

    onnx: bytes
    logits: np.ndarray
    max_difference: float

    @property
    def compared(self) -> int:
        """How many signals it was compared on."""
        return len(self.logits)


def export_onnx(network: nn.Module, signals: np.ndarray) -> ExportedNetwork:
    """Export a network for the leads and length of `signals`, any batch size; input `signal`, output `logits`.

    Batch norms are folded into convolutions (`export.folding`), which are two-dimensional ones of height 1
    (`export.layout`).

    `signals` are prepared ones `(batch, channels, samples)`, at least two, on which the exported network is compared
    with the network. Raises `BundleError` if their logits differ by more than `PARITY_TOLERANCE`.
    """
    if len(signals) < 2:
        raise BundleError(f"{len(signals)} signals to compare the export on; at least two are needed")
    network = compute_directly(copy.deepcopy(network)).cpu().eval()
    inputs = torch.from_numpy(np.ascontiguousarray(signals, dtype=np.float32))
    with warnings.catch_warnings():
        # torch's exporter trips over a deprecation of its own, and logs that torchvision is absent.
        warnings.filterwarnings("ignore", message=".*LeafSpec.*", category=FutureWarning)
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)
        program = torch.onnx.export(
            network,
            (inputs[:2],),
            dynamo=True,
            input_names=["signal"],
            output_names=["logits"],
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            opset_version=OPSET,
            verbose=False,
        )
        assert program is not None
        content = _optimised(program)
    with torch.inference_mode():
        expected = torch.cat([network(part) for part in inputs.split(64)]).numpy()
    found = run_logits(content, [inputs.numpy()])
    difference = float(np.abs(found - expected).max())
    if not difference <= PARITY_TOLERANCE:
        raise BundleError(
            f"the exported network's logits differ by {difference:.3g} from the network's; at most "
            f"{PARITY_TOLERANCE:g} is accepted, so nothing was written"
        )
    return ExportedNetwork(content, found, difference)


def run_logits(model: bytes, batches: Iterable[np.ndarray]) -> np.ndarray:
    """Logits `(records, findings)` of ONNX bytes for batches of prepared records, each `(batch, channels, samples)`."""
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    return np.concatenate(
        [
            np.asarray(session.run(["logits"], {"signal": batch[first : first + RUN_AT_ONCE]})[0])
            for batch in batches
            for first in range(0, len(batch), RUN_AT_ONCE)
        ]
    )


def export_weights(network: nn.Module, signals: np.ndarray) -> bytes:
    """A network's state in safetensors, to train it on: matrices in float16, or all in float32 where that tells more.

    Norms and biases stay in float32. `signals` are prepared ones `(batch, channels, samples)`, on which the logits of
    the halved weights may differ from the network's by at most `HALVING_TOLERANCE`.
    """
    state = {key: value.detach().cpu().contiguous() for key, value in network.state_dict().items()}
    halved = {
        key: value.half() if value.is_floating_point() and value.ndim > 1 else value for key, value in state.items()
    }
    inputs = torch.from_numpy(np.ascontiguousarray(signals, dtype=np.float32))
    rounded = copy.deepcopy(network).cpu().eval()
    with torch.inference_mode():
        expected = rounded(inputs)
        rounded.load_state_dict(halved)
        difference = float((rounded(inputs) - expected).abs().max())
    return save(halved if difference <= HALVING_TOLERANCE else state)


def measure_latency(network: nn.Module, n_channels: int, n_samples: int, *, seconds: float = 1.0) -> float:
    """Median milliseconds of one signal through the exported network in ONNX Runtime, one thread, after a first run.

    Runs for about `seconds`, and at least five times.
    """
    signals = np.random.default_rng(0).standard_normal((2, n_channels, n_samples)).astype(np.float32)
    return measure_latencies([export_onnx(network, signals).onnx], signals[:1], seconds=seconds)[0]


def measure_latencies(models: Sequence[bytes], signal: np.ndarray, *, seconds: float = 1.0) -> list[float]:
    """Median milliseconds of `signal` `(batch, channels, samples)` through each of some ONNX networks, one thread.

    They take turns, at least five each, for about `seconds` in all, after a first run: what slows one slows all.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    sessions = [onnxruntime.InferenceSession(each, options, providers=["CPUExecutionProvider"]) for each in models]
    for session in sessions:
        session.run(["logits"], {"signal": signal})
    turns: list[list[float]] = []
    while len(turns) < 5 or np.sum(turns) < seconds:
        turn = []
        for session in sessions:
            began = time.perf_counter()
            session.run(["logits"], {"signal": signal})
            turn.append(time.perf_counter() - began)
        turns.append(turn)
    return [1000 * float(value) for value in np.median(turns, axis=0)]


def _optimised(program: torch.onnx.ONNXProgram) -> bytes:
    """The program folded and laid out for the runtime, and without the traces of the exporting machine.

    torch's exporter notes for every node the source lines, with their paths, that it came from.
    """
    model = program.model
    name_layers(model.graph)
    fold_batch_norms(model.graph)
    relu_before_concatenation(model.graph)
    two_dimensional(model.graph)
    RemoveUnusedNodesPass()(model)
    ClearMetadataAndDocStringPass()(model)
    proto = ir.to_proto(model)
    onnx.checker.check_model(proto, full_check=True)
    return proto.SerializeToString()
