"""Batch norm folded into the convolutions before it, also across the concatenation of omni-scale branches.

torch's exporter folds a norm that directly follows its convolution. In an omni-scale layer the branches are
concatenated first, so the norm stays, and with it a pass over the layer's whole output. It is affine and by channel:
each branch can take its own channels' share. The ReLU after it moves to the branches too, where the runtime joins it
with the convolution.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir

if TYPE_CHECKING:
    from numpy.typing import NDArray

DEFAULT_EPSILON = 1e-5
"""Of ONNX's BatchNormalization, where the node states none."""


def name_layers(graph: ir.Graph) -> None:
    """Call each convolution and linear layer as the network's module is called, changing the graph in place."""
    for node in graph:
        weight = node.inputs[1] if node.op_type in ("Conv", "Gemm") else None
        if weight is not None and weight.name and weight.name.endswith(".weight") and len(weight.uses()) == 1:
            node.name = weight.name.removesuffix(".weight")


def fold_batch_norms(graph: ir.Graph) -> None:
    """Fold every `BatchNormalization` whose input is convolutions alone, changing the graph in place."""
    for node in list(graph):
        if node.op_type != "BatchNormalization":
            continue
        branches = convolutions_behind(node.inputs[0])
        if branches is None:
            continue
        scale, shift = _affine(node)
        first = 0
        for conv in branches:
            channels = slice(first, first := first + constant(conv.inputs[1]).shape[0])
            _scale_outputs(graph, conv, scale[channels], shift[channels])
        replace(graph, node, _required(node.inputs[0]))


def relu_before_concatenation(graph: ir.Graph) -> None:
    """Give each convolution of a concatenation the ReLU that follows it, changing the graph in place."""
    for node in list(graph):
        source = node.inputs[0] if node.op_type == "Relu" else None
        joined = None if source is None else source.producer()
        if joined is None or joined.op_type != "Concat":
            continue
        branches = convolutions_behind(source)
        if branches is None:
            continue
        for position, conv in enumerate(branches):
            relu = ir.Node("", "Relu", [conv.outputs[0]], name=f"{conv.name}_relu")
            relu.outputs[0].name = f"{conv.outputs[0].name}_relu"
            graph.insert_after(conv, relu)
            joined.replace_input_with(position, relu.outputs[0])
        replace(graph, node, joined.outputs[0])


def convolutions_behind(value: ir.Value | None) -> list[ir.Node] | None:
    """The convolutions that make a value, one or several concatenated by channel, if nothing else reads them."""
    if value is None or (node := value.producer()) is None or len(value.uses()) != 1:
        return None
    if node.op_type == "Conv":
        return [node]
    if node.op_type != "Concat" or node.attributes["axis"].as_int() != 1:
        return None
    found: list[ir.Node] = []
    for source in node.inputs:
        behind = None if source is None else convolutions_behind(source)
        if behind is None or len(behind) != 1:
            return None
        found += behind
    return found


def constant(value: ir.Value | None) -> NDArray[np.float32]:
    """The weights that an initializer holds."""
    if value is None or value.const_value is None:
        raise ValueError(f"{value}: expected an initializer")
    return value.const_value.numpy()


def initializer(graph: ir.Graph, name: str, content: NDArray) -> ir.Value:
    """A new initializer of the graph."""
    value = ir.val(name, const_value=ir.tensor(np.ascontiguousarray(content), name=name))
    graph.register_initializer(value)
    return value


def rewrite(graph: ir.Graph, node: ir.Node, position: int, content: NDArray) -> None:
    """Give a node other weights; nodes that share the old ones keep them."""
    old = _required(node.inputs[position])
    if len(old.uses()) > 1:
        node.replace_input_with(position, initializer(graph, f"{old.name}.{node.name}", content))
        return
    old.const_value = ir.tensor(np.ascontiguousarray(content), name=old.name)
    old.shape = ir.Shape(content.shape)


def replace(graph: ir.Graph, node: ir.Node, value: ir.Value) -> None:
    """Take a node out of the graph; what read its output reads `value`."""
    node.outputs[0].replace_all_uses_with(value, replace_graph_outputs=True)
    graph.remove(node, safe=True)


def _affine(node: ir.Node) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Factor and summand by channel of a batch norm."""
    weight, bias, mean, variance = (constant(value).astype(np.float64) for value in node.inputs[1:5])
    epsilon = node.attributes["epsilon"].as_float() if "epsilon" in node.attributes else DEFAULT_EPSILON
    factor = weight / np.sqrt(variance + epsilon)
    return factor.astype(np.float32), (bias - mean * factor).astype(np.float32)


def _scale_outputs(graph: ir.Graph, conv: ir.Node, scale: NDArray[np.float32], shift: NDArray[np.float32]) -> None:
    rewrite(graph, conv, 1, constant(conv.inputs[1]) * scale[:, None, None])
    if len(conv.inputs) > 2:
        rewrite(graph, conv, 2, constant(conv.inputs[2]) * scale + shift)
    else:
        conv.resize_inputs(3)
        conv.replace_input_with(2, initializer(graph, f"{conv.name}.folded_bias", shift))


def _required(value: ir.Value | None) -> ir.Value:
    assert value is not None
    return value
