"""What a model is judged against, and the shapes in which inputs and answers travel."""

from collections.abc import Callable
from typing import Protocol

from deploy.bundle import Signature
from stages.dataset import Array

Feeds = dict[str, Array]  # input tensors by name, one batch
Outputs = dict[str, Array]  # output tensors by name
Answer = Callable[[Feeds], Outputs]


class Reference(Protocol):
    """The network as it was trained: exact, and rounded as torch rounds.

    input, output    the tensors that a model must have, in order
    """

    input: Signature
    output: Signature

    def truth(self, feeds: Feeds) -> Outputs:
        """Return the answers in float64."""

    def rounded(self, feeds: Feeds) -> Outputs:
        """Return the answers in float32, without TF32: their distance to the truth is the yardstick."""

    def decide(self, outputs: Outputs) -> tuple[Array, Array]:
        """Return each row's decision (N,) and its margin (N,), as `stages.task.Task.decide` does."""
