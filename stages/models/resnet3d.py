"""Residual nets for volumes: Hara et al., "Can Spatiotemporal 3D CNNs Retrace the History" (2017), table 1; R3D-18."""

import torch
from torch import nn
from torchvision.models import video

from stages import pretrained
from stages.shapes import Volume
from stages.vision import fit_stem, without_head


def resnet3d(shape: Volume, *, width: int = 16, dropout: float = 0.0) -> "ResNet3d":
    """A residual net of 9 convolutions for volumes of any size; `width` channels first, 8 times as many last."""
    return ResNet3d(shape[0], width, dropout)


def r3d_18(shape: Volume, *, weights: str = "") -> nn.Module:
    """R3D-18, torchvision's (Tran et al., 2017), up to its 512 features.

    `weights`: empty, a file, or kinetics (torchvision's, trained on films: depth is time).
    """
    net = video.r3d_18(weights=None)
    fit_stem(net, "stem.0", shape[0])
    net = without_head(net, "fc")
    url = video.R3D_18_Weights.DEFAULT.url
    pretrained.load(net, weights, ("kinetics", url), stem="stem.0", apart=("fc.",))
    return net


class ResNet3d(nn.Module):
    """(N, C, D, H, W) -> (N, 8 width)."""

    def __init__(self, channels: int, width: int, dropout: float) -> None:
        super().__init__()
        self.out_features = 8 * width
        self.features = nn.Sequential(
            nn.Conv3d(channels, width, 3, padding=1, bias=False),  # (N, width, D, H, W)
            nn.BatchNorm3d(width),
            nn.ReLU(),
            Block(width, width, stride=1),  # (N, width, D, H, W)
            Block(width, 2 * width, stride=2),  # (N, 2 width, D/2, H/2, W/2)
            Block(2 * width, 4 * width, stride=2),  # (N, 4 width, D/4, H/4, W/4)
            Block(4 * width, 8 * width, stride=2),  # (N, 8 width, D/8, H/8, W/8)
        )
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return features."""
        return self.dropout(self.features(x).mean(dim=(2, 3, 4)))  # type: ignore[no-any-return]


class Block(nn.Module):
    """relu(x + F(x)), F two 3x3x3 convolutions; where the form changes, x goes through a 1x1x1 one (option B)."""

    def __init__(self, channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.branch = nn.Sequential(
            nn.Conv3d(channels, out_channels, 3, stride, padding=1, bias=False),
            nn.BatchNorm3d(out_channels),
            nn.ReLU(),
            nn.Conv3d(out_channels, out_channels, 3, padding=1, bias=False),
            nn.BatchNorm3d(out_channels),
        )
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or channels != out_channels:
            self.shortcut = nn.Sequential(
                nn.Conv3d(channels, out_channels, 1, stride, bias=False), nn.BatchNorm3d(out_channels)
            )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the sum, rectified."""
        return torch.relu(self.shortcut(x) + self.branch(x))
