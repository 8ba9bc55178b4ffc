"""A picture that was made of a picture: restored, as many pixels as came."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from deploy.arrays import Array
from deploy.outputs.kind import OutputKind, Result
from deploy.outputs.pictures import PNG, data_url, ground, png

if TYPE_CHECKING:
    from PIL import Image


@dataclass(frozen=True)
class Picture(Result):
    """Pixels uint8 (H, W, C), and the values that they were rounded from, float32 in [0, 255]."""

    pixels: Array = field(repr=False, compare=False)
    values: Array = field(repr=False, compare=False)

    def to_dict(self) -> dict[str, Any]:
        """Return height and width in px, and the picture as a `data:` URL."""
        height, width = self.pixels.shape[:2]
        return {"height": height, "width": width, "picture": data_url(self.to_file(), PNG)}

    def draw(self, picture: object = None) -> "Image.Image":
        """Return the picture; with the one that it was made of, that one to the left of it."""
        from PIL import Image

        own = Image.fromarray(self.pixels[:, :, 0] if self.pixels.shape[2] == 1 else self.pixels)
        if picture is None:
            return own
        both = Image.new("RGB", (2 * own.width, own.height))
        both.paste(ground(picture, *own.size), (0, 0))
        both.paste(own, (own.width, 0))
        return both

    def to_file(self) -> bytes:
        """Return the picture as PNG."""
        return png(self.pixels)


class PictureOutput(OutputKind):
    """Reads one tensor of pixel values float32 (N, H, W, C) in [0, 255]."""

    media = PNG

    def read(self, arrays: Mapping[str, Array], inputs: Mapping[str, Array]) -> list[Picture]:
        """Return one `Picture` for each row."""
        values = arrays[self.signature.tensors[0].name].copy()
        values.flags.writeable = False
        return [Picture(np.rint(row).astype(np.uint8), row) for row in values]
