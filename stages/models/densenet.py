"""DenseNet: Huang et al., "Densely Connected Convolutional Networks" (2016), table 1 and section 4.2; torchvision's."""

import re

from torch import nn
from torchvision import models

from deploy.errors import UsageError
from stages import pretrained
from stages.shapes import Picture
from stages.vision import SMALL_PX, fit_stem, without_head

_OLD_NAME = re.compile(r"(denselayer\d+\.(?:norm|relu|conv))\.([12]\.)")


def densenet121(shape: Picture, *, dropout: float = 0.0, weights: str = "") -> nn.Module:
    """DenseNet-121 up to its 1,024 features.

    For pictures under 64 px the 7 x 7 stem moves by 1 and its pool is left out. `weights`: empty, a file, or imagenet
    (torchvision's).
    """
    net = _fitted(models.densenet121(weights=None, drop_rate=dropout), shape, 8)
    url = models.DenseNet121_Weights.DEFAULT.url
    pretrained.load(
        net, weights, ("imagenet", url), stem="features.conv0", apart=("classifier.",), rename=_as_named_today
    )
    return net


def densenet_bc(shape: Picture, *, depth: int = 40, growth: int = 12, dropout: float = 0.0) -> nn.Module:
    """DenseNet-BC for small pictures: three blocks of (`depth` - 4) / 6 bottleneck layers.

    Each layer adds `growth` channels. The paper's are depth 100 with growth 12, 250 with 24, 190 with 40.
    """
    if depth < 10 or (depth - 4) % 6:
        raise UsageError(f"densenet_bc: depth is {depth}, expected 6n + 4 (22, 40, 100, 190); set model.depth")
    blocks = ((depth - 4) // 6,) * 3
    net = models.DenseNet(growth_rate=growth, block_config=blocks, num_init_features=2 * growth, drop_rate=dropout)
    return _fitted(net, shape, 4)


def _fitted(net: nn.Module, shape: Picture, smallest: int) -> nn.Module:
    channels, height, width = shape
    side = min(height, width)
    if side < smallest:
        raise UsageError(
            f"DenseNet needs at least {smallest} px a side here, got {side}; raise input.height and input.width"
        )
    small = side < SMALL_PX
    fit_stem(net, "features.conv0", channels, 1 if small else None)
    if small:
        net.set_submodule("features.pool0", nn.Identity())
    return without_head(net, "classifier")


def _as_named_today(name: str) -> str:
    """Rename as needed: torchvision's file has names of torch 0.4: `norm.1` for `norm1`."""
    return _OLD_NAME.sub(r"\1\2", name)
