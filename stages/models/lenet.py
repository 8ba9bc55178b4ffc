"""LeNet: LeCun et al., "Gradient-based learning applied to document recognition" (1998), figure 2; and a numpy one."""

import math

import torch
from torch import nn

from deploy.errors import UsageError
from stages.layers import Activation, Initialisation, Pooling, Unshared2d, activation, initialise, pool
from stages.shapes import Picture


def lenet5(
    shape: Picture,
    *,
    activation: Activation = "relu",
    pooling: Pooling = "max",
    batch_norm: bool = False,
    dropout: float = 0.0,
    shared: bool = True,
    init: Initialisation = "torch",
) -> "LeNet5":
    """LeNet-5 with ReLU and max-pooling, up to its 84 features; 28 x 28 px gives the paper's sizes.

    The options are switches for comparisons; the paper's own are a scaled tanh and an average with weights.
    `dropout` is the rate after both hidden linear layers; without `shared`, a kernel is used at one place only, and
    each place has its own.
    """
    if init != "torch" and not shared:
        raise UsageError(f"lenet5: init is {init!r}, which is for shared weights; set model.init=torch")
    return LeNet5(shape, activation, pooling, batch_norm, dropout, shared, init)


def lenet_numpy(shape: Picture) -> "LeNetNumpy":
    """The numpy text's network: conv 5x5x6, conv 5x5x16, and 256 features from 28 x 28 px."""
    return LeNetNumpy(shape)


class LeNet5(nn.Module):
    """(N, C, H, W) -> (N, 84)."""

    out_features = 84

    def __init__(
        self,
        shape: Picture,
        act: Activation,
        pooling: Pooling,
        batch_norm: bool,
        dropout: float,
        shared: bool,
        init: Initialisation,
    ) -> None:
        super().__init__()
        height, width = shape[1:]
        flat = 16 * _after(height, padding=2) * _after(width, padding=2)
        norms = [nn.BatchNorm2d(6)], [nn.BatchNorm2d(16)]
        drop = [nn.Dropout(dropout)] if dropout else []
        self.features = nn.Sequential(
            _convolution(shape, 6, 2, shared),  # (N, 6, H, W)
            *(norms[0] if batch_norm else []),
            activation(act),
            pool(pooling, 2),  # (N, 6, H/2, W/2)
            _convolution((6, height // 2, width // 2), 16, 0, shared),  # (N, 16, H/2 - 4, W/2 - 4)
            *(norms[1] if batch_norm else []),
            activation(act),
            pool(pooling, 2),  # (N, 16, H/4 - 2, W/4 - 2)
            nn.Flatten(),
            nn.Linear(flat, 120),
            activation(act),
            *drop,
            nn.Linear(120, 84),
            activation(act),
            *drop,
        )
        initialise(self, init)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return features."""
        return self.features(x)  # type: ignore[no-any-return]


class LeNetNumpy(nn.Module):
    """(N, C, H, W) -> (N, 16 (H/4 - 3) (W/4 - 3)); weights and biases normal, over sqrt(3 in k k / out)."""

    def __init__(self, shape: Picture) -> None:
        super().__init__()
        channels, height, width = shape
        self.out_features = 16 * _after(height, padding=0) * _after(width, padding=0)
        self.features = nn.Sequential(
            nn.Conv2d(channels, 6, 5),  # (N, 6, H - 4, W - 4)
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(6, 16, 5),  # (N, 16, H/2 - 6, W/2 - 6)
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
        )
        for layer in self.features:
            if isinstance(layer, nn.Conv2d):
                std = 1 / math.sqrt(3 * layer.in_channels * 5 * 5 / layer.out_channels)
                nn.init.normal_(layer.weight, std=std)
                nn.init.zeros_(layer.bias)  # type: ignore[arg-type]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return features."""
        return self.features(x)  # type: ignore[no-any-return]


def _convolution(shape: Picture, filters: int, padding: int, shared: bool) -> nn.Module:
    channels, height, width = shape
    if shared:
        return nn.Conv2d(channels, filters, 5, padding=padding)
    return Unshared2d(channels, filters, 5, height, width, padding=padding)


def _after(size: int, padding: int) -> int:
    """Return a side's length after both convolutions and pools."""
    left = ((size + 2 * padding - 4) // 2 - 4) // 2
    if left < 1:
        raise UsageError(
            f"LeNet needs at least {16 - 2 * padding} px a side, got {size}; raise input.height and input.width"
        )
    return left
