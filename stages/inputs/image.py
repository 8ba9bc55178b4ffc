"""Images: uint8 (N, height, width, channels) of any size, scaled and normalised inside the graph, resized if asked."""

from typing import cast

import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

from deploy.bundle import Signature, TensorSpec
from deploy.errors import UsageError
from stages.dataset import DataInfo


def image(
    info: DataInfo, *, height: int, width: int, mean: tuple[float, ...] = (0.0,), std: tuple[float, ...] = (1.0,)
) -> "ImagePreprocess":
    """Preprocess images to `height` x `width` px; `mean` and `std` of pixel values in [0, 1], by channel or for all.

    With height and width 0 images keep the size that they come in, for networks that take any.
    """
    channels = cast(int, info.sample_shape[-1])
    if min(height, width) < 0 or (height == 0) != (width == 0):
        raise UsageError(
            f"input image: {height} x {width} px, expected 1 or more, or 0 x 0 to leave the size; set input.height and "
            "input.width"
        )
    for name, values in (("mean", mean), ("std", std)):
        if len(values) not in (1, channels):
            raise UsageError(f"input image: {name} has {len(values)} values, expected 1, or {channels} (channels)")
    if min(std) <= 0:
        raise UsageError(f"input image: std is {std}, expected numbers above 0")
    return ImagePreprocess(channels, height, width, mean, std)


class ImagePreprocess(nn.Module):
    """uint8 (N, H, W, C) in [0, 255] -> float (N, C, height, width), zero mean and unit variance over the data.

    With sizes 0 it is (N, C, H, W). Resizing is bilinear with antialiasing (what Pillow does, and ONNX Resize with
    antialias=1). Computes in the dtype of its buffers, so that `.double()` makes the float64 twin.
    """

    continuous = True

    def __init__(self, channels: int, height: int, width: int, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        super().__init__()
        shape = ("batch", "height", "width", channels)
        self.signature = Signature("image", (TensorSpec("image", "uint8", shape, (0.0, 255.0), "pixel value"),))
        self.sizes = (height, width) if height else None
        self.preprocessed_shape: tuple[int | str, ...] = (channels, height or "height", width or "width")
        self.own = {"height": height, "width": width} if height else {}
        self.register_buffer("mean", torch.tensor(mean).view(1, -1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(1, -1, 1, 1), persistent=False)

    def forward(self, image_NHWC: torch.Tensor) -> torch.Tensor:  # noqa: N803
        """Return the network's input; accepts float pixels in [0, 255] too, as augmentation makes them."""
        pixels = self.resize(image_NHWC)
        # In place from the first copy on: in training of small networks each new one costs a hundredth of the step.
        return (pixels / 255).sub_(self.mean).div_(self.std)  # type: ignore[arg-type]

    def resized(self, image_NHWC: torch.Tensor) -> torch.Tensor:  # noqa: N803
        """Return uint8 (N, height, width, C): pictures of the network's own size, for training."""
        pixels = self.resize(image_NHWC).round().clamp(0, 255).to(torch.uint8)
        return pixels.permute(0, 2, 3, 1).contiguous()

    def resize(self, image_NHWC: torch.Tensor) -> torch.Tensor:  # noqa: N803
        """Return float pixels (N, C, height, width) in the dtype of the graph, still in [0, 255]."""
        pixels = image_NHWC.permute(0, 3, 1, 2).to(self.mean.dtype)  # type: ignore[arg-type]
        return F.interpolate(pixels, self.sizes, mode="bilinear", antialias=True) if self.sizes else pixels
