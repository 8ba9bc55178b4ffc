"""Numbers as applications hold them, lists and arrays of any dtype, to what an input takes."""

import io
from typing import Any, cast

import numpy as np

from deploy.arrays import Array
from deploy.bundle import TensorSpec
from deploy.errors import InputError, TooLargeError
from deploy.inputs.checks import describe, shape_words

NPY = b"\x93NUMPY"
"""How a .npy file begins."""

_TAKEN = {"f": "fiu", "i": "iu", "u": "iu", "b": "b"}
"""Kinds of numbers in lists that an input of each kind takes."""


def axes(value: object) -> int:
    """Return the axes of an array or of lists in lists; 0 for what has none, or for lists of different lengths."""
    try:
        return np.ndim(cast(Any, value))
    except ValueError:
        return 0


def from_lists(value: object, spec: TensorSpec) -> Array:
    """Return an array as it is, and lists of numbers in the dtype of the input; `InputError` for anything else."""
    if isinstance(value, np.ndarray):
        return value
    refused = InputError(f"input {spec.name!r}: got {type(value).__name__}, expected numbers, {describe(spec)}")
    try:
        array = np.asarray(value)
    except ValueError:  # lists of different lengths
        raise refused from None
    return _in_dtype(array, spec, refused)


def in_dtype(array: Array, spec: TensorSpec) -> Array:
    """Return numbers in the dtype of the input, which must hold them: whole numbers exactly, real ones rounded."""
    refused = InputError(
        f"input {spec.name!r}: got {array.dtype} {shape_words(array)} with numbers that {spec.dtype} cannot hold; "
        f"expected {describe(spec)}"
    )
    return array if array.dtype == np.dtype(spec.dtype) else _in_dtype(array, spec, refused)


def _in_dtype(array: Array, spec: TensorSpec, refused: InputError) -> Array:
    wanted = np.dtype(spec.dtype)
    if array.dtype.kind not in _TAKEN[wanted.kind]:
        raise refused
    with np.errstate(over="ignore"):
        numbers = array.astype(wanted)
    if wanted.kind in "iu" and not np.array_equal(numbers, array):
        raise refused
    return numbers


def read_npy(data: bytes, what: str, max_values: int) -> Array:
    """Return the array of a .npy file; its header is looked at first, and nothing in it is ever executed."""
    try:
        file = io.BytesIO(data)
        version = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = read(file)
        if int(np.prod(shape, dtype=object)) > max_values:
            raise TooLargeError(f"{what}: holds {shape} values, more than {max_values}; make it smaller first")
        if dtype.kind not in "fiub":
            raise InputError(f"{what}: holds {dtype}, expected numbers")
        return cast(Array, np.load(io.BytesIO(data), allow_pickle=False))
    except (ValueError, EOFError, OSError) as error:
        raise InputError(f"{what}: damaged or cut short .npy file ({' '.join(str(error).split())})") from None
