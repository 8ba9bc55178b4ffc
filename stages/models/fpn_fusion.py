"""Multi-scale fusion: a feature pyramid whose levels are added up, with skips and channel attention.

Lin et al., "Feature Pyramid Networks" (2017), figure 3; the fusion to one map is that of Kirillov et al., "Panoptic
Feature Pyramid Networks" (2019), figure 3; the attention is Hu et al., "Squeeze-and-Excitation Networks" (2018).
"""

import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

from stages.anysize import cropped, padded
from stages.shapes import AnyPicture


def fpn_fusion(shape: AnyPicture, *, width: int = 16, levels: int = 4, dropout: float = 0.0) -> "FpnFusion":
    """A pyramid of `levels` scales, fused at the finest one, for pictures of any size.

    On the way down features are `width`, twice as many at each coarser scale; on the way up 2 `width` everywhere. How
    much each feature counts is weighed by what the whole picture holds (squeeze and excitation).
    """
    return FpnFusion(shape, width, levels, dropout)


class FpnFusion(nn.Module):
    """(N, C, H, W) -> (N, 2 width, H, W), H and W of any size."""

    gives = "map"

    def __init__(self, shape: AnyPicture, width: int, levels: int, dropout: float) -> None:
        super().__init__()
        self.shape = shape
        self.out_features = fused = 2 * width
        self.multiple = 2 ** (levels - 1)
        widths = [width * 2**level for level in range(levels)]
        self.down = nn.ModuleList(  # level k: (N, 2^k width, H/2^k, W/2^k)
            Scale(inner, outer, stride=1 if level == 0 else 2)
            for level, (inner, outer) in enumerate(zip([shape[0], *widths], widths, strict=False))
        )
        self.lateral = nn.ModuleList(nn.Conv2d(inner, fused, 1) for inner in widths)
        self.smooth = nn.ModuleList(
            _convolution(fused, fused // 2) for _ in widths
        )  # level k: (N, width, H/2^k, W/2^k)
        self.fuse = nn.Sequential(
            Attention(levels * fused // 2), _convolution(levels * fused // 2, fused), nn.Dropout2d(dropout)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return features of every pixel."""
        y = padded(x, self.multiple)
        scales = []
        for scale, lateral in zip(self.down, self.lateral, strict=True):
            y = scale(y)
            scales.append(lateral(y))  # (N, 2 width, H/2^k, W/2^k)
        for level in reversed(range(len(scales) - 1)):  # skips: what is fine, added to what is known from afar
            scales[level] = scales[level] + _enlarged(scales[level + 1], 2)
        maps = [
            _enlarged(smooth(scale), 2**level)
            for level, (smooth, scale) in enumerate(zip(self.smooth, scales, strict=True))
        ]
        return cropped(self.fuse(torch.cat(maps, dim=1)), x)


class Scale(nn.Module):
    """Two 3x3 convolutions, their features weighed by attention, beside a residual link: a mean and a 1x1 one."""

    def __init__(self, channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.branch = nn.Sequential(
            _convolution(channels, out_channels, stride),
            nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(out_channels),
            Attention(out_channels),
        )
        self.shortcut = nn.Sequential(
            nn.AvgPool2d(stride), nn.Conv2d(channels, out_channels, 1, bias=False), nn.BatchNorm2d(out_channels)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return (N, out, H / stride, W / stride)."""
        return torch.relu(self.shortcut(x) + self.branch(x))


class Attention(nn.Module):
    """x times one weight in (0, 1) a channel, told from the means of all channels; `reduction` as in the paper."""

    def __init__(self, channels: int, reduction: int = 4) -> None:
        super().__init__()
        inner = max(1, channels // reduction)
        self.weigh = nn.Sequential(
            nn.Conv2d(channels, inner, 1), nn.ReLU(), nn.Conv2d(inner, channels, 1), nn.Sigmoid()
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return a map of the same form."""
        return x * self.weigh(x.mean(dim=(2, 3), keepdim=True))  # type: ignore[no-any-return]


def _convolution(channels: int, out_channels: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, out_channels, 3, stride, padding=1, bias=False), nn.BatchNorm2d(out_channels), nn.ReLU()
    )


def _enlarged(x: torch.Tensor, times: int) -> torch.Tensor:
    return F.interpolate(x, scale_factor=float(times), mode="bilinear") if times > 1 else x
