"""Pictures and volumes together with their masks: mirrored, turned and shifted alike, and recoloured."""

import itertools
from dataclasses import dataclass

import torch

from deploy.errors import UsageError
from stages.augment.draw import require, uniform


@dataclass(frozen=True)
class GridAugment:
    """What may be changed about a sample and its mask; the default changes nothing. Nothing is interpolated.

    flip          whether to mirror along each axis, half of the time
    turn          whether to exchange two axes of equal length, half of the time; with `flip` that is all quarter turns
    shift         largest shift along each axis, as a part of its length; what comes in is a mirror image
    brightness    largest change of all values, either way: 0.2 is 0.8 to 1.2 times
    contrast      the same for their distances from the sample's mean

    Raises `UsageError` for a value out of range.
    """

    flip: bool = False
    turn: bool = False
    shift: float = 0.0
    brightness: float = 0.0
    contrast: float = 0.0

    def __post_init__(self) -> None:
        require(self, shift=(0, 1), brightness=(0, 1), contrast=(0, 1))

    def __call__(
        self, raw: torch.Tensor, masks: torch.Tensor, generator: torch.Generator
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return raw (N, *sides[, channels]) and masks (N, *sides) of the same form.

        Recoloured samples are float; the values of those that came as uint8 stay in [0, 255].
        """
        axes = range(1, masks.dim())
        if self.flip:
            for axis in axes:
                raw, masks = _half(generator, (raw, raw.flip(axis)), (masks, masks.flip(axis)))
        if self.turn:
            for one, other in _exchangeable(masks):
                pairs = (raw, raw.transpose(one, other)), (masks, masks.transpose(one, other))
                raw, masks = _half(generator, *pairs)
        if self.shift:
            raw, masks = self._shifted(raw, masks, generator)
        return (self._recoloured(raw, generator) if self.brightness or self.contrast else raw), masks

    def _shifted(
        self, raw: torch.Tensor, masks: torch.Tensor, generator: torch.Generator
    ) -> tuple[torch.Tensor, torch.Tensor]:
        rows, *sides = masks.shape
        moves = uniform(rows, len(sides), generator) * self.shift
        index = [torch.arange(rows, device=masks.device).view(-1, *[1] * len(sides))]
        for axis, side in enumerate(sides):
            places = torch.arange(side, device=masks.device) + (moves[:, axis : axis + 1] * side).round().long()
            inside = _mirrored(places, side)  # (N, side)
            index.append(inside.view(rows, *(side if other == axis else 1 for other in range(len(sides)))))
        return raw[tuple(index)], masks[tuple(index)]

    def _recoloured(self, raw: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        values = raw.to(torch.get_default_dtype())
        mean = values.flatten(1).mean(dim=1).view(-1, *[1] * (raw.dim() - 1))
        light, distance = (part.view(mean.shape) for part in uniform(len(raw), 2, generator).unbind(1))
        values = (mean + (values - mean) * (1 + self.contrast * distance)) * (1 + self.brightness * light)
        return values.clamp(0, 255) if raw.dtype == torch.uint8 else values


def _half(
    generator: torch.Generator, first: tuple[torch.Tensor, torch.Tensor], second: tuple[torch.Tensor, torch.Tensor]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return, of two pairs (as it is, otherwise), each row as it is or otherwise, the same in both."""
    chosen = uniform(len(first[0]), 1, generator)[:, 0] < 0
    one, other = (torch.where(chosen.view(-1, *[1] * (pair[0].dim() - 1)), *pair) for pair in (first, second))
    return one, other


def _exchangeable(masks: torch.Tensor) -> list[tuple[int, int]]:
    pairs = itertools.combinations(range(1, masks.dim()), 2)
    equal = [(one, other) for one, other in pairs if masks.shape[one] == masks.shape[other]]
    if not equal:
        raise UsageError(f"task option 'turn' needs two sides of equal length, samples are {tuple(masks.shape[1:])}")
    return equal


def _mirrored(places: torch.Tensor, side: int) -> torch.Tensor:
    """Return places within a side of this length: those outside are reflected at its ends, as between two mirrors."""
    period = max(1, 2 * (side - 1))
    around = places.remainder(period)
    return torch.minimum(around, period - around).clamp_max(side - 1)
