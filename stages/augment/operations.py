"""Operations on pictures of which each one goes through a few, drawn by chance: after RandAugment.

Cubuk et al., "RandAugment: Practical automated data augmentation with a reduced search space" (2019), without equalize
and invert. Pixels are float (N, C, H, W) in [0, 255]; an amount (N, 1, 1, 1) in [-1, 1] says how far, and which way.
"""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F  # noqa: N812

from stages.augment.draw import uniform

Operation = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
Rows = tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]

_GREY = (0.299, 0.587, 0.114)  # ITU-R BT.601
_TURN, _SHEAR, _SHIFT, _BLEND = math.radians(30), 0.3, 0.3, 0.9  # at amount 1, as in the paper (shift: of a side)


def vary(pixels: torch.Tensor, rounds: int, strength: float, generator: torch.Generator) -> torch.Tensor:
    """Return the pictures, each after `rounds` operations by amounts up to `strength`.

    In a round the batch is dealt out to all operations in parts of one size, so that no size depends on a draw: the
    device is never waited for. A batch smaller than the number of operations meets others at each step.
    """
    for number in range(rounds):
        first = (generator.initial_seed() + number) % len(OPERATIONS)
        dealt = torch.randperm(len(pixels), generator=generator, device=pixels.device)
        amount = uniform(len(pixels), 1, generator)[:, :, None, None] * strength
        varied = [
            OPERATIONS[(first + place) % len(OPERATIONS)](pixels[rows], amount[rows])
            for place, rows in enumerate(torch.tensor_split(dealt, len(OPERATIONS)))
            if len(rows)
        ]
        pixels = torch.empty_like(pixels).index_copy_(0, dealt, torch.cat(varied))
    return pixels


def warp(pixels: torch.Tensor, rows: Rows) -> torch.Tensor:
    """Move pixels by an affine map, from output to input: x' = a x + b y + c, y' = d x + e y + f, each (N,).

    Lengths are in half sides for c and f; a to e are those of a map that is the same in both directions in pixels.
    """
    height, width = pixels.shape[2:]
    a, b, c, d, e, f = rows
    # Coordinates run from -1 to 1 along each side, whatever the sides' lengths.
    theta = torch.stack([a, b * (height / width), c, d * (width / height), e, f], dim=1).view(-1, 2, 3)
    grid = F.affine_grid(theta, list(pixels.shape), align_corners=False)
    return F.grid_sample(pixels, grid, padding_mode="zeros", align_corners=False)


def _rotate(pixels: torch.Tensor, amount: torch.Tensor) -> torch.Tensor:
    angle = amount.flatten() * _TURN
    none = torch.zeros_like(angle)
    return warp(pixels, (angle.cos(), -angle.sin(), none, angle.sin(), angle.cos(), none))


def _shear_x(pixels: torch.Tensor, amount: torch.Tensor) -> torch.Tensor:
    slope = amount.flatten() * _SHEAR
    none, one = torch.zeros_like(slope), torch.ones_like(slope)
    return warp(pixels, (one, slope, none, none, one, none))


def _shear_y(pixels: torch.Tensor, amount: torch.Tensor) -> torch.Tensor:
    slope = amount.flatten() * _SHEAR
    none, one = torch.zeros_like(slope), torch.ones_like(slope)
    return warp(pixels, (one, none, none, slope, one, none))


def _shift_x(pixels: torch.Tensor, amount: torch.Tensor) -> torch.Tensor:
    shift = 2 * _SHIFT * amount.flatten()
    none, one = torch.zeros_like(shift), torch.ones_like(shift)
    return warp(pixels, (one, none, shift, none, one, none))


def _shift_y(pixels: torch.Tensor, amount: torch.Tensor) -> torch.Tensor:
    shift = 2 * _SHIFT * amount.flatten()
    none, one = torch.zeros_like(shift), torch.ones_like(shift)
    return warp(pixels, (one, none, none, none, one, shift))


def _blend(base: torch.Tensor, pixels: torch.Tensor, amount: torch.Tensor) -> torch.Tensor:
    """Go from `base` to the pixels and, for amounts above 0, beyond them."""
    return (base + (pixels - base) * (1 + _BLEND * amount)).clamp(0, 255)


def _brightness(pixels: torch.Tensor, amount: torch.Tensor) -> torch.Tensor:
    return _blend(torch.zeros_like(pixels), pixels, amount)


def _contrast(pixels: torch.Tensor, amount: torch.Tensor) -> torch.Tensor:
    return _blend(_grey(pixels).mean(dim=(1, 2, 3), keepdim=True), pixels, amount)


def _colour(pixels: torch.Tensor, amount: torch.Tensor) -> torch.Tensor:
    return _blend(_grey(pixels), pixels, amount)


def _sharpness(pixels: torch.Tensor, amount: torch.Tensor) -> torch.Tensor:
    smooth = F.avg_pool2d(F.pad(pixels, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    return _blend(smooth, pixels, amount)


def _posterize(pixels: torch.Tensor, amount: torch.Tensor) -> torch.Tensor:
    step = 2 ** (4 * amount.abs()).round()  # at amount 1 half of the 8 bits are left
    return (pixels / step).floor() * step


def _solarize(pixels: torch.Tensor, amount: torch.Tensor) -> torch.Tensor:
    return torch.where(pixels >= 256 * (1 - amount.abs()), 255 - pixels, pixels)


def _autocontrast(pixels: torch.Tensor, amount: torch.Tensor) -> torch.Tensor:
    low, high = pixels.amin(dim=(2, 3), keepdim=True), pixels.amax(dim=(2, 3), keepdim=True)
    return torch.where(high > low, (pixels - low) * 255 / (high - low).clamp_min(1e-6), pixels)


def _grey(pixels: torch.Tensor) -> torch.Tensor:
    if pixels.shape[1] != 3:
        return pixels.mean(dim=1, keepdim=True)
    red, green, blue = pixels.unbind(1)
    return (_GREY[0] * red + _GREY[1] * green + _GREY[2] * blue)[:, None]


OPERATIONS: tuple[Operation, ...] = (
    _rotate, _shear_x, _shear_y, _shift_x, _shift_y, _brightness, _contrast, _colour, _sharpness, _posterize,
    _solarize, _autocontrast,
)  # fmt: skip
