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
    """Maps (N, features, H / s, W / s) of the strides s, the picture itself first -> `Seen`; all share the weights."""

    def __init__(self, features: int, classes: int, strides: tuple[int, ...]) -> None:
        super().__init__()
        self.strides = strides
        self.what = _tower(features, classes)
        self.where = _tower(features, 4)
        nn.init.constant_(self.what[-1].bias, -math.log(1 / _RARE - 1))  # type: ignore[arg-type]

    def forward(self, pyramid: tuple[torch.Tensor, ...]) -> Seen:
        """Return logits and boxes at every place."""
        picture, *maps = pyramid
        exact = next(self.parameters()).dtype  # boxes need all bits, also where maps are computed in fewer
        # Sizes are known on the CPU, where CUDA would have to fetch them from: counted, they are on the device at once.
        sizes = (torch.ones(side, dtype=exact, device=picture.device).sum() for side in picture.shape[2:])
        frame = torch.stack(tuple(sizes)).flip(0)
        logits = torch.cat([self.what(features).flatten(2) for features in maps], dim=2).mT
        raw = torch.cat([self.where(features).flatten(2) for features in maps], dim=2).mT.to(exact)  # (N, P, 4)
        cells = torch.cat([_cells(features, exact) for features in maps])  # (P, 2)
        strides = torch.cat(
            [
                torch.full(features.shape[2:], float(stride), dtype=exact, device=features.device).flatten()
                for features, stride in zip(maps, self.strides, strict=True)
            ]
        )[:, None]
        # A middle inside of the picture leaves a box with an area, whatever is cut off at the border.
        middle = torch.minimum((strides * (cells + raw[..., :2])).clamp(min=0), frame)
        half = strides * F.softplus(raw[..., 2:])
        boxes = torch.cat([(middle - half).clamp(min=0), torch.minimum(middle + half, frame)], dim=2)
        return Seen(logits, boxes, torch.cat([strides * cells, strides], dim=1), frame)


def _tower(features: int, out: int) -> nn.Sequential:
    last = nn.Conv2d(features, out, 1)
    nn.init.normal_(last.weight, std=0.01)
    nn.init.zeros_(last.bias)  # type: ignore[arg-type]
    return nn.Sequential(nn.Conv2d(features, features, 3, padding=1), nn.ReLU(), last)


def _cells(features: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Return x and y of the middle of each place of a map, row by row, in places: (H/s * W/s, 2)."""
    y, x = (torch.arange(side, dtype=dtype, device=features.device) + 0.5 for side in features.shape[2:])
    height, width = features.shape[2:]  # len(x) would be exported as the number that it is in the example
    return torch.stack([x.expand(height, width), y[:, None].expand(height, width)], dim=2).flatten(0, 1)
