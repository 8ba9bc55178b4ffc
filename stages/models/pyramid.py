"""Feature pyramids, for detectors: Lin et al., "Feature Pyramid Networks for Object Detection" (2017), figure 3.

What they give is of the form "pyramid": a tuple of maps, the picture itself first, of which a head may want the size,
and then maps of `out_features` channels, from fine to coarse; `strides` says by how much each is smaller than the
picture. Pictures may be of any size: a side of L px has ceil(L / stride) places.
"""

from collections import OrderedDict

import torch
from torch import nn
from torchvision import models
from torchvision.ops import FeaturePyramidNetwork

from stages import pretrained
from stages.models.resnet import Residual
from stages.shapes import AnyPicture
from stages.vision import fit_stem


def pyramid_small(shape: AnyPicture, *, width: int = 16, features: int = 48) -> "Pyramid":
    """A pyramid of strides 4, 8 and 16 over a residual net of 9 convolutions, for things of some 10 to 100 px.

    `width` is that of the stem; the maps have `features` channels.
    """
    stages = nn.ModuleDict(
        {
            "stem": nn.Sequential(
                nn.Conv2d(shape[0], width, 3, 2, padding=1, bias=False),  # (N, width, H/2, W/2)
                nn.BatchNorm2d(width),
                nn.ReLU(),
            ),
            "4": Residual(width, 2 * width, stride=2),  # (N, 2 width, H/4, W/4)
            "8": Residual(2 * width, 4 * width, stride=2),  # (N, 4 width, H/8, W/8)
            "16": Residual(4 * width, 8 * width, stride=2),  # (N, 8 width, H/16, W/16)
        }
    )
    return Pyramid(shape, stages, {"4": 2 * width, "8": 4 * width, "16": 8 * width}, features)


def pyramid_resnet18(shape: AnyPicture, *, features: int = 128, weights: str = "") -> "Pyramid":
    """A pyramid of strides 8, 16 and 32 over torchvision's ResNet-18, for things of some 20 px and more.

    `weights`: empty, a file, or imagenet (torchvision's).
    """
    net = models.resnet18(weights=None)
    fit_stem(net, "conv1", shape[0])
    url = models.get_model_weights("resnet18").DEFAULT.url
    pretrained.load(net, weights, ("imagenet", url), stem="conv1", apart=("fc.",))
    stages = nn.ModuleDict(
        {
            "stem": nn.Sequential(net.conv1, net.bn1, net.relu, net.maxpool),  # (N, 64, H/4, W/4)
            "4": net.layer1,  # (N, 64, H/4, W/4)
            "8": net.layer2,  # (N, 128, H/8, W/8)
            "16": net.layer3,  # (N, 256, H/16, W/16)
            "32": net.layer4,  # (N, 512, H/32, W/32)
        }
    )
    return Pyramid(shape, stages, {"8": 128, "16": 256, "32": 512}, features)


class Pyramid(nn.Module):
    """(N, C, H, W) -> the same, and (N, features, H / stride, W / stride) for every stride.

    shape       of one preprocessed sample
    stages      modules that follow each other, named by the strides of their maps
    channels    of the maps that are taken, by these names
    """

    gives = "pyramid"

    def __init__(self, shape: AnyPicture, stages: nn.ModuleDict, channels: dict[str, int], features: int) -> None:
        super().__init__()
        self.shape, self.out_features = shape, features
        self.strides = (1, *map(int, channels))
        self.stages = stages
        self.taken = tuple(channels)
        self.fuse = FeaturePyramidNetwork(list(channels.values()), features, norm_layer=nn.BatchNorm2d)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Return the picture and the maps, from fine to coarse."""
        maps = OrderedDict()
        y = x
        for name, stage in self.stages.items():
            y = stage(y)
            if name in self.taken:
                maps[name] = y
        return (x, *self.fuse(maps).values())
