"""Inception v3: Szegedy et al., "Rethinking the Inception Architecture" (2015), table 1, section 4; torchvision's."""

import torch
from torch import nn
from torchvision import models

from deploy.errors import UsageError
from stages import pretrained
from stages.graph import Auxiliary
from stages.shapes import Picture
from stages.vision import fit_stem, without_head

_URL = models.Inception_V3_Weights.DEFAULT.url
_SMALL_PX = 75  # torchvision's own limit
_SIDE_PX = 17  # the map on which the side branch works, of a picture of 299 px


def inception_v3(
    shape: Picture, *, dropout: float = 0.5, auxiliary_weight: float = 0.4, weights: str = ""
) -> "InceptionV3":
    """Inception v3 up to its 2,048 features; in training one auxiliary loss counts with `auxiliary_weight` (0: none).

    Made for 299 px; for pictures under 75 px the stem moves by 1 and its first pool is left out. `weights`: empty, a
    file, or imagenet (torchvision's, which take pixels of mean 0.5 and std 0.5).
    """
    channels, height, width = shape
    side = min(height, width)
    if side < 21:
        raise UsageError(f"inception_v3 needs at least 21 px a side, got {side}; raise input.height and input.width")
    net = InceptionV3(dropout)
    small = side < _SMALL_PX
    stem = "Conv2d_1a_3x3.conv"
    fit_stem(net, stem, channels, 1 if small else None)
    if small:
        net.maxpool1 = nn.Identity()
    pretrained.load(net, weights, ("imagenet", _URL), stem=stem, apart=("fc.", "AuxLogits."))
    net.take_branch(auxiliary_weight)
    return net


class InceptionV3(models.Inception3):  # type: ignore[misc]
    """(N, C, H, W) -> (N, 2048); its side branch leaves from the last map of 768 channels."""

    auxiliary: tuple[Auxiliary, ...] = ()
    AuxLogits: nn.Module

    def __init__(self, dropout: float) -> None:
        super().__init__(init_weights=True, dropout=dropout)
        without_head(self, "fc")
        without_head(self.AuxLogits, "fc")  # (N, 768, 17, 17) -> (N, 768)

    def take_branch(self, weight: float) -> None:
        """Turn the side branch from a submodule into `auxiliary`; what it takes comes out of `taps`."""
        if weight:
            branch = nn.Sequential(nn.AdaptiveAvgPool2d(_SIDE_PX), self.AuxLogits)
            self.auxiliary = (Auxiliary(branch, 768, weight),)
        self.AuxLogits = nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return features."""
        return self._forward(x)[0]  # type: ignore[no-any-return]

    def taps(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Return, in training, features and what the branch takes."""
        return self._forward(x)  # type: ignore[no-any-return]
