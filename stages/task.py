"""What a task gives to the walk: the contract that each folder in `stages/tasks/` fulfils with `task.py`.

`stages/tasks/<name>/task.py` has one public function `<name>(info, *, options) -> Task`; its keyword-only parameters
are the options a recipe may set.
"""

from collections.abc import Mapping
from typing import Protocol

import torch
from torch import nn

from deploy.bundle import Signature
from stages.dataset import Array


class Task(Protocol):
    """A head, its decision, its loss and its metrics.

    output      the tensors that the exported graph answers, in order; `output.kind` is known to `deploy.outputs`
    primary     the metric by which weights are chosen; larger is better
    """

    output: Signature
    primary: str

    def head(self, features: int) -> nn.Module:
        """Return the module that turns features (N, features) into scores."""

    def postprocess(self) -> nn.Module:
        """Return the module that turns scores into the tuple of output tensors; it is exported with the graph."""

    def augment(
        self, raw: torch.Tensor, targets: torch.Tensor, generator: torch.Generator
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return another valid batch of the same raw form (same scale; may be float), on the same device."""

    def loss(self, scores: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Return the mean loss of a batch, a scalar."""

    def metrics(self, outputs: Mapping[str, Array], targets: Array) -> dict[str, float]:
        """Return figures over a whole split, from the graph's outputs; `primary` is among them."""

    def decide(self, outputs: Mapping[str, Array]) -> tuple[Array, Array]:
        """Return each row's decision (N,) and its margin (N,): how far the nearest other decision is, >= 0."""
