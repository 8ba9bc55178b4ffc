"""One module from raw input to decision: the same for training's evaluation, for export and for the float64 twin."""

import dataclasses
import typing
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from deploy.bundle import Signature
from deploy.errors import UsageError
from deploy.schema import from_plain
from stages import discover
from stages.dataset import DataInfo
from stages.recipe import Recipe
from stages.task import Scores, Task

PREPROCESSED = "preprocessed"
VECTOR = "vector"
"""Features (N, out_features): what nets give and tasks take where they say nothing."""
_ONLY_TRAINING = ("auxiliary.", "only_training.")


@dataclass(frozen=True)
class Auxiliary:
    """A side branch of a model, whose loss counts in training only; it is no part of what is exported.

    branch          the module from what `taps` gives to (N, out_features), with its initial weights
    weight          of its loss, beside the model's own, which counts as 1
    """

    branch: nn.Module
    out_features: int
    weight: float


class Graph(nn.Module):
    """raw -> pre -> `preprocessed` -> net -> features -> head -> scores -> post -> decision.

    input    signature of the raw tensors; task    what the head and the decision belong to

    What features are is between net and task: a net says what it `gives`, a task what it `takes`; both say nothing
    where it is the most common, "vector" (N, out_features). Scores are what the task's loss and decision take: a
    tensor, or a tuple of tensors.

    A net with the attribute `auxiliary`, a tuple of `Auxiliary`, has a method `taps(x)` that returns, in training, its
    features and then what each branch takes. With `training` each gets a head and counts in `loss`. A task with
    `only_training` has a module between scores and loss. Both are in `state_dict()`, so that a training can go on, and
    not in `served()`.
    """

    inner = (PREPROCESSED,)

    def __init__(self, pre: nn.Module, net: nn.Module, task: Task, *, training: bool = False) -> None:
        super().__init__()
        self.input: Signature = pre.signature  # type: ignore[assignment]
        self.task = task
        self.pre = pre
        self.net = net
        for_net = getattr(task, "head_for", None)
        self.head: nn.Module = for_net(net) if for_net else task.head(int(net.out_features))  # type: ignore[arg-type]
        self.post = task.postprocess()
        sides: tuple[Auxiliary, ...] = getattr(net, "auxiliary", ()) if training else ()
        self.auxiliary = nn.ModuleList(nn.Sequential(side.branch, task.head(side.out_features)) for side in sides)
        self.side_weights = tuple(side.weight for side in sides)
        more = getattr(task, "only_training", nn.Identity) if training else nn.Identity
        self.only_training: nn.Module = more()

    def scores(self, raw: torch.Tensor) -> Scores:
        """Return what the decision is made from; raw is (N, ...) of the input signature."""
        return self.head(self.net(self.pre(raw)))  # type: ignore[no-any-return]

    def forward(self, raw: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Return the output tensors of `task.output`, in order."""
        return self.post(self.scores(raw))  # type: ignore[no-any-return]

    def all_scores(self, preprocessed: torch.Tensor) -> tuple[Scores, ...]:
        """Return what the loss is computed from: the scores and, in training, those of each auxiliary head."""
        if not (self.training and self.side_weights):
            return (self.only_training(self.head(self.net(preprocessed))),)
        features, *taps = self.net.taps(preprocessed)  # type: ignore[operator]
        scores = [self.head(features), *(side(tap) for side, tap in zip(self.auxiliary, taps, strict=True))]
        return tuple(self.only_training(each) for each in scores)

    def loss(self, all_scores: tuple[Scores, ...], targets: torch.Tensor) -> torch.Tensor:
        """Return the mean loss of a batch: the task's, plus that of each auxiliary head times its weight."""
        main, *others = (self.task.loss(scores, targets) for scores in all_scores)
        if not others:
            return main
        return main + sum(weight * loss for weight, loss in zip(self.side_weights, others, strict=True))

    def served(self) -> dict[str, torch.Tensor]:
        """Return the state dict without what only training needs; `build(..., training=False)` loads it."""
        return {name: tensor for name, tensor in self.state_dict().items() if not name.startswith(_ONLY_TRAINING)}


def build(recipe: Recipe, info: DataInfo, *, training: bool = True) -> Graph:
    """Build the untrained graph of a recipe for data of this form; weights are drawn from torch's global generator.

    With `training` off, for weights that are loaded afterwards: no auxiliary heads, and the model's option `weights`
    (where its initial ones come from) is not followed, so that a trained network needs no file but its own.
    Raises `UsageError` for a model that does not take what the input makes.
    """
    pre: Any = discover.call("inputs", recipe.input, info)
    model = recipe.model
    if not training:
        model = dataclasses.replace(model, options={k: v for k, v in model.options.items() if k != "weights"})
    _require_fit(recipe, pre.preprocessed_shape)
    net = discover.call("models", model, pre.preprocessed_shape)
    task = discover.call("tasks", recipe.task, info)
    _require_features(recipe, net, task)
    return Graph(pre, net, task, training=training)


def _require_features(recipe: Recipe, net: nn.Module, task: Task) -> None:
    """Refuse a model whose features are of another form than the task takes."""
    gives, takes = getattr(net, "gives", VECTOR), getattr(task, "takes", VECTOR)
    if gives != takes:
        raise UsageError(
            f"task {recipe.task.name} takes features of the form {takes!r}, model {recipe.model.name} gives {gives!r}; "
            "choose another model (pipeline list models) or another task"
        )


def _require_fit(recipe: Recipe, shape: tuple[int | str, ...]) -> None:
    """Refuse a model whose `shape` is annotated as another kind of sample (see `stages.shapes`)."""
    function = discover.resolve("models", recipe.model)[0]
    annotation = typing.get_type_hints(function, include_extras=True).get("shape")
    if typing.get_origin(annotation) is not typing.Annotated:
        return
    expected, words = typing.get_args(annotation)
    try:
        from_plain(expected, shape)
    except UsageError:
        raise UsageError(
            f"model {recipe.model.name} takes {words}, input {recipe.input.name} makes {shape}; "
            "choose another model (pipeline list models) or another input"
        ) from None
