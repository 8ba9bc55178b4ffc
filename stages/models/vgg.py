"""VGG: Simonyan and Zisserman, "Very Deep Convolutional Networks" (2014), table 1, as in torchvision."""

from typing import Literal

from torch import nn
from torchvision import models

from stages import pretrained
from stages.shapes import Picture
from stages.vision import SMALL_PX, fit_stem, without_head


def vgg(
    shape: Picture,
    *,
    depth: Literal[11, 13, 16, 19] = 16,
    batch_norm: bool = False,
    dropout: float = 0.5,
    weights: str = "",
) -> nn.Module:
    """VGG of `depth` layers (configurations A, B, D, E) up to its 4,096 features.

    For pictures under 64 px, pools that would leave nothing are left out, and the first linear layer takes the mean of
    the last map. `weights`: empty, a file, or imagenet (torchvision's; 64 px and more).
    """
    channels, height, width = shape
    name = f"vgg{depth}_bn" if batch_norm else f"vgg{depth}"
    net = models.get_model(name, weights=None, dropout=dropout)
    fit_stem(net, "features.0", channels)
    side = min(height, width)
    for place, layer in enumerate(net.features):
        if isinstance(layer, nn.MaxPool2d):
            if side < 2:
                net.features[place] = nn.Identity()
            side = max(1, side // 2)
    if min(height, width) < SMALL_PX:
        net.avgpool = nn.AdaptiveAvgPool2d(1)  # (N, 512, 1, 1)
        net.classifier[0] = nn.Linear(512, 4096)
    net = without_head(net, "classifier.6")
    url = models.get_model_weights(name).DEFAULT.url
    pretrained.load(net, weights, ("imagenet", url), stem="features.0", apart=("classifier.6.",))
    return net
