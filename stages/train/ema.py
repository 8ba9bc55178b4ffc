"""An exponential moving average of the weights: a second graph that follows the first."""

import copy

import torch

from stages.graph import Graph


class Average:
    """Weights averaged with `decay` from step `start` on; buffers (batch statistics) are copied as they are.

    The same arithmetic as torch's `AveragedModel` with `get_ema_multi_avg_fn`, without its counter on the device.
    """

    def __init__(self, graph: Graph, decay: float, start: int) -> None:
        self.graph = copy.deepcopy(graph).eval().requires_grad_(False)
        self.decay, self.start = decay, start
        self._mine: list[torch.Tensor] = list(self.graph.parameters())
        self._theirs: list[torch.Tensor] = list(graph.parameters())
        self._buffers = list(zip(self.graph.buffers(), graph.buffers(), strict=True))

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the weights that step number `step` left behind."""
        if step < self.start:
            return
        if step == self.start:
            torch._foreach_copy_(self._mine, self._theirs)
        else:
            torch._foreach_lerp_(self._mine, self._theirs, 1 - self.decay)
        for mine, theirs in self._buffers:
            mine.copy_(theirs)
