"""Pictures: turned, shifted, scaled, mirrored, recoloured, with a square left out."""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812

from stages.augment.draw import require, uniform, within
from stages.augment.operations import vary, warp


@dataclass(frozen=True)
class ImageAugment:
    """What may be changed about an image; the default changes nothing.

    rotate_deg    largest angle, either way
    translate     largest shift, as a part of each side, between pixels
    scale         largest change of size, either way: 0.1 is 0.9 to 1.1
    crop          largest shift by whole pixels, as a part of each side: what remains is not interpolated
    flip          whether to mirror left and right, half of the time
    randaugment   how many operations (`stages.augment.operations`) each image goes through, drawn by chance
    strength      how far these go, in (0, 1]
    erase         side of a square set to 0 at a random place, as a part of the image's sides; 0: none

    What comes in from outside the image is 0. Raises `UsageError` for a value out of range.
    """

    rotate_deg: float = 0.0
    translate: float = 0.0
    scale: float = 0.0
    crop: float = 0.0
    flip: bool = False
    randaugment: int = 0
    strength: float = 0.5
    erase: float = 0.0

    def __post_init__(self) -> None:
        require(self, rotate_deg=(0, 180), translate=(0, 1), scale=(0, 1), crop=(0, 1), randaugment=(0, 16))
        require(self, strength=(0, 1), erase=(0, 1))

    def __call__(self, image_NHWC: torch.Tensor, generator: torch.Generator) -> torch.Tensor:  # noqa: N803
        """Return the batch in the same form and scale; float when pixels were computed."""
        if self.rotate_deg or self.translate or self.scale:
            image_NHWC = self._affine(image_NHWC, generator)  # noqa: N806
        if self.crop:
            image_NHWC = self._crop(image_NHWC, generator)  # noqa: N806
        if self.flip:
            mirrored = uniform(len(image_NHWC), 1, generator)[:, 0] < 0
            image_NHWC = torch.where(mirrored[:, None, None, None], image_NHWC.flip(2), image_NHWC)  # noqa: N806
        if self.randaugment:
            pixels = image_NHWC.permute(0, 3, 1, 2).to(torch.get_default_dtype())
            image_NHWC = vary(pixels, self.randaugment, self.strength, generator).permute(0, 2, 3, 1)  # noqa: N806
        if self.erase:
            image_NHWC = self._erase(image_NHWC, generator)  # noqa: N806
        return image_NHWC

    def _affine(self, image_NHWC: torch.Tensor, generator: torch.Generator) -> torch.Tensor:  # noqa: N803
        turn, size, x, y = uniform(len(image_NHWC), 4, generator).unbind(1)
        angle, factor = turn * math.radians(self.rotate_deg), 1 / (1 + size * self.scale)
        cosine, sine = angle.cos() * factor, angle.sin() * factor
        pixels = image_NHWC.permute(0, 3, 1, 2).to(turn.dtype)
        shift_x, shift_y = 2 * x * self.translate, 2 * y * self.translate
        return warp(pixels, (cosine, -sine, shift_x, sine, cosine, shift_y)).permute(0, 2, 3, 1)

    def _crop(self, image_NHWC: torch.Tensor, generator: torch.Generator) -> torch.Tensor:  # noqa: N803
        count, height, width, _ = image_NHWC.shape
        down, right = (max(1, round(self.crop * side)) for side in (height, width))
        padded = F.pad(image_NHWC, (0, 0, right, right, down, down))
        windows = padded.unfold(1, height, 1).unfold(2, width, 1)  # (N, 2 down + 1, 2 right + 1, C, H, W), no copy
        parts = (uniform(count, 2, generator) + 1) / 2
        y = (parts[:, 0] * (2 * down + 1)).long().clamp_max(2 * down)
        x = (parts[:, 1] * (2 * right + 1)).long().clamp_max(2 * right)
        return windows[torch.arange(count, device=y.device), y, x].permute(0, 2, 3, 1)

    def _erase(self, image_NHWC: torch.Tensor, generator: torch.Generator) -> torch.Tensor:  # noqa: N803
        count, height, width, _ = image_NHWC.shape
        centres = (uniform(count, 2, generator) + 1) / 2
        in_rows = within(centres[:, :1], self.erase / 2, height)[:, :, None, None]
        in_columns = within(centres[:, 1:], self.erase / 2, width)[:, None, :, None]
        return image_NHWC.masked_fill(in_rows & in_columns, 0)
