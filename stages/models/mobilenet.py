"""MobileNetV3: Howard et al., "Searching for MobileNetV3" (2019), tables 1 and 2, as in torchvision."""

from torch import nn
from torchvision import models

from stages import pretrained
from stages.shapes import Picture
from stages.vision import SMALL_PX, fit_stem, without_head


def mobilenet_v3_small(shape: Picture, *, dropout: float = 0.2, weights: str = "") -> nn.Module:
    """MobileNetV3-Small up to its 1,024 features; for pictures under 64 px its stem moves by 1.

    `weights`: empty, a file, or imagenet (torchvision's).
    """
    return _mobilenet("mobilenet_v3_small", shape, dropout, weights)


def mobilenet_v3_large(shape: Picture, *, dropout: float = 0.2, weights: str = "") -> nn.Module:
    """MobileNetV3-Large up to its 1,280 features; for pictures under 64 px its stem moves by 1.

    `weights`: empty, a file, or imagenet (torchvision's).
    """
    return _mobilenet("mobilenet_v3_large", shape, dropout, weights)


def _mobilenet(name: str, shape: Picture, dropout: float, weights: str) -> nn.Module:
    channels, height, width = shape
    net = models.get_model(name, weights=None, dropout=dropout)
    fit_stem(net, "features.0.0", channels, 1 if min(height, width) < SMALL_PX else None)
    net = without_head(net, "classifier.3")
    url = models.get_model_weights(name).DEFAULT.url
    pretrained.load(net, weights, ("imagenet", url), stem="features.0.0", apart=("classifier.3.",))
    return net
