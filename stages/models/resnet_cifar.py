"""Residual and plain nets of any depth for small pictures: He et al., "Deep Residual Learning" (2015), section 4.2."""

import itertools

import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

from deploy.errors import UsageError
from stages.layers import Activation, Initialisation, PoolAll, Pooling, activation, initialise
from stages.shapes import Picture


def resnet_cifar(
    shape: Picture,
    *,
    depth: int = 20,
    width: int = 16,
    residual: bool = True,
    activation: Activation = "relu",
    pooling: Pooling = "average",
    batch_norm: bool = True,
    dropout: float = 0.0,
    init: Initialisation = "he_normal",
) -> "ResNetCifar":
    """A residual net of `depth` = 6n + 2 layers for small pictures; without `residual` the plain net of equal weights.

    Three stages of n blocks with `width`, 2 `width` and 4 `width` channels. Shortcuts have no weights (option A), so
    that the link is the only difference between the two nets. `pooling` is the last one, over the whole map.
    """
    if depth < 8 or (depth - 2) % 6:
        raise UsageError(
            f"resnet_cifar: depth is {depth}, expected 6n + 2 (8, 14, 20, 32, 44, 56, 110); set model.depth"
        )
    return ResNetCifar(shape[0], depth, width, residual, activation, pooling, batch_norm, dropout, init)


class ResNetCifar(nn.Module):
    """(N, C, H, W) -> (N, 4 width)."""

    def __init__(
        self,
        channels: int,
        depth: int,
        width: int,
        residual: bool,
        act: Activation,
        pooling: Pooling,
        batch_norm: bool,
        dropout: float,
        init: Initialisation,
    ) -> None:
        super().__init__()
        self.out_features = 4 * width
        blocks = (depth - 2) // 6
        stages = [
            *[(width, 1)] * blocks,  # (N, width, H, W)
            *[(2 * width, 2), *[(2 * width, 1)] * (blocks - 1)],  # (N, 2 width, H/2, W/2)
            *[(4 * width, 2), *[(4 * width, 1)] * (blocks - 1)],  # (N, 4 width, H/4, W/4)
        ]
        inner = itertools.chain([width], (out for out, _ in stages))
        self.features = nn.Sequential(
            _convolution(channels, width, 1, batch_norm),  # (N, width, H, W)
            activation(act),
            *(
                Block(inp, out, stride, residual, act, batch_norm)
                for inp, (out, stride) in zip(inner, stages, strict=False)
            ),
            PoolAll(pooling),
            nn.Dropout(dropout),
        )
        initialise(self, init)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return features."""
        return self.features(x)  # type: ignore[no-any-return]


class Block(nn.Module):
    """act(x + F(x)), F two 3x3 convolutions (figure 2); act(F(x)) without the residual link."""

    def __init__(
        self, channels: int, out_channels: int, stride: int, residual: bool, act: Activation, batch_norm: bool
    ) -> None:
        super().__init__()
        self.branch = nn.Sequential(
            _convolution(channels, out_channels, stride, batch_norm),
            activation(act),
            _convolution(out_channels, out_channels, 1, batch_norm),
        )
        self.activation = activation(act)
        self.residual, self.stride, self.more = residual, stride, out_channels - channels

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the block's map: (N, out, H / stride, W / stride)."""
        y = self.branch(x)
        if self.residual:
            if self.more:  # option A: every second pixel, and zeros for the new channels
                x = F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.more))
            y = x + y
        return self.activation(y)  # type: ignore[no-any-return]


def _convolution(channels: int, out_channels: int, stride: int, batch_norm: bool) -> nn.Module:
    layer = nn.Conv2d(channels, out_channels, 3, stride, padding=1, bias=not batch_norm)
    return nn.Sequential(layer, nn.BatchNorm2d(out_channels)) if batch_norm else layer
