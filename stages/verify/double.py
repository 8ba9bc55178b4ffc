"""An ONNX model in float64, for onnx's numpy evaluator: what is exact, of a graph."""

from collections.abc import Iterator

import numpy as np
import onnx
from onnx import AttributeProto, GraphProto, TensorProto, numpy_helper

_HALVES = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16)


def in_float64(proto: onnx.ModelProto) -> onnx.ModelProto:
    """Return the model with every real-valued tensor, constant and cast in float64; it runs in numpy only."""
    exact = onnx.ModelProto()
    exact.CopyFrom(proto)
    for graph in _graphs(exact.graph):
        for value in (*graph.input, *graph.output, *graph.value_info):
            if value.type.tensor_type.elem_type in _HALVES:
                value.type.tensor_type.elem_type = TensorProto.DOUBLE
        for tensor in graph.initializer:
            _widen(tensor)
        for node in graph.node:
            for attribute in node.attribute:
                if attribute.type == AttributeProto.TENSOR:
                    _widen(attribute.t)
                elif attribute.name in ("to", "dtype") and attribute.i in _HALVES:
                    attribute.i = TensorProto.DOUBLE
    return exact


def _graphs(graph: GraphProto) -> Iterator[GraphProto]:
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.type == AttributeProto.GRAPH:
                yield from _graphs(attribute.g)
            for inner in attribute.graphs:
                yield from _graphs(inner)


def _widen(tensor: TensorProto) -> None:
    if tensor.data_type in _HALVES:
        tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float64), tensor.name))
