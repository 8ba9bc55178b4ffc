"""Pictures of results: the ground to draw on, colours, files."""

import io
from typing import TYPE_CHECKING

import numpy as np

from deploy.arrays import Array
from deploy.errors import InputError

if TYPE_CHECKING:
    from PIL import Image

PNG = "image/png"

# Okabe and Ito, "Color Universal Design" (2008): eight colours that nearly everybody can tell apart, without black.
COLOURS = ((230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66), (0, 114, 178), (213, 94, 0), (204, 121, 167))


def colour(index: int) -> tuple[int, int, int]:
    """Return the colour of a class or of a thing, by its number; they come round again."""
    return COLOURS[index % len(COLOURS)]


def ground(picture: object, width: int, height: int) -> "Image.Image":
    """Return an RGB picture to draw on: a copy of `picture` (as `predict` takes it), or grey of this size for None.

    Raises `InputError` when the picture has another size in px than the one that was answered for.
    """
    from PIL import Image

    from deploy.inputs.image import decode_image

    if picture is None:
        return Image.new("RGB", (width, height), (48, 48, 48))
    image = Image.fromarray(decode_image(picture, 3))
    if image.size != (width, height):
        raise InputError(
            f"the picture is {image.width} x {image.height} px, the answer is for one of {width} x {height}; "
            "draw on the picture that was answered"
        )
    return image


def png(pixels: "Array | Image.Image") -> bytes:
    """Return a PNG file of uint8 pixels (H, W), (H, W, 1) or (H, W, 3), or of a PIL image."""
    from PIL import Image

    if isinstance(pixels, np.ndarray):
        pixels = Image.fromarray(pixels[:, :, 0] if pixels.ndim == 3 and pixels.shape[2] == 1 else pixels)
    buffer = io.BytesIO()
    pixels.save(buffer, "PNG")
    return buffer.getvalue()


def data_url(file: bytes, media: str) -> str:
    """Return a file as a `data:` URL, which JSON can hold and a browser shows."""
    import base64

    return f"data:{media};base64,{base64.b64encode(file).decode()}"
