"""The trained network twice: in float64, taken for the truth, and rounded to what is certified, for the yardstick."""

import copy
from collections.abc import Iterator
from typing import cast

import numpy as np
import torch
from torch import nn

from stages.dataset import Array
from stages.deployed import Deployed, deployed
from stages.recipe import Precision
from stages.task import Matching
from stages.train.device import tf32
from stages.verify.perturbation import perturbed, reordered
from stages.verify.precision import WORDS, rounding
from stages.verify.reference import Feeds, Outputs

_CPU = torch.device("cpu")


class Twin:
    """Both forms of one graph, as it is deployed, in evaluation mode on the CPU.

    A `Reference`, `Perturbable`, `Transparent` and `Particular`; `Matching` if the task is.
    """

    def __init__(self, graph: Deployed) -> None:
        graph = deployed(graph)
        self.task = graph.task
        self.input, self.output = graph.input, graph.task.output
        module = cast(nn.Module, graph)
        self.exact = copy.deepcopy(module).double().eval()
        self.single = copy.deepcopy(module).float().eval().requires_grad_(False)
        self.module = self.single
        real = getattr(graph.pre, "continuous", False)  # preprocessing takes whole numbers between two levels too
        self.free = tuple(t.name for t in self.input.tensors if real or t.dtype.startswith("float"))
        self.own: dict[str, int] = getattr(graph.pre, "own", {})
        self.decides_by: str = getattr(graph.task, "decides_by", "")
        if isinstance(graph.task, Matching):
            self.match = graph.task.match
        self.precision: Precision = "fp32"

    @property
    def yardstick(self) -> str:
        """What `rounded` is, in words."""
        return WORDS[self.precision]

    def at(self, precision: Precision) -> "Twin":
        """Return the same networks, the rounded one at another precision."""
        twin = copy.copy(self)
        twin.precision = precision
        return twin

    def truth(self, feeds: Feeds) -> Outputs:
        """Return float64 outputs by name."""
        return self._run(self.exact, feeds)

    def rounded(self, feeds: Feeds) -> Outputs:
        """Return outputs by name as the twin's precision rounds them."""
        with rounding(self.precision):
            return self._run(self.single, feeds)

    def perturbed(self, feeds: Feeds, seed: int, *, alike: bool) -> Outputs:
        """Return outputs by name with every value moved by about a rounding of the precision, at random."""
        with perturbed(self.precision, seed, alike=alike):
            return self._run(self.single, feeds)

    def reordered(self, feeds: Feeds, seed: int) -> Outputs:
        """Return outputs by name as another order of adding may round them."""
        with reordered(self.precision, seed):
            return self._run(self.single, feeds)

    def cases(self, like: Feeds) -> Iterator[tuple[str, Feeds]]:
        """Yield the edges that the input module names."""
        return self._asked("cases", like)

    def restated(self, like: Feeds) -> Iterator[tuple[str, Feeds]]:
        """Yield the other forms of the same rows that the input module names."""
        return self._asked("restated", like)

    def _asked(self, method: str, like: Feeds) -> Iterator[tuple[str, Feeds]]:
        spec = self.input.tensors[0]
        ask = getattr(self.single.pre, method, None) if len(self.input.tensors) == 1 else None
        for name, array in ask(like[spec.name]) if ask else ():
            yield name, {spec.name: array}

    def decide(self, outputs: Outputs) -> tuple[Array, Array]:
        """Return what the task decides, and its margins."""
        return self.task.decide(outputs)  # type: ignore[no-any-return]

    def _run(self, graph: nn.Module, feeds: Feeds) -> Outputs:
        raw = [torch.from_numpy(np.ascontiguousarray(feeds[tensor.name])) for tensor in self.input.tensors]
        with torch.inference_mode(), tf32(_CPU, allowed=False):
            tensors = graph(*raw)
        names = (tensor.name for tensor in self.output.tensors)
        return {name: tensor.numpy() for name, tensor in zip(names, tensors, strict=True)}
