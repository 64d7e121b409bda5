"""A network to what ships: ONNX, folded and laid out for the runtime, in float and in 8-bit integers, and safetensors.

The passes over an ONNX graph know nothing of the networks: each recognises a pattern, and leaves what it does not know.
"""

from ecoscale.export.network import (
    HALVING_TOLERANCE,
    PARITY_TOLERANCE,
    ExportedNetwork,
    export_onnx,
    export_weights,
    measure_latencies,
    measure_latency,
    run_logits,
)
from ecoscale.export.quantisation import Quantiser

__all__ = [
    "HALVING_TOLERANCE",
    "PARITY_TOLERANCE",
    "ExportedNetwork",
    "Quantiser",
    "export_onnx",
    "export_weights",
    "measure_latencies",
    "measure_latency",
    "run_logits",
]
