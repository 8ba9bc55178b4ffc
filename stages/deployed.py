"""What of a trained graph is exported, judged and served: the graph itself, or what its task makes of it."""

from collections.abc import Callable, Mapping
from typing import Any, Protocol, runtime_checkable

import torch

from deploy.bundle import Signature
from stages.dataset import Array, Split

Outputs = Mapping[str, Array]
Answer = Callable[[dict[str, Array]], Outputs]


class Deployed(Protocol):
    """A module from input tensors, in order, to the output tensors of `task`.

    input     the tensors that it takes
    pre       the input module, which knows what may be fed (stages/inputs/README.md)
    task      what its answers mean: that of a graph, or a part of it
    inner     tensors that it answers besides when it is exported, at which its file can be cut; () where none is
    """

    input: Signature
    pre: Any
    task: Any
    inner: tuple[str, ...]

    def __call__(self, *raw: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Return the output tensors."""


@runtime_checkable
class Partial(Protocol):
    """A deployed module that answers a part of what the trained graph does: one step of many."""

    def rows(self, split: Split) -> tuple[dict[str, Array], Array]:
        """Return input tensors for one row of each sample, from within it, and the decisions that would be right."""

    def whole(self, answer: Answer, split: Split) -> dict[str, Array]:
        """Return what the trained graph would answer over a split, by way of a model file's answers."""


def deployed(graph: Any) -> Deployed:
    """Return what `task.deployed(graph)` makes of a trained graph; the graph where the task has no such method."""
    make = getattr(graph.task, "deployed", None)
    return make(graph) if make else graph  # type: ignore[no-any-return]
