"""Optimisers with groups by parameter name, and learning-rate schedules as plain functions of the step.

A schedule has no state, so there is nothing of it to save, and nothing to get out of step on resume.
"""

import math
from typing import Any

import torch
from torch import nn

from deploy.errors import UsageError
from deploy.schema import closest
from stages.recipe import TrainConfig

_GROUP_KEYS = ("lr", "momentum", "weight_decay")


def optimizer(config: TrainConfig, model: nn.Module) -> torch.optim.Optimizer:
    """Return the fused optimiser of a recipe; `momentum` is Adam's first beta.

    Raises `UsageError` for a group whose prefix fits no parameter, or with a key that cannot be set by group.
    """
    groups = _groups(config, model)
    if config.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=config.lr, fused=True)
    kind = torch.optim.Adam if config.optimizer == "adam" else torch.optim.AdamW
    return kind(groups, lr=config.lr, fused=True)


def _groups(config: TrainConfig, model: nn.Module) -> list[dict[str, Any]]:
    """Return torch's parameter groups: one for each prefix (the longest that fits a name wins), one for the rest."""
    members: dict[str, list[nn.Parameter]] = {"": [], **{prefix: [] for prefix in config.groups}}
    names = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    for name in names:
        fitting = [prefix for prefix in config.groups if f"{name}.".startswith(f"{prefix}.")]
        members[max(fitting, key=len, default="")].append(model.get_parameter(name))
    for prefix, values in config.groups.items():
        if not members[prefix]:
            choices = {".".join(name.split(".")[:depth]) for name in names for depth in (1, 2, 3)}
            raise UsageError(f"train.groups: no parameter's name starts with {prefix!r}; {closest(prefix, choices)}")
        for key in values:
            if key not in _GROUP_KEYS:
                raise UsageError(f"train.groups.{prefix}: no such key {key!r}; {closest(key, _GROUP_KEYS)}")
    return [_group(config, members[prefix], config.groups.get(prefix, {})) for prefix in members if members[prefix]]


def _group(config: TrainConfig, parameters: list[nn.Parameter], values: dict[str, float]) -> dict[str, Any]:
    lr, momentum = values.get("lr", config.lr), values.get("momentum", config.momentum)
    group: dict[str, Any] = {
        "params": parameters,
        "lr": lr,
        "initial_lr": lr,
        "weight_decay": values.get("weight_decay", config.weight_decay),
    }
    if config.optimizer == "sgd":
        return group | {"momentum": momentum, "nesterov": config.nesterov and momentum > 0}
    return group | {"betas": (momentum, 0.999)}


class Schedule:
    """What `lr` is multiplied by at each step (from 0 to `total` - 1), as `TrainConfig` says."""

    def __init__(self, config: TrainConfig, steps_per_epoch: int) -> None:
        self.kind, self.decay, self.rise = config.schedule, config.decay, config.warmup
        self.steps_per_epoch = steps_per_epoch
        self.total = config.epochs * steps_per_epoch
        self.warmup = round(config.warmup * self.total)

    def __call__(self, step: int) -> float:
        """Return the factor for a step."""
        if self.kind == "onecycle":
            return self._onecycle(step)
        if step < self.warmup:
            return (step + 1) / self.warmup
        passed = (step - self.warmup) / (self.total - self.warmup)
        if self.kind == "cosine":
            return _cosine(1, 0, passed)
        if self.kind == "linear":
            return 1 - passed
        if self.kind == "exponential":
            return float(self.decay ** (step // self.steps_per_epoch))
        return 1.0

    def apply(self, step: int, optimizer: torch.optim.Optimizer) -> float:
        """Set every group's rate for a step; return the first group's."""
        factor = self(step)
        for group in optimizer.param_groups:
            group["lr"] = group["initial_lr"] * factor
        return float(optimizer.param_groups[0]["lr"])

    def _onecycle(self, step: int) -> float:
        """Smith and Topin, "Super-Convergence" (2018), with the shape and the constants of torch's OneCycleLR."""
        start, end = 1 / 25, 1 / 25 / 1e4
        top = self.rise * self.total - 1
        if step < top:
            return _cosine(start, 1, step / top)
        return _cosine(1, end, (step - top) / (self.total - 1 - top))


def _cosine(start: float, end: float, part: float) -> float:
    return end + (start - end) / 2 * (1 + math.cos(math.pi * part))
