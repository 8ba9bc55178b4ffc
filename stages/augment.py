"""Other valid views of a batch of images, made on the device for all at once, with own parameters for each image."""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812


@dataclass(frozen=True)
class ImageAugment:
    """What may be changed about an image; the default changes nothing.

    rotate_deg    largest angle, either way
    translate     largest shift, as a part of each side
    scale         largest change of size, either way: 0.1 is 0.9 to 1.1
    flip          whether to mirror left and right, half of the time
    erase         side of a square set to 0 at a random place, as a part of the image's sides; 0: none

    What comes in from outside the image is 0.
    """

    rotate_deg: float = 0.0
    translate: float = 0.0
    scale: float = 0.0
    flip: bool = False
    erase: float = 0.0

    def __bool__(self) -> bool:
        return self != ImageAugment()

    def __call__(self, image_NHWC: torch.Tensor, generator: torch.Generator) -> torch.Tensor:  # noqa: N803
        """Return the batch in the same form and scale; float when pixels were interpolated."""
        if self.rotate_deg or self.translate or self.scale:
            image_NHWC = self._affine(image_NHWC, generator)  # noqa: N806
        if self.flip:
            mirrored = _uniform(len(image_NHWC), 1, generator)[:, 0] < 0
            image_NHWC = torch.where(mirrored[:, None, None, None], image_NHWC.flip(2), image_NHWC)  # noqa: N806
        if self.erase:
            image_NHWC = self._erase(image_NHWC, generator)  # noqa: N806
        return image_NHWC

    def _affine(self, image_NHWC: torch.Tensor, generator: torch.Generator) -> torch.Tensor:  # noqa: N803
        count, height, width, _ = image_NHWC.shape
        turn, size, x, y = _uniform(count, 4, generator).unbind(1)
        angle, factor = turn * math.radians(self.rotate_deg), 1 / (1 + size * self.scale)
        cosine, sine = angle.cos() * factor, angle.sin() * factor
        # From output to input, in coordinates that run from -1 to 1 along each side, whatever the sides' lengths.
        rows = [
            cosine, -sine * (height / width), 2 * x * self.translate,
            sine * (width / height), cosine, 2 * y * self.translate,
        ]  # fmt: skip
        theta = torch.stack(rows, dim=1).view(count, 2, 3)
        pixels = image_NHWC.permute(0, 3, 1, 2).to(theta.dtype)
        grid = F.affine_grid(theta, list(pixels.shape), align_corners=False)
        return F.grid_sample(pixels, grid, padding_mode="zeros", align_corners=False).permute(0, 2, 3, 1)

    def _erase(self, image_NHWC: torch.Tensor, generator: torch.Generator) -> torch.Tensor:  # noqa: N803
        count, height, width, _ = image_NHWC.shape
        centres = (_uniform(count, 2, generator) + 1) / 2
        in_rows = _within(centres[:, :1], self.erase / 2, height)[:, :, None, None]
        in_columns = _within(centres[:, 1:], self.erase / 2, width)[:, None, :, None]
        return image_NHWC.masked_fill(in_rows & in_columns, 0)


def _uniform(rows: int, columns: int, generator: torch.Generator) -> torch.Tensor:
    """Return numbers in [-1, 1)."""
    return torch.rand(rows, columns, generator=generator, device=generator.device) * 2 - 1


def _within(centre: torch.Tensor, radius: float, length: int) -> torch.Tensor:
    """Return (N, length): which pixels of a side lie within `radius` of `centre` (N, 1), both as parts of the side."""
    place = (torch.arange(length, device=centre.device) + 0.5) / length
    return (place - centre).abs() < radius
