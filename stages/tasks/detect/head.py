"""From the maps of a pyramid to a box and a score for each class at every place of it, without anchors.

The idea is that of FCOS (Tian et al., 2019): every place of every map says what is there and where its box is. Scores
and their loss are those of Generalized Focal Loss (Li et al., 2020): the score of a class is how well the box of this
place is expected to cover a thing of that class, so that there is no second score for how good a box is.
"""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

_RARE = 0.01  # what every score is at the beginning, as in "Focal Loss" (Lin et al., 2017), section 4.1


class Seen(NamedTuple):
    """What the head sees, in px of the preprocessed picture; P places are those of all maps, from fine to coarse.

    logits    (N, P, classes); the sigmoid is the score
    boxes     (N, P, 4) x1, y1, x2, y2, inside of the picture
    places    (P, 3): x and y of the place, and its map's stride
    frame     (2,): width and height of the picture
    """

    logits: torch.Tensor
    boxes: torch.Tensor
    places: torch.Tensor
    frame: torch.Tensor


class Head(nn.Module):
    """Maps (N, features, H / s, W / s) of the strides s, the picture itself first -> `Seen`.

    All maps share the weights; each has a factor of its own for the size of its boxes (FCOS, section 3.2).
    """

    def __init__(self, features: int, classes: int, strides: tuple[int, ...]) -> None:
        super().__init__()
        self.strides = strides
        self.what = _tower(features)
        self.where = _tower(features)
        self.logits = nn.Conv2d(features, classes, 3, padding=1)
        self.boxes = nn.Conv2d(features, 4, 3, padding=1)
        self.factors = nn.Parameter(torch.ones(len(strides)))
        for layer in (self.logits, self.boxes):
            nn.init.normal_(layer.weight, std=0.01)
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
        nn.init.constant_(self.logits.bias, -math.log(1 / _RARE - 1))  # type: ignore[arg-type]

    def forward(self, pyramid: tuple[torch.Tensor, ...]) -> Seen:
        """Return logits and boxes at every place."""
        picture, *maps = pyramid
        dtype = self.factors.dtype  # boxes need all bits where maps are computed in fewer
        height, width = picture.shape[2:]
        frame = torch.stack([torch.scalar_tensor(size, dtype=dtype, device=picture.device) for size in (width, height)])
        logits, boxes, places = [], [], []
        for features, stride, factor in zip(maps, self.strides, self.factors, strict=True):
            logits.append(self.logits(self.what(features)).flatten(2).mT)
            raw = self.boxes(self.where(features)).flatten(2).mT.to(dtype)  # (N, H/s * W/s, 4)
            here = _places(features, stride, dtype)
            centre = here[:, :2] + stride * raw[..., :2]
            half = stride * F.softplus(factor * raw[..., 2:])
            # A centre inside of the picture leaves a box with an area, whatever is cut off at the border.
            centre = torch.minimum(centre.clamp(min=0), frame)
            boxes.append(torch.cat([(centre - half).clamp(min=0), torch.minimum(centre + half, frame)], dim=2))
            places.append(here)
        return Seen(torch.cat(logits, 1), torch.cat(boxes, 1), torch.cat(places), frame)


def _tower(features: int) -> nn.Module:
    return nn.Sequential(nn.Conv2d(features, features, 3, padding=1), nn.ReLU())


def _places(features: torch.Tensor, stride: int, dtype: torch.dtype) -> torch.Tensor:
    """Return (H/s * W/s, 3): x and y of the middle of each place, in px, row by row, and the stride."""
    height, width = features.shape[2:]
    y = (torch.arange(height, device=features.device, dtype=dtype) + 0.5) * stride
    x = (torch.arange(width, device=features.device, dtype=dtype) + 0.5) * stride
    grid = torch.stack([x.expand(height, width), y[:, None].expand(height, width)], dim=2)
    return F.pad(grid.flatten(0, 1), (0, 1), value=float(stride))
