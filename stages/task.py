"""What a task gives to the walk: the contract that each folder in `stages/tasks/` fulfils with `task.py`.

`stages/tasks/<name>/task.py` has one public function `<name>(info, *, options) -> Task`; its keyword-only parameters
are the options a recipe may set.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import nn

from deploy.bundle import Signature
from stages.dataset import Array

Scores = torch.Tensor | tuple[torch.Tensor, ...]
"""What a head gives, and loss and decision take."""


class Task(Protocol):
    """A head, its decision, its loss and its metrics.

    output      the tensors that the exported graph answers, in order; `output.kind` is known to `deploy.outputs`
    primary     the metric by which weights are chosen; larger is better

    Where it differs from the most common, a task has besides:

    takes           form of the features that its head takes, see `stages.graph.Graph`; "vector"
    head_for(net)   in the place of `head(features)`, for heads that must know more of the net
    decides_by      name of the output in whose units margins are; the one with the most noise
    rows_relate     True where metrics hold rows of a split against each other (neighbours); False
    names_targets   True where a decision is what targets are, so that accuracy can be told from it; False
    only_training()    the module from scores to what `loss` takes, with weights that nothing but the loss needs
    match           see `Matching`
    deployed(graph)    what is exported, judged and served in the place of a trained graph, see `stages.deployed`

    After training, `head.fit(features)` is called if there is such a method, with the features of the training split,
    a batch at a time (a memory); and then `post.fit(scores, targets)`, with those of the validation split (a
    temperature, a threshold), which returns figures by name.
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

    def loss(self, scores: Scores, targets: torch.Tensor) -> torch.Tensor:
        """Return the mean loss of a batch, a scalar."""

    def metrics(self, outputs: Mapping[str, Array], targets: Array) -> dict[str, float]:
        """Return figures over a whole split, from the graph's outputs; `primary` is among them."""

    def decide(self, outputs: Mapping[str, Array]) -> tuple[Array, Array]:
        """Return decisions and margins, how far the nearest other decision is, >= 0.

        Both are (N,), a decision a row, or (N, ...), one at each of many places: pixels of a mask, ranks of a list.
        """


@dataclass(frozen=True)
class Matched:
    """Answers brought into the order of the truth.

    aligned     outputs as `found`, with things where the truth has the same ones; where it has none, as in the truth
    expected    decisions of the truth (N, places); decided: those found; margins: how far another one is
    things      of each row (N,), how many things both have, whose values are compared: where there is none, aligned
                values say nothing
    """

    aligned: Mapping[str, Array]
    expected: Array
    decided: Array
    margins: Array
    things: Array


@runtime_checkable
class Matching(Protocol):
    """A task whose answers are things in an order, and of a number, that rounding may change near ties: boxes."""

    def match(self, found: Mapping[str, Array], truth: Mapping[str, Array]) -> Matched:
        """Match answers with the true ones; used in the place of `decide` to hold them against each other."""
