"""What a model is judged against, and the shapes in which inputs and answers travel."""

from collections.abc import Callable, Iterator, Mapping
from typing import Protocol, runtime_checkable

from torch import nn

from deploy.bundle import Signature
from stages.dataset import Array
from stages.recipe import Precision

Feeds = dict[str, Array]  # input tensors by name, one batch
Outputs = dict[str, Array]  # output tensors by name
Answer = Callable[[Feeds], Outputs]


class Reference(Protocol):
    """The network as it was trained: exact, and rounded as torch rounds.

    input, output    the tensors that a model must have, in order
    """

    input: Signature
    output: Signature

    @property
    def yardstick(self) -> str:
        """Words for what `rounded` is: "torch float32"."""

    def truth(self, feeds: Feeds) -> Outputs:
        """Return the answers in float64."""

    def rounded(self, feeds: Feeds) -> Outputs:
        """Return the answers rounded as honest arithmetic rounds: their distance to the truth is the yardstick."""

    def at(self, precision: Precision) -> "Reference":
        """Return this reference with the yardstick of a precision; one that has none states a bound."""

    def decide(self, outputs: Outputs) -> tuple[Array, Array]:
        """Return decisions and margins, (N,) or (N, ...), as `stages.task.Task.decide` does."""


@runtime_checkable
class Perturbable(Protocol):
    """A reference of which more is known than how one implementation rounds it."""

    def perturbed(self, feeds: Feeds, seed: int, *, alike: bool) -> Outputs:
        """Return the answers with every value moved by about a rounding, at random; all of a map alike if so asked."""

    def reordered(self, feeds: Feeds, seed: int) -> Outputs:
        """Return the answers as an implementation may round them that adds in another order, by chance."""


@runtime_checkable
class Particular(Protocol):
    """A reference whose kind of input is known, and with it what is difficult for that kind."""

    def cases(self, like: Feeds) -> Iterator[tuple[str, Feeds]]:
        """Yield named inputs at the edges of what the kind may be; `like` are test rows."""

    def restated(self, like: Feeds) -> Iterator[tuple[str, Feeds]]:
        """Yield the same rows in other forms that must be answered alike, each named: texts with more padding."""


@runtime_checkable
class Slow(Protocol):
    """A reference whose truth takes `slowness` times as long as torch would."""

    slowness: int


@runtime_checkable
class Transparent(Protocol):
    """A reference whose inside can be seen: a torch module with gradients.

    module    takes the input tensors in order, in evaluation mode on the CPU, in float32
    free      inputs that it takes as real numbers too, anywhere in their range, and of which it has gradients
    own       the sizes that the network works at inside, by the input's name for them: {"height": 28, "width": 28}
    """

    module: nn.Module
    free: tuple[str, ...]
    own: Mapping[str, int]


def deciding_noise(reference: Reference, noise: Mapping[str, float]) -> float:
    """Return the noise, by output, of the one in whose units margins are: the largest where the reference names none.

    It names one by the attribute `decides_by`.
    """
    named = noise.get(getattr(reference, "decides_by", ""))
    return max(noise.values(), default=0.0) if named is None else named
