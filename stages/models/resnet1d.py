"""Residual net for series: Wang et al., "Time Series Classification from Scratch" (2017), figure 1 (c)."""

import torch
from torch import nn

from stages.layers import SameConv1d
from stages.shapes import Series


def resnet1d(shape: Series, *, width: int = 64, dropout: float = 0.0) -> "ResNet1d":
    """A residual net for series of any length: blocks of `width`, 2 `width` and 2 `width` filters, and their mean.

    `dropout` is the rate of the features that are left out in training (the paper: none).
    """
    return ResNet1d(shape[0], width, dropout)


class ResNet1d(nn.Module):
    """(N, C, T) -> (N, 2 width)."""

    def __init__(self, channels: int, width: int, dropout: float) -> None:
        super().__init__()
        self.out_features = 2 * width
        self.features = nn.Sequential(
            Block(channels, width),  # (N, width, T)
            Block(width, 2 * width),  # (N, 2 width, T)
            Block(2 * width, 2 * width),  # (N, 2 width, T)
        )
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return features."""
        return self.dropout(self.features(x).mean(dim=2))  # type: ignore[no-any-return]


class Block(nn.Module):
    """relu(x + F(x)), F three convolutions of 8, 5 and 3 samples; x goes through one of 1 where channels change."""

    def __init__(self, channels: int, out_channels: int) -> None:
        super().__init__()
        self.branch = nn.Sequential(
            SameConv1d(channels, out_channels, 8),
            nn.BatchNorm1d(out_channels),
            nn.ReLU(),
            SameConv1d(out_channels, out_channels, 5),
            nn.BatchNorm1d(out_channels),
            nn.ReLU(),
            SameConv1d(out_channels, out_channels, 3),
            nn.BatchNorm1d(out_channels),
        )
        changes = channels != out_channels
        self.shortcut = nn.Sequential(
            nn.Conv1d(channels, out_channels, 1) if changes else nn.Identity(), nn.BatchNorm1d(out_channels)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the sum, rectified."""
        return torch.relu(self.shortcut(x) + self.branch(x))
