"""Floating point operations of the nodes that do the work: convolutions and matrix products, at one concrete size."""

import math
from collections.abc import Mapping

import onnx
from onnx import NodeProto

Shapes = Mapping[str, tuple[int, ...]]
COUNTED = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})


def flops(model: onnx.ModelProto, inputs: Shapes) -> dict[tuple[str, str], int | None]:
    """Return operations by (name, operator) of each counted node, a multiplication and an addition as two.

    inputs    the concrete shape of every input; None stands where a shape is known only at run time
    """
    shapes = _shapes(model, inputs)
    return {
        (node.name or f"number {number}", node.op_type): _of(node, shapes)
        for number, node in enumerate(model.graph.node)
        if node.op_type in COUNTED
    }


def row_flops(model: onnx.ModelProto, row: Shapes) -> int:
    """Return the counted operations of a batch of these shapes in all, those known only at run time left out."""
    return sum(amount or 0 for amount in flops(model, row).values())


def _of(node: NodeProto, shapes: Shapes) -> int | None:
    first, second = (shapes.get(name) for name in node.input[:2])
    result = shapes.get(node.output[0])
    if first is None or second is None or result is None:
        return None
    if node.op_type == "Conv":  # weight (out, in / groups, ...): each output value sums in / groups * kernel products
        return 2 * math.prod(result) * math.prod(second[1:])
    if node.op_type == "ConvTranspose":  # weight (in, out / groups, ...): each input value goes into that many sums
        return 2 * math.prod(first) * math.prod(second[1:])
    if node.op_type == "Gemm":
        return 2 * math.prod(result) * (first[0] if _attribute(node, "transA") else first[1])
    return 2 * math.prod(result) * first[-1]


def _shapes(model: onnx.ModelProto, inputs: Shapes) -> dict[str, tuple[int, ...]]:
    """Return every shape that onnx can infer from the inputs' sizes."""
    fixed = onnx.ModelProto()
    fixed.CopyFrom(model)
    del fixed.graph.value_info[:]  # noted with free sizes
    for value in (*fixed.graph.input, *fixed.graph.output):
        dims = value.type.tensor_type.shape.dim
        for dim, size in zip(dims, inputs.get(value.name, ()), strict=False):
            dim.dim_value = size
        if value.name not in inputs:
            value.type.tensor_type.ClearField("shape")
    inferred = onnx.shape_inference.infer_shapes(fixed, data_prop=True).graph
    found = {tensor.name: tuple(tensor.dims) for tensor in inferred.initializer}
    for value in (*inferred.input, *inferred.value_info, *inferred.output):
        dims = value.type.tensor_type.shape.dim
        if value.type.tensor_type.HasField("shape") and all(dim.HasField("dim_value") for dim in dims):
            found[value.name] = tuple(dim.dim_value for dim in dims)
    return found


def _attribute(node: NodeProto, name: str) -> int:
    return next((int(attribute.i) for attribute in node.attribute if attribute.name == name), 0)
