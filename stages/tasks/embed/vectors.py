"""The end of an embedding network: features to one vector, of length 1 whatever comes in."""

import torch
from torch import nn

_LEAST = 1e-6


class Unit(nn.Module):
    """Vectors (N, size) -> the same directions with length 1.

    Zero stays zero. Where all values are below 1e-6 and rounding would choose the direction, the length goes to zero
    with them, without a step; nothing overflows on the way.
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return x / |x|."""
        largest = x.abs().amax(dim=1, keepdim=True).clamp_min(_LEAST).detach()  # cancels, so it needs no gradient
        scaled = x / largest
        lengths: torch.Tensor = torch.linalg.vector_norm(scaled, dim=1, keepdim=True)
        return scaled / lengths.clamp_min(1)


class Spread(nn.BatchNorm1d):
    """Batch norm without weights, before `Unit`: vectors that point into all directions from the start.

    Behind a ReLU all begin in one narrow cone, where the hardest triplets pull them into one point. A batch of one row,
    as an epoch may end with, is normalised as in evaluation.
    """

    def __init__(self, size: int) -> None:
        super().__init__(size, affine=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return vectors of mean 0 and deviation 1 in every direction, over the batch."""
        if self.training and len(x) > 1:
            return super().forward(x)
        return nn.functional.batch_norm(x, self.running_mean, self.running_var, eps=self.eps)


class Average(nn.Module):
    """Maps (N, F, ...) -> (N, F), the mean over all places; of a tuple of maps, of all but the first, the input."""

    def forward(self, x: torch.Tensor | tuple[torch.Tensor, ...]) -> torch.Tensor:
        """Return the means, side by side."""
        return torch.cat([_mean(each) for each in (x[1:] if isinstance(x, tuple) else (x,))], dim=1)


def _mean(x: torch.Tensor) -> torch.Tensor:
    while x.dim() > 2:  # axis after axis: sums of few terms are rounded less, by every runtime
        x = x.mean(dim=-1)
    return x


def head(features: int, size: int, *, average: bool, project: bool, unit: bool) -> nn.Module:
    """Return what turns features (N, features), or with `average` maps of them, into vectors (N, size)."""
    layers: list[nn.Module] = [Average()] if average else []
    if project:
        layers += [nn.Linear(features, size, bias=False), Spread(size)]
    return nn.Sequential(*layers, *([Unit()] if unit else []))
