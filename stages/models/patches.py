"""Features of small patches of a picture, from a small net: for tasks that compare patches with remembered ones.

After Roth et al., "Towards Total Recall in Industrial Anomaly Detection" (2022): maps of middle layers, which see a
patch and not the whole picture. What is given is of the form "pyramid", see `stages.models.pyramid`.
"""

import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

from stages.shapes import AnyPicture


def patches(shape: AnyPicture, *, width: int = 16) -> "Patches":
    """Two maps of a small net for pictures of any size: of strides 4 and 8, whose places see some 20 and 40 px."""
    return Patches(shape, width)


class Patches(nn.Module):
    """(N, C, H, W) -> the same, (N, 3 width, H/4, W/4) and (N, 3 width, H/8, W/8); sizes are rounded up."""

    gives = "pyramid"

    def __init__(self, shape: AnyPicture, width: int) -> None:
        super().__init__()
        self.shape = shape
        self.strides = (1, 4, 8)
        self.out_features = 3 * width
        self.fine = nn.Sequential(_layer(shape[0], width, 5, 2), _layer(width, width, 3))  # (N, width, H/2, W/2)
        self.middle = nn.Sequential(_layer(width, 2 * width, 3, 2), _layer(2 * width, 2 * width, 3))
        self.coarse = nn.Sequential(_layer(2 * width, 3 * width, 3, 2), _layer(3 * width, 3 * width, 3))

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return the picture and both maps."""
        fine = self.fine(x)
        middle = self.middle(fine)  # (N, 2 width, H/4, W/4)
        pooled = F.avg_pool2d(fine, 3, stride=2, padding=1)  # (N, width, H/4, W/4)
        return x, torch.cat([pooled, middle], dim=1), self.coarse(middle)


def _layer(channels: int, out_channels: int, size: int, stride: int = 1) -> nn.Module:
    convolution = nn.Conv2d(channels, out_channels, size, stride, padding=size // 2, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(out_channels), nn.ReLU())
