"""Hourglass: Newell et al., "Stacked Hourglass Networks for Human Pose Estimation" (2016), one of them, small.

And the way down alone, a funnel, for coordinates that are not read off a map.
"""

import math
from typing import Literal

import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

from deploy.errors import UsageError
from stages.shapes import AnyPicture, Picture


def hourglass(
    shape: AnyPicture, *, width: int = 32, stride: Literal[1, 2, 4] = 4, depth: int = 3, blocks: int = 1
) -> "Hourglass":
    """A map of 2 `width` features at the picture's size over `stride`, each of which has seen all of the picture.

    Down by 2 for `depth` times and up again, with a link between maps of one size (figure 3); `blocks` residual blocks
    at each size and in each direction, none at the first. For pictures of any size: odd ones are halved upwards.
    """
    return Hourglass(shape[0], width, stride, depth, blocks)


def funnel(
    shape: Picture, *, width: int = 32, depth: int = 4, blocks: int = 1, features: int = 256, dropout: float = 0.0
) -> "Funnel":
    """`features` numbers of a picture that is halved `depth` times and then looked at place by place, not on average.

    Where things are is kept, as in Toshev and Szegedy, "DeepPose" (2014), which a mean over the last map would lose.
    The second map and all after it have 2 `width` channels, and `blocks` residual blocks each.
    """
    if depth < 2:
        raise UsageError(f"funnel: depth is {depth}, expected 2 or more; set model.depth")
    return Funnel(shape, width, depth, blocks, features, dropout)


class Hourglass(nn.Module):
    """(N, C, H, W) -> (N, 2 width, H/stride, W/stride), sizes rounded up."""

    gives = "map"

    def __init__(self, channels: int, width: int, stride: int, depth: int, blocks: int) -> None:
        super().__init__()
        self.stride = stride
        self.out_features = inner = 2 * width
        self.stem = nn.Sequential(
            _convolution(channels, width, 2 if stride > 1 else 1),  # (N, width, H/2, W/2)
            _convolution(width, inner, 2 if stride > 2 else 1),  # (N, 2 width, H/4, W/4)
        )
        self.down = nn.ModuleList(
            nn.Sequential(_convolution(inner, inner, 2), *(Residual(inner) for _ in range(blocks)))
            for _ in range(depth)
        )
        self.links = nn.ModuleList(nn.Conv2d(inner, inner, 1) for _ in range(depth))
        self.up = nn.ModuleList(nn.Sequential(*(Residual(inner) for _ in range(blocks))) for _ in range(depth))
        self.last = nn.Sequential(nn.BatchNorm2d(inner), nn.ReLU())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the map."""
        x = self.stem(x)
        wider = []
        for step in self.down:
            wider.append(x)
            x = step(x)  # (N, 2 width, H/2s, W/2s), ...
        for step, link, skip in zip(self.up, self.links, reversed(wider), strict=True):
            x = step(F.interpolate(x, size=skip.shape[2:]) + link(skip))
        return self.last(x)  # type: ignore[no-any-return]


class Funnel(nn.Module):
    """(N, C, H, W) -> (N, features)."""

    def __init__(self, shape: Picture, width: int, depth: int, blocks: int, features: int, dropout: float) -> None:
        super().__init__()
        channels, *sides = shape
        self.out_features, inner = features, 2 * width
        steps: list[nn.Module] = [_convolution(channels, width, 2)]  # (N, width, H/2, W/2)
        for before in [width, *[inner] * (depth - 2)]:  # (N, 2 width, H/4, W/4), ...
            steps += [_convolution(before, inner, 2), *(Residual(inner) for _ in range(blocks))]
        cells = math.prod(math.ceil(side / 2**depth) for side in sides)
        self.features = nn.Sequential(
            *steps,
            nn.BatchNorm2d(inner),
            nn.ReLU(),
            nn.Flatten(),
            nn.Dropout(dropout),
            nn.Linear(inner * cells, features),
            nn.ReLU(),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return features."""
        return self.features(x)  # type: ignore[no-any-return]


class Residual(nn.Module):
    """x + F(x), F two 3x3 convolutions with normalisation before each: He et al., "Identity mappings" (2016)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return a map of the same form."""
        return x + self.body(x)  # type: ignore[no-any-return]


def _convolution(channels: int, out_channels: int, stride: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, out_channels, 3, stride, padding=1, bias=False), nn.BatchNorm2d(out_channels), nn.ReLU()
    )
