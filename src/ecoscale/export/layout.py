"""One-dimensional networks as two-dimensional ones of height 1, which runtimes compute faster.

ONNX Runtime blocks channels for the processor's vectors (its NCHWc layout), and joins a convolution with its sum and
ReLU, in two-dimensional convolutions only: the same arithmetic, in half the time.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from ecoscale.export.folding import constant, initializer, rewrite

HEIGHT_AXIS = 2
_BY_ELEMENT = {"Relu", "Sigmoid", "Add", "Mul", "Sub", "Div", "BatchNormalization", "Clip", "Tanh"}
_GLOBAL = {"ReduceMean": "GlobalAveragePool", "ReduceMax": "GlobalMaxPool"}


def two_dimensional(graph: ir.Graph) -> None:
    """Compute `(batch, channels, samples)` as `(batch, channels, 1, samples)`, changing the graph in place.

    Its inputs and outputs stay as they are. A node of a kind that is not known here keeps its three dimensions.
    """
    axis = initializer(graph, "height_axis", np.array([HEIGHT_AXIS]))
    # Values that have four dimensions now.
    lifted: set[ir.Value] = set()
    for node in list(graph):
        if _can_be_lifted(node, lifted):
            for position, value in enumerate(node.inputs):
                if value is not None and _rank(value) == 3 and not value.is_initializer():
                    node.replace_input_with(position, _reshaped(graph, node, "Unsqueeze", value, axis))
            _give_height(graph, node)
            if node.op_type in _GLOBAL:
                _pool_globally(graph, node)
            else:
                lifted.update(node.outputs)
        else:
            for position, value in enumerate(node.inputs):
                if value in lifted:
                    node.replace_input_with(position, _reshaped(graph, node, "Squeeze", value, axis))
    for position, value in enumerate(graph.outputs):
        if value in lifted:
            graph.outputs[position] = _reshaped(graph, None, "Squeeze", value, axis)


def _can_be_lifted(node: ir.Node, lifted: set[ir.Value]) -> bool:
    """Whether a node computes signals, and does so alike with a height of 1."""
    signals = [value for value in node.inputs if value is not None and (value in lifted or _rank(value) == 3)]
    if not signals or node.domain:
        return False
    match node.op_type:
        case "Conv" | "MaxPool" | "AveragePool":
            return "auto_pad" not in node.attributes or node.attributes["auto_pad"].as_string() == "NOTSET"
        case "Concat":
            return node.attributes["axis"].as_int() == 1
        case "ReduceMean" | "ReduceMax":
            keeps = node.attributes["keepdims"].as_int() if "keepdims" in node.attributes else 1
            return not keeps and len(node.inputs) == 2 and constant(node.inputs[1]).tolist() in ([-1], [2])
        case kind:
            return kind in _BY_ELEMENT


def _give_height(graph: ir.Graph, node: ir.Node) -> None:
    """The attributes and weights of a node for signals with a height."""
    for name, without in (("kernel_shape", 1), ("strides", 1), ("dilations", 1)):
        if name in node.attributes:
            node.attributes[name] = ir.AttrInt64s(name, [without, *node.attributes[name].as_ints()])
    if "pads" in node.attributes:
        before, after = node.attributes["pads"].as_ints()
        node.attributes["pads"] = ir.AttrInt64s("pads", [0, before, 0, after])
    if node.op_type == "Conv":
        rewrite(graph, node, 1, constant(node.inputs[1])[:, :, None])
    for value in node.outputs:
        if value.shape is not None and len(value.shape) == 3:
            value.shape = ir.Shape([*value.shape[:HEIGHT_AXIS], 1, *value.shape[HEIGHT_AXIS:]])


def _pool_globally(graph: ir.Graph, node: ir.Node) -> None:
    """A reduction over time as a global pooling, which runtimes block as they do a convolution."""
    signal, found = node.inputs[0], node.outputs[0]
    pooled = ir.Node("", _GLOBAL[node.op_type], [signal], name=f"{node.name}_pooled")
    pooled.outputs[0].name = f"{found.name}_pooled"
    flat = ir.Node("", "Flatten", [pooled.outputs[0]], [ir.AttrInt64("axis", 1)], name=f"{node.name}_flat")
    flat.outputs[0].name = f"{found.name}_flat"
    graph.insert_before(node, [pooled, flat])
    flat.outputs[0].shape, flat.outputs[0].type = found.shape, found.type
    found.replace_all_uses_with(flat.outputs[0], replace_graph_outputs=True)
    graph.remove(node, safe=True)


def _reshaped(graph: ir.Graph, before: ir.Node | None, kind: str, value: ir.Value, axis: ir.Value) -> ir.Value:
    """A value with a height, or without it again; made once for all that read it."""
    for reader in value.consumers():
        if reader.op_type == kind and reader.inputs[1] is axis:
            return reader.outputs[0]
    node = ir.Node("", kind, [value, axis], name=f"{value.name}_{kind.lower()}")
    node.outputs[0].name = f"{value.name}_{kind.lower()}"
    if before is None:
        graph.append(node)
    else:
        graph.insert_before(before, node)
    return node.outputs[0]


def _rank(value: ir.Value) -> int | None:
    return None if value.shape is None else len(value.shape)
