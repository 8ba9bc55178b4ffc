"""One node taken out of its graph, with its weights: to be run alone."""

from collections.abc import Mapping, Sequence

import numpy as np
import onnx
from onnx import NodeProto, helper
from onnx.reference import ReferenceEvaluator

from stages.dataset import Array
from stages.verify.blame.flow import Flow, inputs_of


def alone(flow: Flow, nodes: Sequence[NodeProto], inputs: Mapping[str, Array]) -> onnx.ModelProto:
    """Return a model of these nodes: `inputs` (by their values) go in, what nobody among them reads comes out."""
    read = dict.fromkeys(name for node in nodes for name in inputs_of(node))
    made = [name for node in nodes for name in node.output if name]
    free = [name for name in read if name in inputs and name not in made]
    graph = helper.make_graph(
        [*_constant_nodes(flow, [name for name in read if name not in free]), *nodes],
        "alone",
        [helper.make_tensor_value_info(name, _code(inputs[name]), inputs[name].shape) for name in free],
        [onnx.ValueInfoProto(name=name) for name in made if name not in read],
    )
    wanted = dict.fromkeys(name for node in graph.node for name in inputs_of(node))
    graph.initializer.extend(flow.initializers[name] for name in wanted if name in flow.initializers)
    model = helper.make_model(graph, opset_imports=list(flow.proto.opset_import), ir_version=flow.proto.ir_version)
    return typed(model)


def typed(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the model with the types of its outputs filled in where onnx can infer them: the checker wants them."""
    try:
        inferred = onnx.shape_inference.infer_shapes(model)
    except Exception:  # a custom operator, or a graph over 2 GB: ONNX Runtime infers for itself
        return model
    return inferred


def by_numpy(model: onnx.ModelProto, feeds: Mapping[str, Array]) -> dict[str, Array]:
    """Run a model by onnx's numpy evaluator; returns its outputs by name."""
    with np.errstate(all="ignore"):  # NaN and infinity are findings here, not accidents
        values = ReferenceEvaluator(model).run(None, dict(feeds))
    return {output.name: np.asarray(value) for output, value in zip(model.graph.output, values, strict=True)}


def wide(array: Array) -> Array:
    """Return real numbers as float64, everything else as it is."""
    return array.astype(np.float64) if array.dtype.kind == "f" else array


def narrow(array: Array) -> Array:
    """Return float64 as float32, everything else as it is."""
    return array.astype(np.float32) if array.dtype == np.float64 else array


def _constant_nodes(flow: Flow, names: Sequence[str]) -> list[NodeProto]:
    """Return the nodes that compute these constants, in order."""
    wanted, kept = set(names), []
    unique = {id(node): node for node in flow.constant_nodes.values()}
    for node in reversed(unique.values()):
        if wanted.intersection(node.output):
            wanted.update(inputs_of(node))
            kept.append(node)
    return kept[::-1]


def _code(array: Array) -> int:
    return int(helper.np_dtype_to_tensor_dtype(array.dtype))
