"""Restoration: the noise is told and taken away inside the graph; PSNR and SSIM."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

from deploy.bundle import Signature, TensorSpec
from deploy.errors import UsageError
from stages.dataset import Array, DataInfo
from stages.tasks.restore.quality import psnr, ssim

_LARGEST = 255.0


def restore(info: DataInfo, *, loss: Literal["mse", "l1"] = "mse", flip: bool = False) -> "Restore":
    """The picture as it was before noise came to it, of the same size.

    loss    of the restored values: squares (best PSNR) or absolute differences (sharper)
    flip    mirror pictures, half of the time, along each axis

    Targets are uint8 (N, 2, H, W, C): the clean picture, and the one that comes in, so that the gain can be told.
    Preprocessed values must be in [0, 1]: the input's mean 0 and std 1.
    """
    channels = info.sample_shape[-1]
    if len(info.sample_shape) != 3 or not isinstance(channels, int):
        raise UsageError(f"task restore: data {info.name!r} has samples {info.sample_shape}, expected pictures")
    return Restore(channels, loss, flip)


@dataclass
class Restore:
    """Input and features -> restored (N, H, W, C) float32 in [0, 255]."""

    takes = "residual"
    primary = "psnr"

    channels: int
    kind: str
    flip: bool

    def __post_init__(self) -> None:
        shape = ("batch", "height", "width", self.channels)
        spec = TensorSpec("restored", "float32", shape, (0.0, _LARGEST), "pixel value")
        self.output = Signature("picture", (spec,))

    def head(self, features: int) -> nn.Module:
        """Return what takes the residual away."""
        return _Residual(features, self.channels)

    def postprocess(self) -> nn.Module:
        """Return what brings values in [0, 1] to pixel values as pictures have them."""
        return _Pixels()

    def augment(
        self, raw: torch.Tensor, targets: torch.Tensor, generator: torch.Generator
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the batch, each sample mirrored along the axes that were drawn for it, targets alike."""
        if not self.flip:
            return raw, targets
        drawn = torch.rand(2, len(raw), generator=generator, device=raw.device) < 0.5
        for axis, mirrored in zip((1, 2), drawn, strict=True):
            raw = torch.where(mirrored[:, None, None, None], raw.flip(axis), raw)
            targets = torch.where(mirrored[:, None, None, None, None], targets.flip(axis + 1), targets)
        return raw, targets

    def loss(self, scores: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Return the mean loss of all values, on the scale where white is 1."""
        clean = targets[:, 0].permute(0, 3, 1, 2).to(scores.dtype) / _LARGEST
        return F.mse_loss(scores, clean) if self.kind == "mse" else F.l1_loss(scores, clean)

    def metrics(self, outputs: Mapping[str, Array], targets: Array) -> dict[str, float]:
        """Return means over pictures: PSNR in dB, how much it gained over what came in, and SSIM of both."""
        clean, given = targets[:, 0], targets[:, 1]
        restored = np.rint(outputs["restored"]).astype(np.uint8)
        now, before = psnr(restored, clean).mean(), psnr(given, clean).mean()
        return {
            "psnr": float(now),
            "psnr_gain": float(now - before),
            "ssim": ssim(restored, clean),
            "ssim_before": ssim(given, clean),
        }

    def decide(self, outputs: Mapping[str, Array]) -> tuple[Array, Array]:
        """Return the whole number that each value becomes in a picture, and how far it is from becoming another."""
        values = outputs["restored"]
        whole = np.rint(values)
        return whole.astype(np.int64), 0.5 - np.abs(values - whole)


class _Residual(nn.Module):
    """x and features -> x less what a 3 x 3 convolution makes of the features: (N, C, H, W)."""

    def __init__(self, features: int, channels: int) -> None:
        super().__init__()
        self.noise = nn.Conv2d(features, channels, 3, padding=1)

    def forward(self, given: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
        x, features = given
        return x - self.noise(features)  # type: ignore[no-any-return]


class _Pixels(nn.Module):
    def forward(self, scores: torch.Tensor) -> tuple[torch.Tensor]:
        return ((scores * _LARGEST).clamp(0.0, _LARGEST).permute(0, 2, 3, 1),)
