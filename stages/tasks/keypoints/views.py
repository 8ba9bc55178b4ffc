"""Other views of pictures with points in them: turned, shifted, scaled, mirrored, and the points with them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from deploy.errors import UsageError
from stages.augment import ImageAugment
from stages.augment.draw import require, uniform
from stages.augment.operations import warp

_SIDES = (("left", "right"), ("right", "left"))


@dataclass(frozen=True)
class Views:
    """What may be changed; the default changes nothing. Points that leave the picture are NaN.

    rotate_deg, translate, scale, erase    as `stages.augment.ImageAugment` says
    mirror        order (K,) of points after a picture is mirrored, which happens half of the time; empty: never
    """

    rotate_deg: float = 0.0
    translate: float = 0.0
    scale: float = 0.0
    erase: float = 0.0
    mirror: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        require(self, rotate_deg=(0, 180), translate=(0, 1), scale=(0, 0.9), erase=(0, 1))

    def __call__(
        self,
        images: torch.Tensor,
        points: torch.Tensor,
        generator: torch.Generator,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return pictures in the same form and scale, and points (N, K, 2) in parts of width and height."""
        if self.rotate_deg or self.translate or self.scale:
            images, points = self._affine(images, points, generator)
        if self.mirror:
            mirrored = uniform(len(images), 1, generator)[:, 0] < 0
            swapped = points[:, list(self.mirror)]
            swapped = torch.stack([1 - swapped[..., 0], swapped[..., 1]], dim=2)
            points = torch.where(mirrored[:, None, None], swapped, points)
            images = torch.where(mirrored[:, None, None, None], images.flip(2), images)
        if self.erase:
            images = ImageAugment(erase=self.erase)(images, generator)
        inside = ((points >= 0) & (points <= 1)).all(dim=2, keepdim=True)
        return images, points.masked_fill(~inside, math.nan)

    def _affine(
        self,
        images: torch.Tensor,
        points: torch.Tensor,
        generator: torch.Generator,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        height, width = images.shape[1:3]
        turn, size, x, y = uniform(len(images), 4, generator).unbind(1)
        angle, factor = turn * math.radians(self.rotate_deg), 1 + size * self.scale
        cosine, sine = angle.cos(), angle.sin()
        shift = 2 * self.translate * torch.stack([x, y], dim=1)
        pixels = images.permute(0, 3, 1, 2).to(turn.dtype)
        rows = (cosine / factor, -sine / factor, shift[:, 0], sine / factor, cosine / factor, shift[:, 1])
        # `warp` looks up where each pixel comes from, in half sides from the middle; a point goes the other way.
        sides = torch.tensor([width, height], device=points.device, dtype=points.dtype)
        away = (2 * points - 1 - shift[:, None]) * sides
        back = torch.stack([cosine, sine, -sine, cosine], dim=1).view(-1, 2, 2) * factor[:, None, None]
        moved = torch.einsum("nij,nkj->nki", back, away)
        return warp(pixels, rows).permute(0, 2, 3, 1), (moved / sides + 1) / 2


def mirrored_order(names: Sequence[str]) -> tuple[int, ...]:
    """Return which point of a picture each name gets when it is mirrored: left_eye that of right_eye.

    Raises `UsageError` for a name with left or right in it that has no partner, and where there are no such names.
    """
    order = []
    for name in names:
        partner = next((name.replace(*sides) for sides in _SIDES if sides[0] in name), name)
        if partner not in names:
            raise UsageError(
                f"task option 'flip' is true, and point {name!r} has no {partner!r} to change places with; rename the "
                "points, or set task.flip to false"
            )
        order.append(names.index(partner))
    if order == list(range(len(order))):
        raise UsageError(
            f"task option 'flip' is true, and no point is named left or right ({', '.join(names[:5])}); rename the "
            "points, or set task.flip to false"
        )
    return tuple(order)
