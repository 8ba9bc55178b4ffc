"""A graph as a flow of tensors from its inputs to some of its outputs, and the tensors that every path crosses."""

from collections.abc import Iterator, Sequence

import onnx
from onnx import NodeProto, inliner, numpy_helper

from stages.dataset import Array


class Flow:
    """The nodes on which `outputs` depend, in order, and who makes and reads each tensor.

    nodes        in topological order, without those that depend on no input (they make constants)
    makers       tensor -> number of the node that makes it, for all tensors that depend on an input
    readers      tensor -> numbers of the nodes that read it
    constants    names of initializers and of what is computed from them alone
    """

    def __init__(self, proto: onnx.ModelProto, outputs: Sequence[str] = ()) -> None:
        self.proto = inliner.inline_local_functions(proto) if proto.functions else proto
        graph = self.proto.graph
        self.initializers = {tensor.name: tensor for tensor in graph.initializer}
        self.inputs = [value.name for value in graph.input if value.name not in self.initializers]
        self.outputs = list(outputs or [value.name for value in graph.output])
        self.constant_nodes: dict[str, NodeProto] = {}
        flowing = set(self.inputs)
        moving: list[NodeProto] = []
        for node in graph.node:
            if flowing.intersection(inputs_of(node)) or node.op_type.startswith("Random"):
                flowing.update(node.output)
                moving.append(node)
            else:
                self.constant_nodes.update((name, node) for name in node.output)
        self.constants = set(self.initializers) | set(self.constant_nodes)
        self.nodes = _needed(moving, self.outputs)
        self.makers = {name: number for number, node in enumerate(self.nodes) for name in node.output if name}
        self.readers: dict[str, list[int]] = {}
        for number, node in enumerate(self.nodes):
            for name in dict.fromkeys(inputs_of(node)):
                self.readers.setdefault(name, []).append(number)

    @property
    def tensors(self) -> list[str]:
        """All tensors that depend on an input, in order."""
        return list(self.makers)

    def cuts(self) -> list[str]:
        """Return the tensors that every path from an input to an output crosses, in order.

        Nodes are swept in topological order: where a single tensor is still to be read, all goes through it. This finds
        every such tensor, because each node that matters is then either before it or after it on some path.
        """
        last = {name: numbers[-1] for name, numbers in self.readers.items()}
        last.update(dict.fromkeys(self.outputs, len(self.nodes)))
        live = {name for name in self.inputs if name in last}
        found = []
        for number, node in enumerate(self.nodes):
            live = {name for name in live if last[name] > number}
            live.update(name for name in node.output if last.get(name, -1) > number)
            if len(live) == 1 and (name := next(iter(live))) in node.output:
                found.append(name)
        return found

    def of_values(self) -> list[int]:
        """Return the numbers of the nodes that see the inputs' values; the others see their sizes only."""
        sized: set[str] = set()
        for node in self.nodes:
            moving = [name for name in inputs_of(node) if name in self.makers or name in self.inputs]
            if node.op_type in ("Shape", "Size") or all(name in sized for name in moving):
                sized.update(node.output)
        return [number for number, node in enumerate(self.nodes) if node.output[0] not in sized]

    def constant(self, name: str) -> Array | None:
        """Return the value of an initializer or of a Constant node; None for what would have to be computed."""
        if name in self.initializers:
            return numpy_helper.to_array(self.initializers[name])  # type: ignore[no-any-return]
        node = self.constant_nodes.get(name)
        if node is not None and node.op_type == "Constant":
            for attribute in node.attribute:
                if attribute.name == "value":
                    return numpy_helper.to_array(attribute.t)  # type: ignore[no-any-return]
        return None

    def up_to(self, tensor: str) -> onnx.ModelProto:
        """Return a model of the nodes that a tensor depends on, with the tensor as its only output."""
        needed = _needed(self.nodes, [tensor])
        unique = {id(node): node for node in self.constant_nodes.values()}
        model = onnx.ModelProto()
        model.CopyFrom(self.proto)
        del model.graph.node[:], model.graph.output[:]
        model.graph.node.extend([*unique.values(), *needed])
        model.graph.output.append(onnx.ValueInfoProto(name=tensor))
        return model

    def before(self, number: int) -> Iterator[int]:
        """Yield the numbers of all nodes that a node depends on, latest first."""
        wanted = set(inputs_of(self.nodes[number]))
        for earlier in range(number - 1, -1, -1):
            if wanted.intersection(self.nodes[earlier].output):
                wanted.update(inputs_of(self.nodes[earlier]))
                yield earlier


def inputs_of(node: NodeProto) -> list[str]:
    """Return what a node reads: its inputs, and what its subgraphs (If, Loop, Scan) take from outside."""
    names = [name for name in node.input if name]
    for attribute in node.attribute:
        for graph in [attribute.g, *attribute.graphs] if attribute.type in (5, 10) else []:  # GRAPH, GRAPHS
            inner = {value.name for value in (*graph.input, *graph.initializer)}
            for each in graph.node:
                names += [name for name in inputs_of(each) if name not in inner]
                inner.update(each.output)
            names += [value.name for value in graph.output if value.name not in inner]
    return names


def _needed(nodes: list[NodeProto], outputs: Sequence[str]) -> list[NodeProto]:
    wanted = set(outputs)
    kept = []
    for node in reversed(nodes):
        if wanted.intersection(node.output):
            wanted.update(inputs_of(node))
            kept.append(node)
    return kept[::-1]
