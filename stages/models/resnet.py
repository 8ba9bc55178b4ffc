"""Residual networks: He et al., "Deep Residual Learning for Image Recognition" (2015), section 3.3, table 1."""

import torch
from torch import nn
from torchvision import models

from stages import pretrained
from stages.shapes import Picture
from stages.vision import SMALL_PX, fit_stem, without_head


def resnet18(shape: Picture, *, weights: str = "") -> nn.Module:
    """ResNet-18, torchvision's, up to its 512 features.

    For pictures under 64 px the 7 x 7 stem moves by 1 and its pool is left out. `weights`: empty, a file, or imagenet
    (torchvision's).
    """
    return _resnet("resnet18", shape, weights)


def resnet34(shape: Picture, *, weights: str = "") -> nn.Module:
    """ResNet-34 up to its 512 features; as `resnet18` otherwise."""
    return _resnet("resnet34", shape, weights)


def resnet50(shape: Picture, *, weights: str = "") -> nn.Module:
    """ResNet-50 up to its 2,048 features; as `resnet18` otherwise (stride in the 3 x 3 convolutions, "v1.5")."""
    return _resnet("resnet50", shape, weights)


def _resnet(name: str, shape: Picture, weights: str) -> nn.Module:
    channels, height, width = shape
    net = models.get_model(name, weights=None)
    small = min(height, width) < SMALL_PX
    fit_stem(net, "conv1", channels, 1 if small else None)  # (N, 64, H, W) when small, else (N, 64, H/2, W/2)
    if small:
        net.maxpool = nn.Identity()
    net = without_head(net, "fc")
    url = models.get_model_weights(name).DEFAULT.url
    pretrained.load(net, weights, ("imagenet", url), stem="conv1", apart=("fc.",))
    return net


def resnet_small(shape: Picture, *, width: int = 16) -> "ResNetSmall":
    """A residual net of 9 convolutions for pictures of any size; `width` channels first, 8 times as many last."""
    return ResNetSmall(shape[0], width, stride=2 if min(shape[1:]) >= 64 else 1)


class ResNetSmall(nn.Module):
    """(N, C, H, W) -> (N, 8 width); sizes below are for a stem of stride 1."""

    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.out_features = 8 * width
        self.features = nn.Sequential(
            nn.Conv2d(channels, width, 3, stride, padding=1, bias=False),  # (N, width, H, W)
            nn.BatchNorm2d(width),
            nn.ReLU(),
            Residual(width, width, stride=1),  # (N, width, H, W)
            Residual(width, 2 * width, stride=2),  # (N, 2 width, H/2, W/2)
            Residual(2 * width, 4 * width, stride=2),  # (N, 4 width, H/4, W/4)
            Residual(4 * width, 8 * width, stride=2),  # (N, 8 width, H/8, W/8)
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return features."""
        return self.features(x)  # type: ignore[no-any-return]


class Residual(nn.Module):
    """relu(x + F(x)), F two 3x3 convolutions; where the form changes, x goes through a 1x1 one (option B)."""

    def __init__(self, channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.branch = nn.Sequential(
            nn.Conv2d(channels, out_channels, 3, stride, padding=1, bias=False),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(),
            nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(out_channels),
        )
        changes = stride != 1 or channels != out_channels
        self.shortcut = (
            nn.Sequential(
                nn.Conv2d(channels, out_channels, 1, stride, bias=False),
                nn.BatchNorm2d(out_channels),
            )
            if changes
            else nn.Identity()
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the sum, rectified."""
        return torch.relu(self.shortcut(x) + self.branch(x))
