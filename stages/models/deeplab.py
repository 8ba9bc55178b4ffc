"""DeepLab for small pictures: Chen et al., "Encoder-Decoder with Atrous Separable Convolution" (2018), figure 2."""

import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

from deploy.errors import UsageError
from stages.anysize import cropped, padded
from stages.shapes import AnyPicture

_STRIDE = 4


def deeplab(
    shape: AnyPicture, *, width: int = 16, rates: tuple[int, ...] = (2, 4, 8), dropout: float = 0.0
) -> "DeepLab":
    """Dilated convolutions, a pyramid of them (ASPP) and a decoder, for pictures of any size.

    Maps stay at a quarter of the size: beyond that, sight is widened by dilation instead of pooling. `rates` are the
    pyramid's dilations, in pixels of those maps. The encoder is a small residual net of `width` to 4 `width` features.
    """
    if not rates or min(rates) < 1:
        raise UsageError(f"deeplab: rates are {rates}, expected dilations of 1 or more; set model.rates")
    return DeepLab(shape, width, rates, dropout)


class DeepLab(nn.Module):
    """(N, C, H, W) -> (N, 2 width, H, W), H and W of any size."""

    gives = "map"

    def __init__(self, shape: AnyPicture, width: int, rates: tuple[int, ...], dropout: float) -> None:
        super().__init__()
        self.shape = shape
        self.out_features = 2 * width
        self.stem = nn.Sequential(_convolution(shape[0], width), Residual(width, 2 * width, stride=2))  # H/2
        self.encoder = nn.Sequential(
            Residual(2 * width, 4 * width, stride=2),  # (N, 4 width, H/4, W/4), as all that follow
            Residual(4 * width, 4 * width, dilation=2),
            Residual(4 * width, 4 * width, dilation=4),
        )
        self.pyramid = Pyramid(4 * width, 2 * width, rates)
        self.dropout = nn.Dropout2d(dropout)
        self.low = _convolution(2 * width, width, 1)
        self.decoder = nn.Sequential(_convolution(3 * width, 2 * width), _convolution(2 * width, 2 * width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return features of every pixel."""
        whole = padded(x, _STRIDE)
        low = self.stem(whole)  # (N, 2 width, H/2, W/2)
        y = _as_large(self.dropout(self.pyramid(self.encoder(low))), low)
        y = self.decoder(torch.cat([y, self.low(low)], dim=1))  # (N, 2 width, H/2, W/2)
        return cropped(_as_large(y, whole), x)


class Pyramid(nn.Module):
    """Atrous spatial pyramid pooling: one map seen at several widths at once, from a pixel to the whole picture.

    "Rethinking Atrous Convolution" (2017), figure 5; the branch of the whole picture is not normalised, since one value
    a channel has no variance in a batch of one.
    """

    def __init__(self, channels: int, out_channels: int, rates: tuple[int, ...]) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            [_convolution(channels, out_channels, 1)]
            + [_convolution(channels, out_channels, dilation=rate) for rate in rates]
        )
        self.whole = nn.Sequential(nn.Conv2d(channels, out_channels, 1), nn.ReLU())
        self.project = _convolution((len(rates) + 2) * out_channels, out_channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return a map of the same size."""
        whole = self.whole(x.mean(dim=(2, 3), keepdim=True)).expand(-1, -1, *x.shape[2:])
        return self.project(torch.cat([*(branch(x) for branch in self.branches), whole], dim=1))  # type: ignore[no-any-return]


class Residual(nn.Module):
    """relu(x + F(x)), F two 3x3 convolutions; where the form changes, x goes through means of 2x2 and a 1x1 one.

    (He et al., "Bag of Tricks", 2019, figure 2c: a 1x1 convolution of stride 2 would leave out three pixels of four.)
    """

    def __init__(self, channels: int, out_channels: int, *, stride: int = 1, dilation: int = 1) -> None:
        super().__init__()
        self.branch = nn.Sequential(
            _convolution(channels, out_channels, stride=stride, dilation=dilation),
            nn.Conv2d(out_channels, out_channels, 3, padding=dilation, dilation=dilation, bias=False),
            nn.BatchNorm2d(out_channels),
        )
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or channels != out_channels:
            self.shortcut = nn.Sequential(
                nn.AvgPool2d(stride), nn.Conv2d(channels, out_channels, 1, bias=False), nn.BatchNorm2d(out_channels)
            )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the sum, rectified."""
        return torch.relu(self.shortcut(x) + self.branch(x))


def _convolution(channels: int, out_channels: int, size: int = 3, *, stride: int = 1, dilation: int = 1) -> nn.Module:
    around = dilation * (size // 2)
    return nn.Sequential(
        nn.Conv2d(channels, out_channels, size, stride, padding=around, dilation=dilation, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(),
    )


def _as_large(x: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """Return the map at the size of `like`, here always twice its own."""
    return F.interpolate(x, size=like.shape[2:], mode="bilinear")
