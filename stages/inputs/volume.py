"""Volumes: (N, depth, height, width[, channels]) of any size, resampled and normalised inside the graph."""

from typing import Literal, cast

import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

from deploy.bundle import Signature, TensorSpec
from deploy.errors import UsageError
from stages.dataset import DataInfo
from stages.inputs.options import by_channel

_AXES = ("depth", "height", "width")


def volume(
    info: DataInfo,
    *,
    depth: int,
    height: int,
    width: int,
    dtype: Literal["uint8", "float32"] = "uint8",
    mean: tuple[float, ...] = (0.0,),
    std: tuple[float, ...] = (1.0,),
) -> "VolumePreprocess":
    """Resample volumes to `depth` x `height` x `width` voxels, trilinearly, and normalise them.

    With all three 0 volumes keep the size that they come in, for networks that take any.

    dtype        of the volumes; uint8 is scaled to [0, 1] first, float32 not at all
    mean, std    of the scaled values, by channel or for all
    """
    sizes = (depth, height, width)
    shape = info.sample_shape
    if len(shape) not in (3, 4) or (len(shape) == 4 and not isinstance(shape[-1], int)):
        raise UsageError(
            f"input volume: data {info.name!r} has samples {shape}, expected (depth, height, width), or with a "
            "number of channels behind"
        )
    if min(sizes) < 0 or (min(sizes) == 0) != (max(sizes) == 0):
        raise UsageError(
            f"input volume: {depth} x {height} x {width}, expected 1 or more, or 0 x 0 x 0 to leave the size; "
            "set input.depth, ..."
        )
    channels = cast(int, shape[3]) if len(shape) == 4 else None
    return VolumePreprocess(sizes, channels, dtype, by_channel("volume", channels or 1, mean, std))


class VolumePreprocess(nn.Module):
    """uint8 or float (N, D, H, W) or (N, D, H, W, C) -> float (N, C, depth, height, width)."""

    continuous = True

    def __init__(
        self, sizes: tuple[int, int, int], channels: int | None, dtype: str, scale: tuple[torch.Tensor, torch.Tensor]
    ) -> None:
        super().__init__()
        shape = ("batch", *_AXES) if channels is None else ("batch", *_AXES, channels)
        values = (0.0, 255.0) if dtype == "uint8" else None
        self.signature = Signature("volume", (TensorSpec("volume", dtype, shape, values, "voxel value"),))
        self.sizes = sizes if min(sizes) else None
        self.preprocessed_shape: tuple[int | str, ...] = (channels or 1, *(self.sizes or _AXES))
        self.own = dict(zip(_AXES, self.sizes, strict=True)) if self.sizes else {}
        self.whole = dtype == "uint8"
        self.largest = 255.0 if self.whole else 1.0
        self.with_channels = channels is not None
        mean, std = scale
        self.register_buffer("mean", mean.view(1, -1, 1, 1, 1), persistent=False)
        self.register_buffer("std", std.view(1, -1, 1, 1, 1), persistent=False)

    def forward(self, volume: torch.Tensor) -> torch.Tensor:
        """Return the network's input; accepts float voxels too, as augmentation makes them."""
        return (self.resize(volume) / self.largest - self.mean) / self.std  # type: ignore[operator]

    def resized(self, volume: torch.Tensor) -> torch.Tensor:
        """Return volumes of the network's own size in their raw form, for training."""
        voxels = self.resize(volume)
        voxels = voxels.round().clamp(0, self.largest).to(torch.uint8) if self.whole else voxels.float()
        return (voxels.permute(0, 2, 3, 4, 1) if self.with_channels else voxels[:, 0]).contiguous()

    def resize(self, volume: torch.Tensor) -> torch.Tensor:
        """Return voxels (N, C, depth, height, width) in the dtype of the graph, not yet scaled."""
        voxels = volume.permute(0, 4, 1, 2, 3) if self.with_channels else volume[:, None]
        voxels = voxels.to(cast(torch.Tensor, self.mean).dtype)
        return F.interpolate(voxels, self.sizes, mode="trilinear") if self.sizes else voxels
