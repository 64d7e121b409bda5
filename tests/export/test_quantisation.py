"""Quantisation: integers that say nearly the same, but for the layers that are to stay in float."""

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import numpy_helper

from ecoscale.export import Quantiser, quantisation, run_logits


@pytest.fixture(scope="module")
def windows(trained_run, code15):
    from ecoscale.datasets import open_collection

    collection, preparation = open_collection(code15), trained_run.preparation
    records = trained_run.validation["records"]
    return np.concatenate([preparation.windows(collection.read(record)) for record in records])


@pytest.fixture(scope="module")
def model(tiny_bundle):
    return tiny_bundle.model.read_bytes()


@pytest.fixture(scope="module")
def quantiser(model, windows):
    return Quantiser(model, windows[:24])


def root_mean_square(values):
    return float(np.sqrt(np.mean(values**2)))


def test_integers_give_nearly_the_logits_of_float(quantiser, model, windows):
    expected = run_logits(model, [windows])
    difference = root_mean_square(run_logits(quantiser.quantise(), [windows]) - expected)
    assert 0 < difference < 0.1 * np.std(expected)


def test_every_layer_is_in_integers_with_seven_bits_of_weights_by_channel(quantiser):
    graph = onnx.load_from_string(quantiser.quantise()).graph
    weights = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    makers = {output: node for node in graph.node for output in node.output}
    layers = [node for node in graph.node if node.op_type in ("Conv", "Gemm")]
    assert tuple(node.name for node in layers) == quantiser.layers
    for node in layers:
        stored, scale = (weights[name] for name in makers[node.input[1]].input[:2])
        assert stored.dtype == np.int8
        assert np.abs(stored).max() <= 64
        assert len(scale) == len(stored)


def test_a_layer_can_stay_in_float(quantiser):
    kept = quantiser.layers[0]
    graph = onnx.load_from_string(quantiser.quantise([kept])).graph
    stored = {tensor.name: tensor.data_type for tensor in graph.initializer}
    in_float = [
        node.name
        for node in graph.node
        if node.op_type in ("Conv", "Gemm") and stored.get(node.input[1]) == onnx.TensorProto.FLOAT
    ]
    assert in_float == [kept]


def test_the_damage_of_each_layer_is_told_and_no_layer_does_none(quantiser, windows):
    damage = dict(quantiser.damage(windows[:8]))
    assert tuple(damage) == quantiser.layers
    assert min(damage.values()) > 0


def test_an_artefact_in_the_calibration_does_not_set_the_resolution_of_the_signal(model, windows, monkeypatch):
    spoilt = windows[:24].copy()
    spoilt[0, 3, 100] = 100 * np.abs(windows).max()

    def step():
        graph = onnx.load_from_string(Quantiser(model, spoilt).quantise()).graph
        weights = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
        # The first node that rounds: of the signal, perhaps with its height.
        first = next(node for node in graph.node if node.op_type == "QuantizeLinear")
        return float(weights[first.input[1]])

    clipped = step()
    monkeypatch.setattr(quantisation, "PERCENTILE", 100)
    assert clipped < 0.5 * step()


def test_integers_take_any_batch(quantiser, windows):
    session = onnxruntime.InferenceSession(quantiser.quantise())
    whole = session.run(["logits"], {"signal": windows[:7]})[0]
    single = [session.run(["logits"], {"signal": windows[at : at + 1]})[0][0] for at in range(7)]
    np.testing.assert_allclose(single, whole, atol=1e-5)
