"""Series: float32 (N, channels, length) of any length, brought to one scale inside the graph."""

from collections.abc import Iterator
from typing import cast

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

from deploy.bundle import Signature, TensorSpec
from deploy.errors import UsageError
from stages.dataset import Array, DataInfo
from stages.inputs.options import by_channel

_LEAST = 1e-5  # deviation of a series whose largest value is 1; below, there are roundings only


def series(
    info: DataInfo,
    *,
    znorm: bool = False,
    mean: tuple[float, ...] = (0.0,),
    std: tuple[float, ...] = (1.0,),
    length: int = 0,
) -> "SeriesPreprocess":
    """Normalise series: each channel of each by its own mean and deviation (`znorm`), or by those of the training data.

    mean, std    of the training data, by channel or for all; after `znorm`, if both are given
    length       resample to so many points, linearly; 0: as many as come
    """
    channels = info.sample_shape[0]
    if len(info.sample_shape) != 2 or not isinstance(channels, int):
        raise UsageError(
            f"input series: data {info.name!r} has samples {info.sample_shape}, expected (channels, length)"
        )
    if length < 0:
        raise UsageError(f"input series: length is {length}, expected 1 or more, or 0 to leave it; set input.length")
    return SeriesPreprocess(channels, length, znorm, by_channel("series", channels, mean, std))


class SeriesPreprocess(nn.Module):
    """float (N, C, T) -> float (N, C, T or `length`).

    A constant series becomes 0 by `znorm`, which takes no deviation for less than 1e-5 of the series' largest value.
    """

    continuous = True

    def __init__(self, channels: int, length: int, znorm: bool, scale: tuple[torch.Tensor, torch.Tensor]) -> None:
        super().__init__()
        self.signature = Signature("series", (TensorSpec("series", "float32", ("batch", channels, "length")),))
        self.preprocessed_shape: tuple[int | str, ...] = (channels, length or "length")
        self.own = {"length": length} if length else {}
        self.length, self.znorm = length, znorm
        mean, std = scale
        self.register_buffer("mean", mean.view(1, -1, 1), persistent=False)
        self.register_buffer("std", std.view(1, -1, 1), persistent=False)

    def forward(self, series_NCT: torch.Tensor) -> torch.Tensor:  # noqa: N803
        """Return the network's input."""
        values = self.resize(series_NCT)
        if self.znorm:
            largest = values.abs().amax(2, keepdim=True)
            values = values / torch.where(largest > 0, largest, 1.0)  # so that no square overflows
            values = values - values.mean(2, keepdim=True)
            values = values / values.square().mean(2, keepdim=True).sqrt().clamp(min=_LEAST)
        return (values - self.mean) / self.std  # type: ignore[operator]

    def cases(self, like: Array) -> Iterator[tuple[str, Array]]:
        """Yield series at the edges of what a series may be."""
        yield "constant", np.full_like(like[:1], 7.3)
        yield "constant, but for the last", np.concatenate([np.ones_like(like[:1, :, :-1]), like[:1, :, -1:]], axis=2)
        for length in (2, 3, 7):
            yield f"length {length}", like[:2, :, :length]
        yield "upside down", -like[:4]
        if self.znorm:  # else there is no telling what a network makes of them
            yield "huge", like[:4] * np.float32(1e30)
            yield "tiny", like[:4] * np.float32(1e-30)

    def resized(self, series_NCT: torch.Tensor) -> torch.Tensor:  # noqa: N803
        """Return float32 (N, C, length): series of the network's own length, for training."""
        return self.resize(series_NCT).float()

    def resize(self, series_NCT: torch.Tensor) -> torch.Tensor:  # noqa: N803
        """Return series (N, C, length) in the dtype of the graph, not yet normalised."""
        values = series_NCT.to(cast(torch.Tensor, self.mean).dtype)
        if not self.length:
            return values
        # As pictures one pixel high: linear resampling of series is exported as gathers and clips that CUDA lacks.
        return F.interpolate(values[:, :, None], (1, self.length), mode="bilinear")[:, :, 0]
