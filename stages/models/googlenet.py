"""GoogLeNet: Szegedy et al., "Going Deeper with Convolutions" (2014), table 1 and section 5, as in torchvision."""

import torch
from torch import nn
from torchvision import models

from stages import pretrained
from stages.graph import Auxiliary
from stages.shapes import Picture
from stages.vision import SMALL_PX, fit_stem, without_head

_URL = models.GoogLeNet_Weights.DEFAULT.url


def googlenet(
    shape: Picture,
    *,
    dropout: float = 0.2,
    auxiliary_weight: float = 0.3,
    auxiliary_dropout: float = 0.7,
    weights: str = "",
) -> "GoogLeNet":
    """GoogLeNet up to its 1,024 features; two auxiliary losses in training, of `auxiliary_weight` each (0: none).

    For pictures under 64 px the 7 x 7 stem moves by 1 and its pool is left out. `weights`: empty, a file, or imagenet
    (torchvision's, which take pixels of mean 0.5 and std 0.5).
    """
    net = GoogLeNet(dropout, auxiliary_dropout)
    channels, height, width = shape
    small = min(height, width) < SMALL_PX
    fit_stem(net, "conv1.conv", channels, 1 if small else None)
    if small:
        net.maxpool1 = nn.Identity()
    pretrained.load(net, weights, ("imagenet", _URL), stem="conv1.conv", apart=("fc.", "aux1.", "aux2."))
    net.take_branches(auxiliary_weight)
    return net


class GoogLeNet(models.GoogLeNet):  # type: ignore[misc]
    """(N, C, H, W) -> (N, 1024); its side branches leave from inception 4a and 4d."""

    auxiliary: tuple[Auxiliary, ...] = ()
    aux1: nn.Module
    aux2: nn.Module

    def __init__(self, dropout: float, auxiliary_dropout: float) -> None:
        super().__init__(init_weights=True, dropout=dropout, dropout_aux=auxiliary_dropout)
        without_head(self, "fc")
        without_head(self.aux1, "fc2")  # (N, 512, H/16, W/16) -> (N, 1024)
        without_head(self.aux2, "fc2")  # (N, 528, H/16, W/16) -> (N, 1024)

    def take_branches(self, weight: float) -> None:
        """Turn the side branches from submodules into `auxiliary`; what they take comes out of `taps`."""
        if weight:
            self.auxiliary = tuple(Auxiliary(side, 1024, weight) for side in (self.aux1, self.aux2))
        self.aux1, self.aux2 = nn.Identity(), nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return features."""
        return self._forward(x)[0]  # type: ignore[no-any-return]

    def taps(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Return, in training, features and what both branches take."""
        features, second, first = self._forward(x)
        return features, first, second
