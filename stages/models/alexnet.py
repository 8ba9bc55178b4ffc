"""AlexNet: Krizhevsky, "One weird trick for parallelizing convolutional neural networks" (2014), as in torchvision."""

from torch import nn
from torchvision import models

from deploy.errors import UsageError
from stages import pretrained
from stages.shapes import Picture
from stages.vision import SMALL_PX, fit_stem, without_head


def alexnet(shape: Picture, *, groups: int = 1, dropout: float = 0.5, weights: str = "") -> nn.Module:
    """AlexNet up to its 4,096 features; `groups` = 2 splits the convolutions 2, 4 and 5 as the first one (2012) did.

    For pictures under 64 px the 11 x 11 stem moves by 1 instead of 4, and the first linear layer takes the map that is
    left. `weights`: empty, a file, or imagenet (torchvision's; 64 px and more, groups = 1).
    """
    channels, height, width = shape
    net = models.alexnet(weights=None, dropout=dropout)
    for place, inner, out, size in ((3, 64, 192, 5), (8, 384, 256, 3), (10, 256, 256, 3)):
        if inner % groups or out % groups:
            raise UsageError(f"alexnet: groups is {groups}, expected a divisor of 64; set model.groups")
        if groups != 1:
            net.features[place] = nn.Conv2d(inner, out, size, padding=size // 2, groups=groups)
    small = min(height, width) < SMALL_PX
    fit_stem(net, "features.0", channels, 1 if small else None)  # (N, 64, H - 6, W - 6) when small
    if small:
        left = min(6, _after(height)), min(6, _after(width))
        net.avgpool = nn.AdaptiveAvgPool2d(left)
        net.classifier[1] = nn.Linear(256 * left[0] * left[1], 4096)
    net = without_head(net, "classifier.6")
    url = models.AlexNet_Weights.DEFAULT.url
    pretrained.load(net, weights, ("imagenet", url), stem="features.0", apart=("classifier.6.",))
    return net


def _after(side: int) -> int:
    """Return a side's length after the stem that moves by 1, and three pools of 3 px that move by 2."""
    left = side - 6
    for _ in range(3):
        left = (left - 3) // 2 + 1
    if left < 1:
        raise UsageError(f"alexnet needs at least 21 px a side, got {side}; raise input.height and input.width")
    return left
