"""Series: noisier, larger, stretched here and shortened there, cut, with a piece left out."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812

from stages.augment.draw import require, uniform, within

_KNOTS = 6  # of the smooth random curves


@dataclass(frozen=True)
class SeriesAugment:
    """What may be changed about a series; the default changes nothing.

    noise        standard deviation of what is added to each value, as a part of the channel's own over time
    scale        largest change of all values, either way: 0.1 is 0.9 to 1.1, own for each channel
    magnitude    largest change of the distances from the channel's mean, a smooth curve over time: magnitude warping
    warp         largest change of speed, either way, as a smooth curve over time: time warping
    crop         largest part of the time that is cut away; what is left is stretched to the whole length
    erase        length of a piece that is set to the channel's mean, as a part of the whole; 0: none

    Um et al., "Data augmentation of wearable sensor data for Parkinson's disease monitoring" (2017), for the warps; Le
    Guennec et al., "Data augmentation for time series classification" (2016), for the crop. Raises `UsageError` for a
    value out of range.
    """

    noise: float = 0.0
    scale: float = 0.0
    magnitude: float = 0.0
    warp: float = 0.0
    crop: float = 0.0
    erase: float = 0.0

    def __post_init__(self) -> None:
        require(self, noise=(0, 10), scale=(0, 1), magnitude=(0, 1), warp=(0, 0.9), crop=(0, 0.9), erase=(0, 1))

    def __call__(self, series_NCT: torch.Tensor, generator: torch.Generator) -> torch.Tensor:  # noqa: N803
        """Return the batch in the same form and scale."""
        count, channels, length = series_NCT.shape
        if self.warp or self.crop:
            series_NCT = _read_at(series_NCT, self._times(count, length, generator))  # noqa: N806
        if self.scale:
            factor = 1 + self.scale * uniform(count, channels, generator)
            series_NCT = series_NCT * factor[:, :, None]  # noqa: N806
        if self.magnitude:
            mean = series_NCT.mean(dim=2, keepdim=True)
            change = self.magnitude * _curve(count, length, generator)[:, None]
            series_NCT = series_NCT + (series_NCT - mean) * change  # noqa: N806
        if self.noise:
            drawn = torch.randn(series_NCT.shape, generator=generator, device=generator.device)
            spread = series_NCT.std(dim=2, correction=0, keepdim=True)
            series_NCT = series_NCT + self.noise * spread * drawn  # noqa: N806
        if self.erase:
            centre = (uniform(count, 1, generator) + 1) / 2
            gone = within(centre, self.erase / 2, length)[:, None]
            series_NCT = torch.where(gone, series_NCT.mean(dim=2, keepdim=True), series_NCT)  # noqa: N806
        return series_NCT

    def _times(self, count: int, length: int, generator: torch.Generator) -> torch.Tensor:
        """Return where each place of the new series is read in the old one: (N, length), rising, in [0, 1]."""
        speed = 1 + self.warp * _curve(count, length, generator)
        passed = speed.cumsum(dim=1) - speed[:, :1]
        passed = passed / passed[:, -1:].clamp_min(1e-6)
        parts = (uniform(count, 2, generator) + 1) / 2
        cut = parts[:, :1] * self.crop
        return parts[:, 1:] * cut + passed * (1 - cut)


def _curve(count: int, length: int, generator: torch.Generator) -> torch.Tensor:
    """Return (N, length): random values in [-1, 1) at a few knots, joined by straight lines."""
    knots = uniform(count, _KNOTS, generator)
    return F.interpolate(knots[:, None], size=length, mode="linear", align_corners=True)[:, 0]


def _read_at(series_NCT: torch.Tensor, times: torch.Tensor) -> torch.Tensor:  # noqa: N803
    """Return the values at times (N, T) in [0, 1], on straight lines between neighbours."""
    count, channels, length = series_NCT.shape
    place = times.clamp(0, 1) * (length - 1)
    before = place.floor().long()
    after = (before + 1).clamp_max(length - 1)
    part = (place - before)[:, None].to(series_NCT.dtype)
    first, second = (series_NCT.gather(2, rows[:, None].expand(count, channels, length)) for rows in (before, after))
    return torch.lerp(first, second, part.expand_as(first))
