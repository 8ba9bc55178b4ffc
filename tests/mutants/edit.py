"""Small edits of ONNX graphs; each returns the name of the node that it changed or added."""

from collections.abc import Callable
from typing import Any

import numpy as np
from onnx import NodeProto, TensorProto, helper, numpy_helper

from tests.mutants.mutation import Model

WEIGHTED = ("Conv", "Gemm", "LSTM", "GRU")


def nodes(model: Model, *op_types: str) -> list[NodeProto]:
    return [node for node in model.graph.node if node.op_type in op_types]


def node(model: Model, op_type: str, number: int = 0) -> NodeProto:
    return nodes(model, op_type)[number]


def weighted(model: Model) -> NodeProto:
    """Return the layer with weights that lies in the middle of all."""
    layers = nodes(model, *WEIGHTED)
    return layers[len(layers) // 2]


def constant(model: Model, name: str) -> TensorProto:
    return next(tensor for tensor in model.graph.initializer if tensor.name == name)


def value(model: Model, of: NodeProto, number: int) -> Any:
    """Return a copy of the constant that is a node's input."""
    return numpy_helper.to_array(constant(model, of.input[number])).copy()


def add(model: Model, name: str, array: Any) -> str:
    model.graph.initializer.append(numpy_helper.from_array(np.array(array, order="C"), name))
    return name


def change(model: Model, of: NodeProto, number: int, new: Callable[[Any], Any]) -> str:
    """Give a node another constant than the other readers of that constant have."""
    old = value(model, of, number)
    of.input[number] = add(model, f"{of.name}_input_{number}", np.asarray(new(old)).astype(old.dtype))
    return str(of.name)


def attribute(of: NodeProto, **values: Any) -> str:
    kept = [entry for entry in of.attribute if entry.name not in values]
    del of.attribute[:]
    of.attribute.extend([*kept, *(helper.make_attribute(name, value) for name, value in values.items())])
    return str(of.name)


def get(of: NodeProto, name: str) -> Any:
    return next(helper.get_attribute_value(entry) for entry in of.attribute if entry.name == name)


def become(of: NodeProto, op_type: str, keep: tuple[str, ...] = (), **attributes: Any) -> str:
    """Make a node another operator, with only these of its attributes."""
    of.op_type = op_type
    kept = [entry for entry in of.attribute if entry.name in keep]
    del of.attribute[:]
    of.attribute.extend([*kept, *(helper.make_attribute(name, value) for name, value in attributes.items())])
    return str(of.name)


def insert(model: Model, before: NodeProto, *made: NodeProto) -> None:
    place = list(model.graph.node).index(before)
    for offset, new in enumerate(made):
        model.graph.node.insert(place + offset, new)


def after(model: Model, tensor: str, op_type: str, *more: str, **attributes: Any) -> str:
    """Put a node behind a tensor, for all who read it."""
    readers = [reader for reader in model.graph.node if tensor in reader.input]
    made = make(op_type, [tensor, *more], f"{tensor}_{op_type}", **attributes)
    for reader in readers:
        rewire(reader, tensor, made.output[0])
    insert(model, readers[0], made)
    return str(made.name)


def clamp(model: Model, tensor: str, most: float) -> str:
    return after(model, tensor, "Clip", "", add(model, "most_allowed", np.float32(most)))


def make(op_type: str, inputs: list[str], output: str, **attributes: Any) -> NodeProto:
    return helper.make_node(op_type, inputs, [output], name=f"made_{output}", **attributes)


def rewire(reader: NodeProto, old: str, new: str) -> None:
    for number, name in enumerate(reader.input):
        if name == old:
            reader.input[number] = new


def producer(model: Model, tensor: str) -> NodeProto:
    return next(made for made in model.graph.node if tensor in made.output)


def raw(model: Model) -> str:
    """Return the name of the graph's input."""
    return str(model.graph.input[0].name)


def scores(model: Model) -> str:
    """Return the tensor of the last layer's scores."""
    return str(nodes(model, "Conv", "Gemm")[-1].output[0])


def largest(array: Any) -> int:
    """Return the place of the largest magnitude in the flat array."""
    return int(np.abs(array).argmax())
