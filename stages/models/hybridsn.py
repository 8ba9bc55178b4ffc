"""Spectra in space: Roy et al., "HybridSN: Exploring 3D-2D CNN Feature Hierarchy" (2019), table 1."""

import torch
from torch import nn

from stages.shapes import Picture


def hybridsn(shape: Picture, *, width: int = 8, batch_norm: bool = True, dropout: float = 0.4) -> "HybridSN":
    """A small 3D-2D CNN after HybridSN's idea, for patches (bands, height, width) of any size, from 3 x 3 px.

    Three convolutions over bands and space (`width`, 2 `width`, 4 `width` filters), then one over space alone, and two
    linear layers. Unlike the paper's, convolutions keep the size, since patches may be small, and `batch_norm` is on.
    """
    return HybridSN(shape, width, batch_norm, dropout)


class HybridSN(nn.Module):
    """(N, bands, H, W) -> (N, 128)."""

    out_features = 128

    def __init__(self, shape: Picture, width: int, batch_norm: bool, dropout: float) -> None:
        super().__init__()
        bands, height, wide = shape
        norms = nn.BatchNorm3d if batch_norm else nn.Identity
        self.spectral = nn.Sequential(
            nn.Conv3d(1, width, (7, 3, 3), padding=(3, 1, 1)),  # (N, width, bands, H, W)
            norms(width),
            nn.ReLU(),
            nn.Conv3d(width, 2 * width, (5, 3, 3), padding=(2, 1, 1)),  # (N, 2 width, bands, H, W)
            norms(2 * width),
            nn.ReLU(),
            nn.Conv3d(2 * width, 4 * width, 3, padding=1),  # (N, 4 width, bands, H, W)
            norms(4 * width),
            nn.ReLU(),
        )
        self.spatial = nn.Sequential(
            nn.Flatten(1, 2),  # (N, 4 width x bands, H, W)
            nn.Conv2d(4 * width * bands, 8 * width, 3, padding=1),  # (N, 8 width, H, W)
            nn.BatchNorm2d(8 * width) if batch_norm else nn.Identity(),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(8 * width * height * wide, 256),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(256, 128),
            nn.ReLU(),
            nn.Dropout(dropout),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return features."""
        return self.spatial(self.spectral(x.unsqueeze(1)))  # type: ignore[no-any-return]
