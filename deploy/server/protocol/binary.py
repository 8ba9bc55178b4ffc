"""Tensors as bytes behind the JSON: the protocol's binary data extension, little endian, row-major."""

from functools import cache
from math import prod
from typing import Any

import numpy as np

from deploy.arrays import Array
from deploy.bundle import TensorSpec
from deploy.errors import InputError

_SMALL = 16 * 1024  # copied in less time than a view takes to make


def from_bytes(where: str, buffer: bytes | memoryview, shape: tuple[int, ...], dtype: str) -> Array:
    """Return a view of `buffer` (a copy if it is not aligned) as an array of `shape`; `InputError` for a wrong size."""
    kind = _little(dtype)
    expected = prod(shape) * kind.itemsize
    if len(buffer) != expected:
        raise InputError(f"{where}: got {len(buffer)} bytes, its shape {list(shape)} of {dtype} says {expected}")
    if kind.kind == "b" and np.frombuffer(buffer, np.uint8).max() > 1:
        raise InputError(f"{where}: holds bytes over 1, expected 0 (false) and 1 (true) only")
    array = np.frombuffer(buffer, kind).reshape(shape)
    return array if array.flags.aligned else array.copy()


@cache
def _little(dtype: str | np.dtype[Any]) -> np.dtype[Any]:
    return np.dtype(dtype).newbyteorder("<")


def to_bytes(array: Array) -> bytes | memoryview:
    """Return an array's bytes; without a copy where it is large, contiguous and little endian.

    Those of dtype object hold `bytes`, and each is preceded by its length in 4 bytes.
    """
    if array.dtype == object:
        return b"".join(len(one).to_bytes(4, "little") + one for one in array.flat)
    little = _little(array.dtype)
    if array.nbytes <= _SMALL:
        return array.tobytes() if array.dtype == little else array.astype(little).tobytes()
    plain = np.ascontiguousarray(array, little)
    return memoryview(plain.reshape(-1).view(np.uint8).data)


def raw_shape(spec: TensorSpec, size: int) -> tuple[int, ...]:
    """Return the shape of a tensor that came as nothing but `size` bytes.

    One row, with the one other free size from the number of bytes; where no other size is free, as many rows as there
    are. `InputError` when that is not decided or does not come out even.
    """
    where = f"input {spec.name!r}"
    free = [axis for axis, length in enumerate(spec.shape) if axis > 0 and not isinstance(length, int)]
    if len(free) > 1:
        names = " and ".join(str(spec.shape[axis]) for axis in free)
        raise InputError(f"{where}: {names} are not known from {size} bytes; send the shape in JSON before them")
    open_axis = free[0] if free else 0
    fixed = prod(length for length in spec.shape if isinstance(length, int)) * np.dtype(spec.dtype).itemsize
    if not size or size % fixed:
        raise InputError(f"{where}: got {size} bytes, expected a multiple of {fixed}")
    lengths = [length if isinstance(length, int) else 1 for length in spec.shape]
    if isinstance(spec.shape[open_axis], int):  # nothing is free
        if size != fixed:
            raise InputError(f"{where}: got {size} bytes, expected {fixed}")
        return tuple(lengths)
    lengths[open_axis] = size // fixed
    return tuple(lengths)
