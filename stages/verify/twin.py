"""The trained network twice: in float64, taken for the truth, and in float32, whose rounding is the yardstick."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

from deploy.bundle import Signature
from stages.dataset import Array
from stages.graph import Graph

Outputs = dict[str, Array]


class Twin:
    """Both forms of one graph, in evaluation mode on the CPU."""

    def __init__(self, graph: Graph) -> None:
        self.signature: Signature = graph.task.output
        self.exact = copy.deepcopy(graph).double().eval()
        self.rounded = copy.deepcopy(graph).float().eval()

    def truth(self, raw: Array) -> Outputs:
        """Return float64 outputs by name; raw is one batch."""
        return self._run(self.exact, raw)

    def float32(self, raw: Array) -> Outputs:
        """Return float32 outputs by name, without TF32."""
        return self._run(self.rounded, raw)

    def _run(self, graph: Graph, raw: Array) -> Outputs:
        with torch.inference_mode(), _full_precision():
            tensors = graph(torch.from_numpy(np.ascontiguousarray(raw)))
        names = (tensor.name for tensor in self.signature.tensors)
        return {name: tensor.numpy() for name, tensor in zip(names, tensors, strict=True)}


@contextmanager
def _full_precision() -> Iterator[None]:
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
