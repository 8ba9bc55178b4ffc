"""DeepLabV3, torchvision's: Chen et al., "Rethinking Atrous Convolution for Semantic Image Segmentation" (2017)."""

from typing import Literal

import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn
from torchvision.models import segmentation

from stages import pretrained
from stages.shapes import AnyPicture
from stages.vision import fit_stem

Backbone = Literal["mobilenet_v3_large", "resnet50", "resnet101"]

_NETS = {
    "mobilenet_v3_large": (segmentation.deeplabv3_mobilenet_v3_large, "backbone.0.0"),
    "resnet50": (segmentation.deeplabv3_resnet50, "backbone.conv1"),
    "resnet101": (segmentation.deeplabv3_resnet101, "backbone.conv1"),
}
_WEIGHTS = {
    "mobilenet_v3_large": segmentation.DeepLabV3_MobileNet_V3_Large_Weights.DEFAULT,
    "resnet50": segmentation.DeepLabV3_ResNet50_Weights.DEFAULT,
    "resnet101": segmentation.DeepLabV3_ResNet101_Weights.DEFAULT,
}


def deeplabv3(
    shape: AnyPicture, *, backbone: Backbone = "mobilenet_v3_large", width: int = 64, weights: str = ""
) -> "DeepLabV3":
    """Torchvision's DeepLabV3 without its last layer, brought from 256 to `width` features, for pictures of any size.

    `weights`: empty, a file, or coco (torchvision's, trained on COCO with the classes of Pascal VOC). Training takes
    batches of two or more, since one value a channel has no variance.
    """
    make, stem = _NETS[backbone]
    net = DeepLabV3(shape, make(weights=None, weights_backbone=None), width)
    fit_stem(net, stem, shape[0])
    apart = ("classifier.4.", "aux_classifier.", "reduce.")
    pretrained.load(net, weights, ("coco", _WEIGHTS[backbone].url), stem=stem, apart=apart)
    return net


class DeepLabV3(nn.Module):
    """(N, C, H, W) -> (N, width, H, W), H and W of any size."""

    gives = "map"

    def __init__(self, shape: AnyPicture, net: nn.Module, width: int) -> None:
        super().__init__()
        self.shape = shape
        self.out_features = width
        self.backbone = net.backbone
        self.classifier = nn.Sequential(*list(net.classifier)[:-1])  # type: ignore[arg-type]
        self.reduce = nn.Conv2d(256, width, 1)  # before it is enlarged: maps of 256 features at full size are large

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return features of every pixel."""
        # (N, 256, H/16, W/16), with a residual net H/8
        y = self.classifier(self.backbone(x)["out"])  # type: ignore[operator]
        return F.interpolate(self.reduce(y), size=x.shape[2:], mode="bilinear")
