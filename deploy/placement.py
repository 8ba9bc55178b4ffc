"""Where each node of a session runs, and the proof that the provider that was asked for does the work."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

from deploy.errors import ProviderError

CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"

# fmt: off
SHAPE_OPERATORS = frozenset({
    "Shape", "Size", "Constant", "ConstantOfShape", "Identity", "Gather", "Concat", "Slice", "Split", "Squeeze",
    "Unsqueeze", "Reshape", "Expand", "Cast", "Range", "Add", "Sub", "Mul", "Div", "Mod", "Floor", "Ceil", "Round",
    "Sqrt", "Neg", "Abs", "Min", "Max", "ReduceProd", "ReduceMin", "ReduceMax", "Equal", "Less", "Greater",
    "LessOrEqual", "GreaterOrEqual", "And", "Or", "Not", "Where",
})
# fmt: on
"""What may stay on the CPU: ONNX Runtime keeps the few integers that shapes are made of there on purpose.

Data that went through one of these on the CPU would need copies between the devices, which `prove` refuses too.
"""


@dataclass(frozen=True)
class Node:
    """One node of the optimised graph and its provider; `name` may be empty."""

    name: str
    operator: str
    provider: str

    def __str__(self) -> str:
        return f"{self.operator} {self.name!r}" if self.name else self.operator


@dataclass(frozen=True)
class Placement:
    """Every node of a session, in the order of ONNX Runtime, and the number of copies between devices."""

    nodes: tuple[Node, ...]
    copies: int = 0

    @property
    def counts(self) -> dict[str, int]:
        """Return the number of nodes by provider."""
        return dict(Counter(node.provider for node in self.nodes))

    def prove(self, provider: str) -> None:
        """Raise `ProviderError` unless all but shape arithmetic is on `provider` and nothing is copied in between."""
        strays = [n for n in self.nodes if n.provider != provider and n.operator not in SHAPE_OPERATORS]
        if strays:
            names = ", ".join(str(node) for node in strays[:5]) + (", ..." if len(strays) > 5 else "")
            raise ProviderError(
                f"{provider}: {len(strays)} of {len(self.nodes)} nodes would run on {strays[0].provider}: {names}; "
                "build the model from operators that the provider has, or ask for provider cpu"
            )
        if self.copies:
            raise ProviderError(
                f"{provider}: the graph copies tensors between the devices in {self.copies} places (Memcpy nodes); "
                "change the model around its shape arithmetic, or ask for provider cpu"
            )
        if not any(node.provider == provider for node in self.nodes):
            raise ProviderError(f"{provider}: no node of the graph runs there; ask for provider cpu")


def read_placement(session: Any, copies: int = 0) -> Placement:
    """Return the placement that a session recorded (`session.record_ep_graph_assignment_info` must be on)."""
    return Placement(
        tuple(
            Node(node.name, node.op_type, subgraph.ep_name)
            for subgraph in session.get_provider_graph_assignment_info()
            for node in subgraph.get_nodes()
        ),
        copies,
    )
