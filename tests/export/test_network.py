"""Export: the same logits as the network, for any batch, or nothing."""

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import nn

from ecoscale.errors import BundleError
from ecoscale.export import PARITY_TOLERANCE, export_onnx
from ecoscale.models import create_model


def signals(batch, leads=12, samples=300, seed=0):
    return np.random.default_rng(seed).standard_normal((batch, leads, samples)).astype(np.float32)


def run(session, x):
    return session.run(["logits"], {"signal": x})[0]


@pytest.fixture(scope="module")
def oscnn():
    """An OS-CNN that computes by spectra."""
    torch.manual_seed(0)
    return create_model("oscnn", 12, 6, largest_kernel=7, method="fourier").train()


@pytest.fixture(scope="module")
def exported(oscnn):
    return export_onnx(oscnn, signals(3))


def test_a_network_that_computes_by_spectra_exports_and_gives_the_same_logits(oscnn, exported):
    x = signals(5, seed=1)
    with torch.inference_mode():
        expected = oscnn.eval()(torch.from_numpy(x)).numpy()
    oscnn.train()
    found = run(onnxruntime.InferenceSession(exported.onnx), x)
    np.testing.assert_allclose(found, expected, atol=PARITY_TOLERANCE)
    assert exported.max_difference < PARITY_TOLERANCE
    assert exported.compared == 3


def test_exporting_leaves_the_network_as_it_was(oscnn, exported):
    assert oscnn.training
    assert oscnn.layers[0][0].method == "fourier"


def test_the_file_is_valid_holds_its_weights_and_names_what_goes_in_and_out(exported):
    model = onnx.load_from_string(exported.onnx)
    onnx.checker.check_model(model)
    assert not any(tensor.external_data for tensor in model.graph.initializer)
    (signal,), (logits,) = model.graph.input, model.graph.output
    assert (signal.name, logits.name) == ("signal", "logits")
    batch, *fixed = signal.type.tensor_type.shape.dim
    assert batch.dim_param
    assert [dim.dim_value for dim in fixed] == [12, 300]


@pytest.mark.parametrize("batch", [1, 2, 7])
def test_an_exported_ecoscalenet_takes_any_batch(tiny_bundle, trained_run, batch):
    x = signals(batch, samples=800)
    with torch.inference_mode():
        expected = trained_run.load_network()(torch.from_numpy(x)).numpy()
    found = run(onnxruntime.InferenceSession(tiny_bundle.model), x)
    np.testing.assert_allclose(found, expected, atol=PARITY_TOLERANCE)


class Unsteady(nn.Module):
    """Gives other logits each time: no export can equal it."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(20, 2)

    def forward(self, x):
        return self.head(x.mean(dim=1)) + torch.randn(2)


def test_a_network_whose_export_computes_something_else_is_refused_with_the_difference():
    with pytest.raises(BundleError, match=r"logits differ by \d.* at most 0.001 is accepted"):
        export_onnx(Unsteady(), signals(4, samples=20))


def test_one_signal_is_too_few_to_compare_on(oscnn):
    with pytest.raises(BundleError, match="1 signals to compare the export on; at least two"):
        export_onnx(oscnn, signals(1))


def test_the_file_names_no_source_file_of_the_exporting_machine(exported):
    assert b".py" not in exported.onnx
