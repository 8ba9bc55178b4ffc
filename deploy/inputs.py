"""Payloads to input tensors, by kind of input. What an application holds goes in, what the graph takes comes out.

A kind is a subclass of `InputKind` and an entry in `_KINDS`; everything that depends on the task stays in the graph.
Training decodes its pictures with `decode_image` too, so that training and serving see the same pixels.
"""

import contextlib
import io
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from deploy.arrays import Array
from deploy.bundle import UNNAMED, Signature, TensorSpec
from deploy.errors import BundleError, InputError, NotFoundError, TooLargeError

if TYPE_CHECKING:
    from PIL import Image


MAX_PIXELS = 64 * 2**20
"""Pictures with more pixels are refused by their header, before anything is decoded (decompression bombs)."""

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM")
"""What Pillow may open here; of GIF and other animations, the first frame."""

_ARRAY_CHANNELS = (1, 2, 3, 4)  # grey; grey, alpha; RGB; RGB, alpha: what Pillow makes of such arrays
_MODES = {1: "L", 3: "RGB", 4: "RGBA"}
_TAKEN = {"f": "fiu", "i": "iu", "u": "iu", "b": "b"}
"""Kinds of numbers in lists that an input of each kind takes."""


class InputKind:
    """One kind of input: `arrays` makes a batch from a payload, `check` looks at tensors from elsewhere.

    `max_pixels` is what a picture may have.
    """

    def __init__(self, signature: Signature) -> None:
        self.signature = signature
        self.max_pixels = MAX_PIXELS
        self._plain = _Plain(signature.tensors[0]) if len(signature.tensors) == 1 else None

    def is_batch(self, payload: object) -> bool:
        """Return whether the payload holds several samples, so that a list of results is expected."""
        return False

    def arrays(self, payload: object) -> dict[str, Array]:
        """Return the input tensors by name, a batch of one for a single payload; `InputError` when it is no payload."""
        raise NotImplementedError

    def check(self, arrays: Mapping[str, Array]) -> int:
        """Return the number of rows; `InputError` names the tensor, what came and what was expected."""
        return (self._plain.rows(arrays) if self._plain else 0) or check(self.signature, arrays)


class _Plain:
    """Sees in a microsecond that the one tensor of a signature is as it must be; `check` has the words for the rest."""

    def __init__(self, spec: TensorSpec) -> None:
        self._name, self._dtype, self._axes = spec.name, np.dtype(spec.dtype), len(spec.shape)
        self._fixed = [(axis, size) for axis, size in enumerate(spec.shape) if isinstance(size, int)]
        free = [size for size in spec.shape if not isinstance(size, int)]
        self._covered = len(free) == len(set(free)) and _holds_only_range(spec, self._dtype)

    def rows(self, arrays: Mapping[str, Array]) -> int:
        """Return the rows of a tensor that fits; 0 when that takes a closer look."""
        array = arrays.get(self._name)
        if not self._covered or len(arrays) != 1 or type(array) is not np.ndarray or array.dtype != self._dtype:
            return 0
        shape = array.shape
        if len(shape) != self._axes or 0 in shape:
            return 0
        for axis, size in self._fixed:
            if shape[axis] != size:
                return 0
        return int(shape[0])


def input_kind(signature: Signature) -> InputKind:
    """Return the kind that a signature names; `BundleError` for one that this version does not know."""
    try:
        return _KINDS[signature.kind](signature)
    except KeyError:
        choices = ", ".join(sorted(_KINDS))
        raise BundleError(
            f"input kind {signature.kind!r}: this onnxway knows {choices}; upgrade: pip install -U onnxway"
        ) from None


def check(signature: Signature, arrays: Mapping[str, Array]) -> int:
    """Return the number of rows of tensors that fit `signature`: names, dtype, rank, sizes, equal rows, values."""
    specs = {spec.name: spec for spec in signature.tensors}
    for name in arrays:
        if name not in specs:
            raise InputError(f"input {name!r}: the model has no such input; expected {', '.join(specs)}")
    free: dict[str, tuple[int, str]] = {}
    for name, spec in specs.items():
        if name not in arrays:
            raise InputError(f"input {name!r}: missing; expected {_describe(spec)}")
        _check_tensor(spec, arrays[name], free)
    first = signature.tensors[0].name
    rows = int(arrays[first].shape[0])
    for name in specs:
        if len(arrays[name]) != rows:
            raise InputError(f"input {name!r}: has {len(arrays[name])} rows and {first!r} {rows}; give as many of each")
    return rows


def _check_tensor(spec: TensorSpec, array: Array, free: dict[str, tuple[int, str]]) -> None:
    where = f"input {spec.name!r}"
    if not isinstance(array, np.ndarray):
        raise InputError(f"{where}: got {type(array).__name__}, expected a numpy array, {_describe(spec)}")
    if array.dtype != np.dtype(spec.dtype):
        raise InputError(f"{where}: got dtype {array.dtype}, expected {_describe(spec)}")
    if array.ndim != len(spec.shape):
        raise InputError(f"{where}: got shape {_shape(array)}, expected {len(spec.shape)} axes, {_describe(spec)}")
    for size, expected in zip(array.shape, spec.shape, strict=True):
        if size == 0:
            raise InputError(f"{where}: got shape {_shape(array)}, which holds nothing; expected {_describe(spec)}")
        if isinstance(expected, int):
            if size != expected:
                raise InputError(f"{where}: got shape {_shape(array)}, expected {_describe(spec)}")
            continue
        if expected == UNNAMED:
            continue
        known, source = free.setdefault(expected, (size, spec.name))
        if known != size:
            raise InputError(f"{where}: {expected} is {size} here and {known} in {source!r}; they must be equal")
    _check_range(spec, array)


def _check_range(spec: TensorSpec, array: Array) -> None:
    """Check whole numbers against the stated range, unless the dtype holds no others."""
    if spec.range is None or _holds_only_range(spec, array.dtype):
        return
    low, high = spec.range
    found = (array.min(), array.max())
    if found[0] < low or found[1] > high:
        raise InputError(f"input {spec.name!r}: values run from {found[0]} to {found[1]}, expected {low:g} to {high:g}")


def _holds_only_range(spec: TensorSpec, dtype: np.dtype[Any]) -> bool:
    """Tell whether no value of the dtype needs a look: no range is stated, or it holds no others, or is no integer."""
    if spec.range is None or dtype.kind not in "iu":
        return True
    info = np.iinfo(dtype)
    return bool(info.min >= spec.range[0] and info.max <= spec.range[1])


def _describe(spec: TensorSpec) -> str:
    return f"{spec.dtype} ({', '.join(map(str, spec.shape))})"


def _shape(array: Array) -> str:
    return f"({', '.join(map(str, array.shape))})"


class ImageInput(InputKind):
    """Pictures: a path, the bytes of a file, a PIL image or a uint8 array; (N, H, W, C) is a batch."""

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


class TensorsInput(InputKind):
    """Tensors as the graph takes them: arrays by input name, or the array of the only input.

    Arrays with the batch axis are a batch, arrays without it one row. Lists of numbers become arrays of the input's
    dtype; arrays must have it.
    """

    def is_batch(self, payload: object) -> bool:
        """Return whether the arrays have the batch axis."""
        given = payload if isinstance(payload, Mapping) else {self.signature.tensors[0].name: payload}
        specs = {spec.name: spec for spec in self.signature.tensors}
        return any(_axes(value) == len(specs[name].shape) for name, value in given.items() if name in specs)

    def arrays(self, payload: object) -> dict[str, Array]:
        """Return the input tensors by name, with the batch axis."""
        given = self._named(payload)
        single = [name for name, spec in self._specs().items() if given[name].ndim == len(spec.shape) - 1]
        if not single:
            return given
        if len(single) < len(given):
            names = ", ".join(map(repr, single))
            raise InputError(f"inputs {names} are single rows, and the others are batches; give all of one kind")
        return {name: array[None] for name, array in given.items()}

    def _specs(self) -> dict[str, TensorSpec]:
        return {spec.name: spec for spec in self.signature.tensors}

    def _named(self, payload: object) -> dict[str, Array]:
        specs = self._specs()
        if not isinstance(payload, Mapping):
            if len(specs) > 1 or not isinstance(payload, np.ndarray | list | tuple):
                alone = "" if len(specs) > 1 else ", or the array alone"
                wanted = ", ".join(map(_describe_named, specs.values()))
                raise InputError(f"got {type(payload).__name__}, expected a mapping with {wanted}{alone}")
            payload = {next(iter(specs)): payload}
        for name in payload:
            if name not in specs:
                raise InputError(f"input {str(name)!r}: the model has no such input; expected {', '.join(specs)}")
        missing = [spec for name, spec in specs.items() if name not in payload]
        if missing:
            raise InputError(f"input {missing[0].name!r}: missing; expected {_describe(missing[0])}")
        return {name: _as_array(payload[name], spec) for name, spec in specs.items()}


def _as_array(value: object, spec: TensorSpec) -> Array:
    """Return an array as it is, and lists of numbers in the dtype of the input."""
    if isinstance(value, np.ndarray):
        return value
    refused = InputError(f"input {spec.name!r}: got {type(value).__name__}, expected numbers, {_describe(spec)}")
    try:
        array = np.asarray(value)
    except ValueError:  # lists of different lengths
        raise refused from None
    wanted = np.dtype(spec.dtype)
    if array.dtype.kind not in _TAKEN[wanted.kind]:
        raise refused
    with np.errstate(over="ignore"):
        numbers = array.astype(wanted)
    if wanted.kind in "iu" and not np.array_equal(numbers, array):
        raise refused
    return numbers


def _axes(value: object) -> int:
    try:
        return np.ndim(cast(Any, value))
    except ValueError:  # lists of different lengths, which `arrays` refuses
        return 0


def _describe_named(spec: TensorSpec) -> str:
    return f"{spec.name!r}: {_describe(spec)}"


_KINDS: dict[str, type[InputKind]] = {"image": ImageInput, "tensors": TensorsInput}


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
    what = f"array {_shape(array)} of {array.dtype}"
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
