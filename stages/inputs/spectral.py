"""Spectral patches: (N, bands, height, width) of one fixed size, scaled and normalised inside the graph."""

from typing import Literal, cast

import torch
from torch import nn

from deploy.bundle import Signature, TensorSpec
from deploy.errors import UsageError
from stages.dataset import DataInfo
from stages.inputs.options import by_channel

_LARGEST = {"uint8": 255.0, "uint16": 65535.0}


def spectral(
    info: DataInfo,
    *,
    dtype: Literal["uint8", "uint16", "float32"] = "uint8",
    mean: tuple[float, ...] = (0.0,),
    std: tuple[float, ...] = (1.0,),
) -> "SpectralPreprocess":
    """Scale patches of several bands to [0, 1] (whole numbers) or not at all (float32), then normalise each band.

    mean, std    of the scaled values, by band or for all
    """
    shape = info.sample_shape
    if len(shape) != 3 or not all(isinstance(size, int) for size in shape):
        raise UsageError(
            f"input spectral: data {info.name!r} has samples {shape}, expected (bands, height, width) of fixed sizes"
        )
    sizes = cast(tuple[int, int, int], shape)
    return SpectralPreprocess(sizes, dtype, by_channel("spectral", sizes[0], mean, std))


class SpectralPreprocess(nn.Module):
    """(N, bands, H, W) of the sensor's dtype -> float (N, bands, H, W)."""

    continuous = True
    own: dict[str, int] = {}  # noqa: RUF012

    def __init__(self, shape: tuple[int, int, int], dtype: str, scale: tuple[torch.Tensor, torch.Tensor]) -> None:
        super().__init__()
        largest = _LARGEST.get(dtype)
        values = None if largest is None else (0.0, largest)
        self.signature = Signature("spectral", (TensorSpec("patch", dtype, ("batch", *shape), values, "radiance"),))
        self.preprocessed_shape = shape
        self.largest = largest or 1.0
        mean, std = scale
        self.register_buffer("mean", mean.view(1, -1, 1, 1), persistent=False)
        self.register_buffer("std", std.view(1, -1, 1, 1), persistent=False)

    def forward(self, patch_NCHW: torch.Tensor) -> torch.Tensor:  # noqa: N803
        """Return the network's input; accepts float values too, as augmentation makes them."""
        mean, std = cast(torch.Tensor, self.mean), cast(torch.Tensor, self.std)
        return (patch_NCHW.to(mean.dtype) / self.largest - mean) / std
