"""Denoising by a residual: Zhang et al., "Beyond a Gaussian Denoiser" (2017), figure 1 (DnCNN)."""

import torch
from torch import nn

from deploy.errors import UsageError
from stages.shapes import AnyPicture


def dncnn(shape: AnyPicture, *, depth: int = 8, width: int = 32) -> "DnCNN":
    """DnCNN for pictures of any size: `depth` convolutions of `width` filters, the last one in the task's head.

    The paper has 17 of 64.
    """
    if depth < 3:
        raise UsageError(f"dncnn: depth is {depth}, expected 3 or more; set model.depth")
    return DnCNN(shape[0], depth, width)


class DnCNN(nn.Module):
    """(N, C, H, W) -> the same, and features (N, width, H, W) from which a head tells what to take away."""

    gives = "residual"

    def __init__(self, channels: int, depth: int, width: int) -> None:
        super().__init__()
        self.out_features = width
        layers: list[nn.Module] = [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()]
        for _ in range(depth - 2):
            layers += [nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
        self.features = nn.Sequential(*layers)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the input and its features."""
        return x, self.features(x)
