"""Masks: a class for every pixel of a picture, or every voxel of a volume."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from deploy.arrays import Array
from deploy.bundle import Signature
from deploy.outputs.kind import OutputKind, Result
from deploy.outputs.pictures import PNG, data_url, ground, png
from deploy.outputs.veil import counted, enlarged, palette, veiled
from deploy.outputs.volume_mask import NIFTI, VolumeMask

if TYPE_CHECKING:
    from PIL import Image


@dataclass(frozen=True)
class Mask(Result):
    """Which class each pixel belongs to.

    mask             uint8 (height, width), indices into `labels`, in pixels of the picture as it came
    probabilities    float32 (classes, height, width), in the size that the network sees, as a rule the picture's
    background       the class that is not drawn; -1: there is none
    """

    mask: Array = field(repr=False, compare=False)
    probabilities: Array = field(repr=False, compare=False)
    labels: tuple[str, ...]
    background: int = 0

    def areas(self) -> dict[str, int]:
        """Return the number of pixels of each class, by label, 0 for those that are not there."""
        return counted(self.mask, self.labels)

    def draw(self, picture: object = None) -> "Image.Image":
        """Return `picture` (path, bytes, PIL image, uint8 array) under veils in the colours of the classes."""
        from PIL import Image

        height, width = self.mask.shape
        pixels = np.asarray(ground(picture, width, height))
        return Image.fromarray(veiled(pixels, self.mask, self.background, opaque=picture is None))

    def to_file(self) -> bytes:
        """Return a PNG whose pixel values are class indices, with a palette that shows them in colours."""
        from PIL import Image

        indexed = Image.fromarray(self.mask)  # grey; with a palette its values stay as they are
        indexed.putpalette(palette(len(self.labels), self.background))
        return png(indexed)

    def line(self) -> str:
        """Return the share of each class that is there."""
        there = {label: count for label, count in self.areas().items() if count}
        return "  ".join(f"{label} {count / self.mask.size:.1%}" for label, count in there.items())

    def to_dict(self) -> dict[str, Any]:
        """Return labels, pixels by label, size, and the mask as a PNG in a data URL."""
        height, width = self.mask.shape
        return {
            "labels": list(self.labels),
            "areas": self.areas(),
            "width": width,
            "height": height,
            "mask": data_url(self.to_file(), PNG),
        }


class MaskOutput(OutputKind):
    """Reads `probabilities` float32 (N, classes, height, width) and `class_index` uint8 (N, height, width).

    Of volumes there is a depth before the height. Where the network sees all pictures in one size, masks are brought to
    that of the picture. The signature's option `background` is the class that is not drawn.
    """

    decided_by: Mapping[str, str] = {"class_index": "probabilities"}

    def __init__(self, signature: Signature) -> None:
        super().__init__(signature)
        self.result = VolumeMask if len(signature.tensors[0].shape) == 5 else Mask
        self.media = NIFTI if self.result is VolumeMask else PNG
        self.background = cast(int, signature.options.get("background", 0))

    def read(self, arrays: Mapping[str, Array], inputs: Mapping[str, Array]) -> list[Mask | VolumeMask]:
        """Return one `Mask` for each picture, or one `VolumeMask` for each volume."""
        # Copies: what results hold must not change when the session reuses its buffers, nor when a caller writes.
        sides = inputs[next(iter(inputs))].shape[1 : arrays["class_index"].ndim] if inputs else ()
        masks, probabilities = enlarged(arrays["class_index"], sides), arrays["probabilities"].copy()
        masks.flags.writeable = probabilities.flags.writeable = False
        rows = zip(masks, probabilities, strict=True)
        return [self.result(mask, row, self.signature.labels, self.background) for mask, row in rows]
