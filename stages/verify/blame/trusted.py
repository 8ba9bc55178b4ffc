"""Values that are trusted, tensor by tensor: what a suspect graph is compared with inside."""

import copy
from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
import onnx
import torch
from onnx import NodeProto
from torch.fx import Interpreter, Node

from deploy.providers import open_session
from stages.dataset import Array
from stages.verify.blame.alone import alone, by_numpy, narrow, wide
from stages.verify.blame.deadline import Deadline
from stages.verify.blame.flow import Flow, inputs_of
from stages.verify.double import in_float64
from stages.verify.reference import Feeds


class Trusted(Protocol):
    """Exact and rounded values of named tensors; both raise `KeyError` for a tensor that is not known.

    tensors    what can be asked for, in order;  flow: the graph behind it, where it is an ONNX graph
    """

    tensors: list[str]
    flow: Flow | None

    def exact(self, name: str) -> Array:
        """Return a tensor's value, computed in float64."""

    def rounded(self, name: str) -> Array:
        """Return a tensor's value as honest float32 arithmetic rounds it."""


class TrustedGraph:
    """An ONNX graph: exact by onnx's numpy evaluator in float64, node by node and only as far as asked.

    Rounded by ONNX Runtime without optimization, where looking at an inner tensor changes nothing.
    """

    def __init__(self, proto: onnx.ModelProto, feeds: Feeds, deadline: Deadline) -> None:
        self._graph = Flow(proto)
        self.flow: Flow | None = self._graph
        self.tensors = self._graph.tensors
        self._deadline = deadline
        self._feeds = feeds
        self._exact = {name: wide(array) for name, array in feeds.items()}
        self._rounded = dict(feeds)
        self._session = open_session(
            marked(self._graph.proto, self.tensors).SerializeToString(), "cpu", optimize="none"
        )

    def exact(self, name: str) -> Array:
        """Compute all nodes that the tensor depends on, once."""
        if name not in self._exact:
            number = self._graph.makers[name]
            for needed in [*reversed(list(self._graph.before(number))), number]:
                self._compute(self._graph.nodes[needed])
        return self._exact[name]

    def rounded(self, name: str) -> Array:
        """Run the session for one inner tensor."""
        if name not in self._rounded:
            self._deadline.check()
            self._rounded.update(self._session.run(self._feeds, [name]))
        return self._rounded[name]

    def _compute(self, node: NodeProto) -> None:
        if all(name in self._exact for name in node.output if name):
            return
        self._deadline.check()
        feeds = {name: self._exact[name] for name in inputs_of(node) if name in self._exact}
        self._exact.update(compute(self._graph, node, feeds))


class TrustedProgram:
    """What torch.export traced, run by torch node by node, in float64 and float32; tensors are named as its nodes."""

    def __init__(self, program: torch.export.ExportedProgram, inputs: list[Array]) -> None:
        self.flow: Flow | None = None
        self._single = _Recorder(program.module()).record(inputs)
        self._double = _Recorder(_in_float64(program)).record([wide(array) for array in inputs])
        self.tensors = [name for name in self._double if name in self._single]

    def exact(self, name: str) -> Array:
        """Return the float64 value."""
        return self._double[name]

    def rounded(self, name: str) -> Array:
        """Return the float32 value."""
        return self._single[name]


class _Recorder(Interpreter):
    """Runs a torch.fx graph and keeps every tensor that a node answers."""

    def record(self, inputs: list[Array]) -> dict[str, Array]:
        self.values: dict[str, Array] = {}
        with torch.inference_mode():
            self.run(*(torch.from_numpy(np.ascontiguousarray(array)) for array in inputs))
        return self.values

    def run_node(self, n: Node) -> object:
        """Run a node and keep its value."""
        value = super().run_node(n)
        if n.op == "call_function" and isinstance(value, torch.Tensor):
            self.values[n.name] = value.numpy().copy()
        return value


def compute(flow: Flow, node: NodeProto, feeds: Mapping[str, Array]) -> dict[str, Array]:
    """Return a node's outputs for these inputs, by onnx's numpy evaluator in float64; `KeyError` if it cannot."""
    model = alone(flow, [node], {name: narrow(array) for name, array in feeds.items()})
    try:
        return by_numpy(in_float64(model), {name: wide(array) for name, array in feeds.items()})
    except Exception as error:  # an operator that the evaluator does not have, or shapes that do not fit
        raise KeyError(f"{node.op_type} {node.name!r}: {error}") from error


def run_alone(model: onnx.ModelProto, feeds: Mapping[str, Array]) -> dict[str, Array]:
    """Return the model's outputs by ONNX Runtime without optimization; `OnnxwayError` when it cannot be run."""
    return open_session(model.SerializeToString(), "cpu", optimize="none").run(feeds)


def marked(proto: onnx.ModelProto, tensors: list[str]) -> onnx.ModelProto:
    """Return the model with these inner tensors as outputs too."""
    model = onnx.ModelProto()
    model.CopyFrom(proto)
    known = {value.name for value in model.graph.output}
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in tensors if name not in known)
    return model


def _in_float64(program: torch.export.ExportedProgram) -> torch.fx.GraphModule:
    """Return the program's module with its weights, and what it casts to float32, in float64."""
    module: torch.fx.GraphModule = copy.deepcopy(program.module()).double()  # double() changes weights in place

    def widened(value: Any) -> Any:
        return torch.float64 if value is torch.float32 else value

    for node in module.graph.nodes:
        node.args = torch.fx.node.map_aggregate(node.args, widened)
        node.kwargs = torch.fx.node.map_aggregate(node.kwargs, widened)
    module.recompile()
    return module
