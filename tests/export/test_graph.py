"""Folding and layout: the same function from fewer and faster nodes, and what is not known stays as it is."""

from collections import Counter

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from ecoscale.export import PARITY_TOLERANCE, export_onnx
from ecoscale.export.folding import fold_batch_norms, relu_before_concatenation
from ecoscale.export.layout import two_dimensional
from ecoscale.models import create_model


def signals(leads=12, samples=300):
    """Three signals, of which one is faint and one is strong, so that their logits differ."""
    drawn = np.random.default_rng(0).standard_normal((3, leads, samples)) * np.array([0.1, 1, 5])[:, None, None]
    return drawn.astype(np.float32)


def kinds(content):
    return Counter(node.op_type for node in onnx.load_from_string(content).graph.node)


def trained(build):
    """A network with norms that do something: statistics of what they see, and weights and biases of their own."""
    torch.manual_seed(1)
    network = build()
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm1d)]
    for norm in norms:
        nn.init.uniform_(norm.weight, 0.5, 1.5)
        nn.init.uniform_(norm.bias, -0.5, 0.5)
        norm.momentum = 1.0
    with torch.no_grad():
        network.train()(torch.from_numpy(signals()))
        for norm in norms:
            norm.running_var.clamp_(min=0.01)  # of a channel that is zero, which would be blown up
    return network.eval()


@pytest.mark.parametrize("name", ["ecoscalenet_nano", "ecoscalenet_radix_nano", "ecoscalenet_lean_nano", "oscnn"])
def test_no_norm_and_no_one_dimensional_convolution_is_left_of_omni_scale_networks(name):
    network, x = trained(lambda: create_model(name, 12, 6)), signals()
    exported = export_onnx(network, x)
    graph = onnx.load_from_string(exported.onnx).graph
    ranks = {weight.name: len(weight.dims) for weight in graph.initializer}
    assert "BatchNormalization" not in kinds(exported.onnx)
    assert {ranks[node.input[1]] for node in graph.node if node.op_type == "Conv"} == {4}
    with torch.inference_mode():
        expected = network(torch.from_numpy(x)).numpy()
    assert np.ptp(expected, axis=0).max() > 5 * PARITY_TOLERANCE, "logits all alike would tell nothing"
    np.testing.assert_allclose(exported.logits, expected, atol=1e-4)


def test_layers_carry_the_names_of_the_networks_modules():
    network = create_model("ecoscalenet_nano", 12, 6)
    modules = dict(network.named_modules())
    graph = onnx.load_from_string(export_onnx(network, signals()).onnx).graph
    layers = [node.name for node in graph.node if node.op_type in ("Conv", "Gemm")]
    assert layers[0] == "stem.0"
    assert layers[-1] == "head"
    assert len(set(layers)) == len(layers)
    assert all(isinstance(modules[name], nn.Conv1d | nn.Linear) for name in layers)


def test_the_relu_of_an_omni_scale_layer_follows_each_branch():
    graph = onnx.load_from_string(export_onnx(create_model("ecoscalenet_nano", 12, 6), signals()).onnx).graph
    makers = {output: node for node in graph.node for output in node.output}
    joined = [node for node in graph.node if node.op_type == "Concat"]
    assert len(joined) == 12
    for node in joined:
        assert {makers[source].op_type for source in node.input} == {"Relu"}


class Shared(nn.Module):
    """A convolution whose output is read twice, before a norm: folding the norm would change what the other reads."""

    def __init__(self):
        super().__init__()
        self.left, self.right = nn.Conv1d(12, 4, 3, padding=1), nn.Conv1d(12, 4, 5, padding=2)
        self.norm, self.head = nn.BatchNorm1d(8), nn.Linear(12, 2)

    def forward(self, x):
        left = self.left(x)
        both = torch.relu(self.norm(torch.cat((left, self.right(x)), dim=1)))
        return self.head(torch.cat((both, left), dim=1).mean(dim=-1))


def test_a_norm_stays_where_something_else_reads_what_it_would_be_folded_into():
    network = trained(Shared)
    exported = export_onnx(network, signals())
    assert kinds(exported.onnx)["BatchNormalization"] == 1
    with torch.inference_mode():
        np.testing.assert_allclose(exported.logits, network(torch.from_numpy(signals())).numpy(), atol=1e-5)


class Unknown(nn.Module):
    """Between its convolutions, something that the layout does not know."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv1d(12, 4, 3), nn.Conv1d(4, 4, 3, stride=2, padding=1)
        self.head = nn.Linear(4, 2)

    def forward(self, x):
        turned = torch.cumsum(self.first(x), dim=-1) / 10
        return self.head(torch.relu(self.second(turned)).amax(dim=-1) + turned.mean(dim=-1))


def test_a_node_that_is_not_known_keeps_its_three_dimensions():
    exported = export_onnx(network := Unknown().eval(), signals())
    counted = kinds(exported.onnx)
    assert counted["CumSum"] == 1
    assert counted["Squeeze"] == 1
    with torch.inference_mode():
        np.testing.assert_allclose(exported.logits, network(torch.from_numpy(signals())).numpy(), atol=1e-5)


def run(model, x):
    return onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"x": x})[0]


def graph_of(nodes, out_shape, **weights):
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 3, 40])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, out_shape)],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    return onnx.shape_inference.infer_shapes(model)


def test_a_network_that_ends_in_signals_gives_them_without_a_height():
    rng = np.random.default_rng(3)
    weight = rng.standard_normal((4, 3, 5)).astype(np.float32)
    model = graph_of([helper.make_node("Conv", ["x", "w"], ["y"], pads=[1, 3])], ["batch", 4, 40], w=weight)
    changed = ir.from_proto(model)
    two_dimensional(changed.graph)
    proto = ir.to_proto(changed)
    x = rng.standard_normal((2, 3, 40)).astype(np.float32)
    found = run(proto, x)
    assert found.shape == (2, 4, 40)
    np.testing.assert_allclose(found, run(model, x), atol=1e-5)


def test_weights_that_two_layers_share_are_folded_for_the_one_alone():
    rng = np.random.default_rng(4)
    norm = {name: rng.uniform(0.5, 1.5, 2).astype(np.float32) for name in ("scale", "shift", "mean", "variance")}
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"], name="first", pads=[1, 1]),
        helper.make_node("BatchNormalization", ["a", *norm], ["b"]),
        helper.make_node("Conv", ["x", "w"], ["c"], name="second", pads=[1, 1]),
        helper.make_node("Add", ["b", "c"], ["y"]),
    ]
    model = graph_of(nodes, ["batch", 2, 40], w=rng.standard_normal((2, 3, 3)).astype(np.float32), **norm)
    changed = ir.from_proto(model)
    fold_batch_norms(changed.graph)
    relu_before_concatenation(changed.graph)
    proto = ir.to_proto(changed)
    assert "BatchNormalization" not in {node.op_type for node in proto.graph.node}
    x = rng.standard_normal((2, 3, 40)).astype(np.float32)
    np.testing.assert_allclose(run(proto, x), run(model, x), atol=1e-5)
