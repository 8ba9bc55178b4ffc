"""Pictures: uint8 (N, height, width, channels), from files, PIL images and arrays."""

import contextlib
import io
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from deploy.arrays import Array
from deploy.bundle import Signature
from deploy.errors import InputError, NotFoundError, TooLargeError
from deploy.inputs.checks import shape_words
from deploy.inputs.kind import MAX_PIXELS, InputKind

if TYPE_CHECKING:
    from PIL import Image


FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM")
"""What Pillow may open here; of GIF and other animations, the first frame."""

_ARRAY_CHANNELS = (1, 2, 3, 4)  # grey; grey, alpha; RGB; RGB, alpha: what Pillow makes of such arrays
_MODES = {1: "L", 3: "RGB", 4: "RGBA"}


class ImageInput(InputKind):
    """Pictures: a path, the bytes of a file, a PIL image or a uint8 array; (N, H, W, C) is a batch."""

    example = '"picture.png"'
    file = "a picture's file"
    filename = "picture.png"
    media = ("image/*",)

    def __init__(self, signature: Signature) -> None:
        super().__init__(signature)
        self._name = signature.tensors[0].name
        self._channels = cast(int, signature.tensors[0].shape[-1])

    def is_batch(self, payload: object) -> bool:
        """Return whether the payload is an array of four axes."""
        return isinstance(payload, np.ndarray) and payload.ndim == 4

    def arrays(self, payload: object) -> dict[str, Array]:
        """Return uint8 (N, H, W, C), N = 1 for a single picture."""
        if self.is_batch(payload):
            return {self._name: cast(Array, payload)}
        return {self._name: decode_image(payload, self._channels, max_pixels=self.max_pixels)[None]}


def decode_image(payload: object, channels: int, *, max_pixels: int = MAX_PIXELS) -> Array:
    """Return one picture as uint8 (height, width, channels), from a path, bytes, a PIL image or a uint8 array.

    - Files: the formats of `FORMATS`, told by content; EXIF orientation is applied, so pixels stand as people see them.
    - Alpha (RGBA, grey with alpha, transparent palette colours): composited on white, as a viewer shows it.
    - 16 bits a channel: the high byte is kept, so 8-bit pictures stored as 16-bit ones come back unchanged.
    - Grey to colour repeats the value; colour to grey is ITU-R 601 luma (0.299 R + 0.587 G + 0.114 B); CMYK, YCbCr
      and palettes go to RGB first. 32-bit, floating-point and LAB pixels have no stated range and are refused.
    - Arrays: (H, W), or (H, W, C) with C = `channels` taken as they are; 1, 2 (grey, alpha), 3 and 4 (RGB, alpha)
      channels are converted as files are.

    Raises `InputError` (naming the file) for what cannot be read, `TooLargeError` over `max_pixels`, `NotFoundError`.
    """
    if isinstance(payload, np.ndarray):
        return _decode_array(payload, channels)
    if isinstance(payload, bytes | bytearray | memoryview):
        return _decode_file(io.BytesIO(payload), f"image of {len(payload)} bytes", channels, max_pixels)
    if isinstance(payload, str | os.PathLike):
        path = Path(payload)
        try:
            with path.open("rb") as file:
                return _decode_file(file, str(path), channels, max_pixels)
        except (FileNotFoundError, NotADirectoryError):
            raise NotFoundError(f"{path}: no such file") from None
        except OSError as error:
            raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    pil = sys.modules.get("PIL.Image")
    if pil is not None and isinstance(payload, pil.Image):
        return _decode_pil(cast("Image.Image", payload), "image", channels, max_pixels)
    raise InputError(f"got {type(payload).__name__}, expected a path, bytes, a PIL image or a uint8 array (H, W, C)")


def _decode_array(array: Array, channels: int) -> Array:
    if array.dtype == np.uint8 and array.ndim == 3 and array.shape[2] == channels and array.size:
        return np.ascontiguousarray(array)
    what = f"array {shape_words(array)} of {array.dtype}"
    if array.dtype != np.uint8:
        raise InputError(f"{what}: expected uint8 pixels from 0 to 255")
    if array.ndim == 2:
        array = array[:, :, None]
    if array.ndim != 3 or array.shape[2] not in {channels, *_ARRAY_CHANNELS}:
        raise InputError(f"{what}: expected (height, width), (height, width, channels) or a batch of the latter")
    if array.size == 0:
        raise InputError(f"{what}: holds no pixel")
    if array.shape[2] == channels:  # it had two axes
        return np.ascontiguousarray(array)
    from PIL import Image

    pixels = array[:, :, 0] if array.shape[2] == 1 else array
    return _convert(Image.fromarray(np.ascontiguousarray(pixels)), what, channels)


def _decode_file(file: Any, what: str, channels: int, max_pixels: int) -> Array:
    from PIL import Image, UnidentifiedImageError

    try:
        image = Image.open(file, formats=FORMATS)
    except UnidentifiedImageError:
        raise InputError(f"{what}: not a picture in {', '.join(FORMATS)}, or its header is damaged") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise _too_large(what, max_pixels) from None
    except Exception as error:  # Pillow's readers raise anything on damaged headers
        raise _damaged(what, error) from None
    return _decode_pil(image, what, channels, max_pixels)


def _decode_pil(image: "Image.Image", what: str, channels: int, max_pixels: int) -> Array:
    from PIL import ImageOps

    if image.width * image.height > max_pixels:
        raise _too_large(f"{what}: {image.width} x {image.height}", max_pixels)
    if image.width * image.height == 0:
        raise InputError(f"{what}: holds no pixel")
    try:
        image.load()
    except Exception as error:  # Pillow's readers raise anything on damaged data
        raise _damaged(what, error) from None
    # Damaged EXIF tells no orientation: the picture then stands as it is stored, as in viewers.
    with contextlib.suppress(Exception):
        image = ImageOps.exif_transpose(image)
    return _convert(image, what, channels)


def _convert(image: "Image.Image", what: str, channels: int) -> Array:
    """Return a loaded picture as uint8 (height, width, channels)."""
    from PIL import Image

    if image.mode.startswith("I;16"):
        high = (np.asarray(image).astype(np.uint16) >> 8).astype(np.uint8)
        image = Image.fromarray(high)
    if image.mode in ("I", "F", "LAB"):
        raise InputError(
            f"{what}: pixels of mode {image.mode} have no stated range; save it as grey or RGB, 8 or 16 bits"
        )
    target = _MODES.get(channels)
    if target is None:
        raise InputError(f"{what}: the model takes {channels} channels; give a uint8 array (height, width, {channels})")
    if target != "RGBA" and (image.mode in ("LA", "La", "RGBA", "RGBa", "PA") or "transparency" in image.info):
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    if target == "L" and image.mode not in ("L", "1", "RGB"):
        image = image.convert("RGB")
    pixels = np.array(image.convert(target), dtype=np.uint8)
    return pixels[:, :, None] if target == "L" else pixels


def _too_large(what: str, max_pixels: int) -> TooLargeError:
    return TooLargeError(f"{what}: more than {max_pixels} pixels; make it smaller first")


def _damaged(what: str, error: Exception) -> InputError:
    reason = " ".join(str(error).split()) or type(error).__name__
    return InputError(f"{what}: damaged or cut short ({reason})")
