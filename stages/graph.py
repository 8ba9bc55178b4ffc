"""One module from raw input to decision: the same for training's evaluation, for export and for the float64 twin."""

from typing import Any

import torch
from torch import nn

from deploy.bundle import Signature
from stages import discover
from stages.dataset import DataInfo
from stages.recipe import Recipe
from stages.task import Task

PREPROCESSED = "preprocessed"


class Graph(nn.Module):
    """raw -> pre -> `preprocessed` -> net -> features -> head -> scores -> post -> decision.

    input    signature of the raw tensors; task    what the head and the decision belong to
    """

    def __init__(self, pre: nn.Module, net: nn.Module, task: Task) -> None:
        super().__init__()
        self.input: Signature = pre.signature  # type: ignore[assignment]
        self.task = task
        self.pre = pre
        self.net = net
        self.head = task.head(int(net.out_features))  # type: ignore[arg-type]
        self.post = task.postprocess()

    def scores(self, raw: torch.Tensor) -> torch.Tensor:
        """Return what the loss is computed from; raw is (N, ...) of the input signature."""
        return self.head(self.net(self.pre(raw)))  # type: ignore[no-any-return]

    def forward(self, raw: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Return the output tensors of `task.output`, in order."""
        return self.post(self.scores(raw))  # type: ignore[no-any-return]


def build(recipe: Recipe, info: DataInfo) -> Graph:
    """Build the untrained graph of a recipe for data of this form; weights are drawn from torch's global generator."""
    pre: Any = discover.call("inputs", recipe.input, info)
    net = discover.call("models", recipe.model, pre.preprocessed_shape)
    task = discover.call("tasks", recipe.task, info)
    return Graph(pre, net, task)
