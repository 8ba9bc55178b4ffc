"""Two ways to find points: a map of heat for each, or its coordinates at once. Both say how unsure they are.

Both come down to a middle (N, K, 2), in parts of width and height, and a variance (N, K), that of x and of y: the point
is thought to be normally distributed around its middle.
"""

import math
from typing import Literal

import numpy as np
import torch
from torch import nn

from stages.dataset import Array

TOLERANCE = 0.05
"""How far off a point may be and still be right, as a part of the picture's size (PCK@0.05): what confidence is for."""

_ANYWHERE = 1 / 12  # variance of a number of which nothing is known but that it is in [0, 1]
_LOG_VARIANCE = (-12.0, math.log(_ANYWHERE))  # from 0.25 % of the size
_START = -4.0
_DISTANCE_WEIGHT = 10.0
_HALVINGS = 50

Kind = Literal["heatmap", "regression"]


class HeatMaps(nn.Conv2d):
    """(N, features, H, W) -> scores (N, K, H, W): a map a point, whose soft-max is the probability of its cells."""

    def __init__(self, features: int, points: int) -> None:
        super().__init__(features, points, 1)


class Coordinates(nn.Linear):
    """(N, features) -> scores (N, K, 3): x, y and the logarithm of the variance, each from where it starts."""

    def __init__(self, features: int, points: int) -> None:
        super().__init__(features, 3 * points)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Return scores."""
        return super().forward(features).reshape(len(features), -1, 3)


class Places(nn.Module):
    """Scores -> points (N, K, 2), confidence (N, K) and found (N, K): what is exported and served.

    Confidence is the probability that the point is within `TOLERANCE` of where it is said to be: for a normal
    distribution 1 - exp(-tolerance^2 / (2 variance)). Found are those of confidence `least` and more.

    The variance, as a part of that of a point which may be anywhere, is raised to the power `sharpness`, a buffer, 1
    until it is fitted: who is more, or less, exact than the head says comes out so, and who knows nothing still does.
    """

    sharpness: torch.Tensor

    def __init__(self, kind: Kind, least: float) -> None:
        super().__init__()
        self.kind, self.least = kind, least
        self.register_buffer("sharpness", torch.ones(()))

    def forward(self, scores: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return points, confidence and found."""
        middle, variance = located(self.kind, scores)
        fitted = _ANYWHERE * (variance / _ANYWHERE) ** self.sharpness
        confidence = 1 - torch.exp(-(TOLERANCE**2) / (2 * fitted))
        return middle.clamp(0, 1), confidence, confidence >= self.least

    def fit(self, scores: torch.Tensor, targets: Array) -> dict[str, float]:
        """Set the sharpness to the likeliest one on points that were not trained on; return it by name."""
        middle, variance = located(self.kind, scores.detach().cpu().double())
        wanted = torch.from_numpy(targets).double()
        known = ~wanted.isnan().any(dim=2)
        if known.any():
            squares = (middle - wanted).square().sum(dim=2)
            self.sharpness.fill_(_likeliest_power(squares[known], variance[known]))
        return {"sharpness": float(self.sharpness)}


def _likeliest_power(squares: torch.Tensor, variance: torch.Tensor) -> float:
    """Return the power in [0.1, 10] that makes squared distances (N,) most likely, in float64.

    With v the variance as a part of a, that of anywhere, the negative log likelihood d^2 / (2 a v^p) + log v^p is
    convex in p, so halving an interval finds where its slope is 0.
    """
    logs = (variance / _ANYWHERE).log()

    def too_small(power: float) -> bool:
        return bool((logs * (1 - squares / (2 * _ANYWHERE) * torch.exp(-power * logs))).mean() < 0)

    low, high = 0.1, 10.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if too_small(middle) else (low, middle)
    return (low + high) / 2


def located(kind: Kind, scores: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return middle (N, K, 2) and variance (N, K) of what a head gives."""
    return _of_maps(scores) if kind == "heatmap" else _of_numbers(scores)


def _of_maps(scores: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the mean and the variance of the heat: Nibali et al., "Numerical coordinate regression" (2018), DSNT.

    Maps are trained on normal distributions as wide as a cell, so a cell's variance is taken off again; what is left is
    at least that of a point that may be anywhere in a cell.
    """
    height, width = scores.shape[2:]
    heat = scores.flatten(2).softmax(dim=2).reshape(scores.shape)
    means, spreads = zip(*(_moments(heat.sum(dim=axis)) for axis in (2, 3)), strict=True)
    cell = (1 / width**2 + 1 / height**2) / 2
    variance = ((spreads[0] + spreads[1]) / 2 - cell).clamp_min(cell / 12)
    return torch.stack(means, dim=2), variance


def _moments(shares: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return mean and variance along the last axis, whose cells share [0, 1]."""
    places = centres(shares.shape[2], shares)
    mean = (shares * places).sum(dim=2)
    return mean, (shares * (places - mean[:, :, None]).square()).sum(dim=2)


def centres(cells: int, like: torch.Tensor) -> torch.Tensor:
    """Return the middles (cells,) of the equal cells that share [0, 1]."""
    return (torch.arange(cells, device=like.device, dtype=like.dtype) + 0.5) / cells


def _of_numbers(scores: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    return scores[:, :, :2] + 0.5, (scores[:, :, 2] + _START).clamp(*_LOG_VARIANCE).exp()


def loss(kind: Kind, scores: torch.Tensor, targets: torch.Tensor, *, blank: bool) -> torch.Tensor:
    """Return the mean loss over all points that count; targets (N, K, 2) are NaN where a point is not known.

    With `blank` the points of a picture without any known one count too: they may be anywhere.
    """
    scores = scores.to(targets.dtype)
    known = ~targets.isnan().any(dim=2)
    wanted = targets.nan_to_num(0.5)
    middle, variance = located(kind, scores)
    distance = (middle - wanted).square().sum(dim=2).add(1e-12).sqrt()
    if kind == "heatmap":
        sure, unsure = _map_losses(scores, wanted)
    else:
        sure, unsure = _number_losses(middle.detach(), variance, wanted)
    each = torch.where(known, _DISTANCE_WEIGHT * distance + sure, unsure)
    counted = known | ~known.any(dim=1, keepdim=True) if blank else known
    return (each * counted).sum() / counted.sum().clamp_min(1)


def _map_losses(scores: torch.Tensor, wanted: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the cross-entropy (N, K) of the heat with a normal distribution of a cell's width, and with no place."""
    height, width = scores.shape[2:]
    logs = scores.flatten(2).log_softmax(dim=2).reshape(scores.shape)
    column = _bell(wanted[:, :, 0], width)[:, :, None, :]
    row = _bell(wanted[:, :, 1], height)[:, :, :, None]
    return -(row * column * logs).sum(dim=(2, 3)), -logs.mean(dim=(2, 3))


def _bell(at: torch.Tensor, cells: int) -> torch.Tensor:
    """Return the shares (N, K, cells) of a normal distribution around `at`, a cell wide."""
    away = (centres(cells, at) - at[:, :, None]) * cells
    return (-away.square() / 2).softmax(dim=2)


def _number_losses(
    middle: torch.Tensor, variance: torch.Tensor, wanted: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the negative log likelihood (N, K) of the places, and its mean over all that a point may have."""
    squares = (middle - wanted).square().sum(dim=2)
    anywhere = (middle - 0.5).square().sum(dim=2) + 2 * _ANYWHERE
    return squares / (2 * variance) + variance.log(), anywhere / (2 * variance) + variance.log()


def distances(points: Array, targets: Array) -> Array:
    """Return how far points are off (N, K), as a part of the picture's size; NaN where none is known."""
    apart: Array = np.sqrt(np.square(points.astype(np.float64) - targets).sum(axis=2))
    return apart
