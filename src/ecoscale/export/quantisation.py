"""Networks in 8-bit integers: static quantisation by channel, calibrated on training data (Jacob et al. 2018).

Weights take 7 of their 8 bits, so that sums of products fit into 16 bits on processors that know no wider (x86 without
VNNI); activations take 8, their range the `PERCENTILE` of what calibration records give, since a single artefact of
10 mV would else cost every ordinary signal its resolution. Layers can be kept in float: mixed precision for those that
cost accuracy. Source: Jacob et al., "Quantization and training of neural networks for efficient integer-arithmetic-only
inference", CVPR 2018; the arithmetic and the file format (QDQ) are ONNX Runtime's.
"""

from __future__ import annotations

import copy
import logging
from contextlib import contextmanager, redirect_stdout
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QDQQuantizer,
    QuantType,
    create_calibrator,
)

from ecoscale.export.network import run_logits

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from numpy.typing import NDArray
    from onnxruntime.quantization import TensorsData

PERCENTILE = 99.999
"""Share of activations, in per cent, that lies within their range of integers."""
CALIBRATED_AT_ONCE = 8
"""Records whose activations are held at a time while ranges are found."""
QUANTISED = ("Conv", "Gemm", "Add", "Mul", "Concat", "Relu", "MaxPool", "GlobalAveragePool", "Sigmoid")
"""Operators that ONNX Runtime computes in integers."""


class Quantiser:
    """Makes integer forms of one exported network, whose ranges of activations it finds once.

    `model` is ONNX bytes of `export_onnx`, `signals` are prepared training records `(records, channels, samples)`.
    """

    def __init__(self, model: bytes, signals: NDArray[np.float32]) -> None:
        self._model = onnx.shape_inference.infer_shapes(onnx.load_from_string(model))
        self._ranges = _activation_ranges(self._model, signals)

    @property
    def layers(self) -> tuple[str, ...]:
        """Convolutions and linear layers, by the names of the network's modules, from the input on."""
        return tuple(node.name for node in self._model.graph.node if node.op_type in ("Conv", "Gemm"))

    def quantise(self, in_float: Collection[str] = ()) -> bytes:
        """The network in integers but for the layers `in_float`, as ONNX bytes with the same input and output."""
        return self._quantised(nodes_to_quantize=[], nodes_to_exclude=list(in_float))

    def damage(self, signals: NDArray[np.float32]) -> Iterator[tuple[str, float]]:
        """For each layer, the root mean square by which the logits move if it alone is in integers.

        `signals` are prepared records `(records, channels, samples)`, better not those of a test.
        """
        expected = run_logits(self._model.SerializeToString(), [signals])
        for layer in self.layers:
            found = run_logits(self._quantised(nodes_to_quantize=[layer], nodes_to_exclude=[]), [signals])
            yield layer, float(np.sqrt(np.mean((found - expected) ** 2)))

    def _quantised(self, **choice: list[str]) -> bytes:
        with _silent():
            quantiser: Any = QDQQuantizer(
                copy.deepcopy(self._model),
                per_channel=True,
                reduce_range=True,
                weight_qType=QuantType.QInt8,
                activation_qType=QuantType.QUInt8,
                tensors_range=self._ranges,
                op_types_to_quantize=list(QUANTISED),
                extra_options={},
                **choice,
            )
            quantiser.quantize_model()
        return quantiser.model.model.SerializeToString()


class _Records(CalibrationDataReader):
    """A few records, one by one."""

    def __init__(self, signals: NDArray[np.float32]) -> None:
        self._waiting = iter(signals)

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:  # type: ignore[override]
        signal = next(self._waiting, None)
        return None if signal is None else {"signal": np.ascontiguousarray(signal[None])}


def _activation_ranges(model: onnx.ModelProto, signals: NDArray[np.float32]) -> TensorsData:
    with TemporaryDirectory(prefix="ecoscale-") as folder, _silent():
        path = Path(folder) / "model.onnx"
        onnx.save(model, path)
        calibrator = create_calibrator(
            path,
            list(QUANTISED),
            augmented_model_path=str(Path(folder) / "augmented.onnx"),
            calibrate_method=CalibrationMethod.Percentile,
            extra_options={"percentile": PERCENTILE},
        )
        # In parts: the calibrator holds every activation of the records that it is given.
        for first in range(0, len(signals), CALIBRATED_AT_ONCE):
            calibrator.collect_data(_Records(signals[first : first + CALIBRATED_AT_ONCE]))
        return calibrator.compute_data()


@contextmanager
def _silent() -> Iterator[None]:
    """Without what onnxruntime's quantisation prints and logs of its progress."""
    level = logging.root.level
    logging.root.setLevel(logging.ERROR)
    try:
        with redirect_stdout(StringIO()):
            yield
    finally:
        logging.root.setLevel(level)
