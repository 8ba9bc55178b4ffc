"""The trained network twice: in float64, taken for the truth, and in float32, whose rounding is the yardstick."""

import copy

import numpy as np
import torch

from stages.dataset import Array
from stages.graph import Graph
from stages.train.device import tf32
from stages.verify.reference import Feeds, Outputs

_CPU = torch.device("cpu")


class Twin:
    """Both forms of one graph, in evaluation mode on the CPU: a `Reference`."""

    def __init__(self, graph: Graph) -> None:
        self.task = graph.task
        self.input, self.output = graph.input, graph.task.output
        self.exact = copy.deepcopy(graph).double().eval()
        self.single = copy.deepcopy(graph).float().eval()

    def truth(self, feeds: Feeds) -> Outputs:
        """Return float64 outputs by name."""
        return self._run(self.exact, feeds)

    def rounded(self, feeds: Feeds) -> Outputs:
        """Return float32 outputs by name, without TF32."""
        return self._run(self.single, feeds)

    def decide(self, outputs: Outputs) -> tuple[Array, Array]:
        """Return what the task decides, and its margins."""
        return self.task.decide(outputs)

    def _run(self, graph: Graph, feeds: Feeds) -> Outputs:
        raw = [torch.from_numpy(np.ascontiguousarray(feeds[tensor.name])) for tensor in self.input.tensors]
        with torch.inference_mode(), tf32(_CPU, allowed=False):
            tensors = graph(*raw)
        names = (tensor.name for tensor in self.output.tensors)
        return {name: tensor.numpy() for name, tensor in zip(names, tensors, strict=True)}
