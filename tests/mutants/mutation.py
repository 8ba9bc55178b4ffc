"""What a mutation is, and how one is put on disk."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import onnx

Model = onnx.ModelProto
Apply = Callable[[Model], str | None]

IMAGES = (
    "lenet5", "saturated", "resnet_small", "alexnet", "inception", "densenet", "mobilenet", "shufflenet",
    "dilated", "detector",
)  # fmt: skip
SERIES = ("lstm", "gru")
CLASSIFIERS = tuple(name for name in (*IMAGES, *SERIES) if name not in ("dilated", "detector"))
ALL = (*IMAGES, *SERIES)


@dataclass(frozen=True)
class Mutation:
    """A change to an exported model.

    apply       changes the model in place; returns the name of the changed node, None where it is not a single one
    on          the subjects that it fits, the cheapest first
    found_by    how the name of the check begins that must refuse it; of a faithful change, nothing
    """

    name: str
    apply: Apply
    on: tuple[str, ...]
    found_by: str = ""

    def write(self, source: Path, target: Path) -> str | None:
        """Write the changed model; return the changed node's name."""
        model = onnx.load(source)
        node = self.apply(model)
        del model.graph.value_info[:]  # shapes noted before the change would refuse it for the wrong reason
        target.write_bytes(model.SerializeToString())
        return node


def fault(*on: str, found_by: str = "noise of") -> Callable[[Apply], Mutation]:
    """Make a mutation that must be refused of a function."""
    return lambda apply: Mutation(apply.__name__, apply, on, found_by)


def faithful(*on: str) -> Callable[[Apply], Mutation]:
    """Make a mutation that must pass of a function."""
    return lambda apply: Mutation(apply.__name__, apply, on)
