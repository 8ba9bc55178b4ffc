"""U-Net for volumes: Cicek et al., "3D U-Net: Learning Dense Volumetric Segmentation" (2016), figure 2."""

import itertools

import torch
from torch import nn

from stages.anysize import cropped, padded
from stages.shapes import AnyVolume


def unet3d(shape: AnyVolume, *, width: int = 8, levels: int = 3, dropout: float = 0.0) -> "UNet3d":
    """A U-Net for volumes of any size: 2 `width` features at the finest of `levels`, twice as many at each coarser one.

    As in the paper the number doubles before a pool, not after it. `dropout` is at the coarsest level.
    """
    return UNet3d(shape, width, levels, dropout)


class UNet3d(nn.Module):
    """(N, C, D, H, W) -> (N, 2 width, D, H, W), sides of any size."""

    gives = "map"

    def __init__(self, shape: AnyVolume, width: int, levels: int, dropout: float) -> None:
        super().__init__()
        self.shape = shape
        self.out_features = 2 * width
        self.multiple = 2 ** (levels - 1)
        widths = [2 * width * 2**level for level in range(levels)]
        self.down = nn.ModuleList(  # level k: (N, 2^(k + 1) width, D/2^k, H/2^k, W/2^k)
            _twice(inner, outer // 2, outer) for inner, outer in zip([shape[0], *widths], widths, strict=False)
        )
        self.pool = nn.MaxPool3d(2)
        self.dropout = nn.Dropout3d(dropout)
        self.grow = nn.ModuleList(nn.ConvTranspose3d(coarse, coarse, 2, stride=2) for coarse in widths[1:])
        self.up = nn.ModuleList(_twice(fine + coarse, fine, fine) for fine, coarse in itertools.pairwise(widths))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return features of every voxel."""
        y = self.down[0](padded(x, self.multiple))
        skipped = []
        for block in self.down[1:]:
            skipped.append(y)
            y = block(self.pool(y))
        y = self.dropout(y)
        for grow, block, skip in zip(self.grow[::-1], self.up[::-1], reversed(skipped), strict=True):
            y = block(torch.cat([skip, grow(y)], dim=1))
        return cropped(y, x)


def _twice(channels: int, middle: int, out_channels: int) -> nn.Sequential:
    """Return two 3x3x3 convolutions, each normalised and rectified."""
    return nn.Sequential(
        nn.Conv3d(channels, middle, 3, padding=1, bias=False),
        nn.BatchNorm3d(middle),
        nn.ReLU(),
        nn.Conv3d(middle, out_channels, 3, padding=1, bias=False),
        nn.BatchNorm3d(out_channels),
        nn.ReLU(),
    )
