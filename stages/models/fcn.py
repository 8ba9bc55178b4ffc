"""Fully convolutional net for series: Wang et al., "Time Series Classification from Scratch" (2017), figure 1 (b)."""

import torch
from torch import nn

from stages.layers import Activation, SameConv1d, activation
from stages.shapes import Series


def fcn(shape: Series, *, width: int = 128, activation: Activation = "relu", dropout: float = 0.0) -> "FCN":
    """FCN for series of any length: three convolutions of `width`, 2 `width` and `width` filters, and their mean.

    `dropout` is the rate of the features that are left out in training (the paper: none).
    """
    return FCN(shape[0], width, activation, dropout)


class FCN(nn.Module):
    """(N, C, T) -> (N, width)."""

    def __init__(self, channels: int, width: int, act: Activation, dropout: float) -> None:
        super().__init__()
        self.out_features = width
        self.features = nn.Sequential(
            *_block(channels, width, 8, act),  # (N, width, T)
            *_block(width, 2 * width, 5, act),  # (N, 2 width, T)
            *_block(2 * width, width, 3, act),  # (N, width, T)
        )
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return features."""
        return self.dropout(self.features(x).mean(dim=2))  # type: ignore[no-any-return]


def _block(channels: int, out_channels: int, size: int, act: Activation) -> tuple[nn.Module, ...]:
    return SameConv1d(channels, out_channels, size), nn.BatchNorm1d(out_channels), activation(act)
