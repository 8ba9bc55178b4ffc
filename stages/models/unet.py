"""U-Net for pictures: Ronneberger et al., "U-Net: Convolutional Networks for Biomedical Image Segmentation" (2015)."""

import itertools

import torch
from torch import nn

from stages.anysize import cropped, padded
from stages.shapes import AnyPicture


def unet(shape: AnyPicture, *, width: int = 16, levels: int = 4, dropout: float = 0.0) -> "UNet":
    """A U-Net for pictures of any size: `width` features at the finest of `levels`, twice as many at each coarser one.

    As in figure 1, except that convolutions keep the size and are normalised by batch. `dropout` is at the coarsest.
    """
    return UNet(shape, width, levels, dropout)


class UNet(nn.Module):
    """(N, C, H, W) -> (N, width, H, W), H and W of any size."""

    gives = "map"

    def __init__(self, shape: AnyPicture, width: int, levels: int, dropout: float) -> None:
        super().__init__()
        self.shape = shape
        self.out_features = width
        self.multiple = 2 ** (levels - 1)
        widths = [width * 2**level for level in range(levels)]
        self.down = nn.ModuleList(  # level k: (N, 2^k width, H/2^k, W/2^k)
            _twice(inner, outer) for inner, outer in zip([shape[0], *widths], widths, strict=False)
        )
        self.pool = nn.MaxPool2d(2)
        self.dropout = nn.Dropout2d(dropout)
        self.grow = nn.ModuleList(
            nn.ConvTranspose2d(coarse, fine, 2, stride=2) for fine, coarse in itertools.pairwise(widths)
        )
        self.up = nn.ModuleList(_twice(2 * fine, fine) for fine in widths[:-1])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return features of every pixel."""
        y = self.down[0](padded(x, self.multiple))
        skipped = []
        for block in self.down[1:]:
            skipped.append(y)
            y = block(self.pool(y))
        y = self.dropout(y)
        for grow, block, skip in zip(self.grow[::-1], self.up[::-1], reversed(skipped), strict=True):
            y = block(torch.cat([skip, grow(y)], dim=1))
        return cropped(y, x)


def _twice(channels: int, out_channels: int) -> nn.Sequential:
    """Return two 3x3 convolutions, each normalised and rectified."""
    return nn.Sequential(
        nn.Conv2d(channels, out_channels, 3, padding=1, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(),
        nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(),
    )
