"""What tensors from anywhere must be: names, dtypes, ranks, sizes, rows and values that a signature states."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from deploy.arrays import Array
from deploy.bundle import UNNAMED, Signature, TensorSpec
from deploy.errors import InputError


class Plain:
    """Sees in a microsecond that the one tensor of a signature is as it must be; `check` has the words for the rest."""

    def __init__(self, spec: TensorSpec) -> None:
        self._name, self._dtype, self._axes = spec.name, np.dtype(spec.dtype), len(spec.shape)
        self._fixed = [(axis, size) for axis, size in enumerate(spec.shape) if isinstance(size, int)]
        free = [size for size in spec.shape if not isinstance(size, int)]
        self._covered = len(free) == len(set(free)) and holds_only_range(spec, self._dtype)

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


def check(signature: Signature, arrays: Mapping[str, Array]) -> int:
    """Return the number of rows of tensors that fit `signature`: names, dtype, rank, sizes, equal rows, values."""
    specs = {spec.name: spec for spec in signature.tensors}
    for name in arrays:
        if name not in specs:
            raise InputError(f"input {name!r}: the model has no such input; expected {', '.join(specs)}")
    free: dict[str, tuple[int, str]] = {}
    for name, spec in specs.items():
        if name not in arrays:
            raise InputError(f"input {name!r}: missing; expected {describe(spec)}")
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
        raise InputError(f"{where}: got {type(array).__name__}, expected a numpy array, {describe(spec)}")
    if array.dtype != np.dtype(spec.dtype):
        raise InputError(f"{where}: got dtype {array.dtype}, expected {describe(spec)}")
    if array.ndim != len(spec.shape):
        raise InputError(f"{where}: got shape {shape_words(array)}, expected {len(spec.shape)} axes, {describe(spec)}")
    for size, expected in zip(array.shape, spec.shape, strict=True):
        if size == 0:
            raise InputError(f"{where}: got shape {shape_words(array)}, which holds nothing; expected {describe(spec)}")
        if isinstance(expected, int):
            if size != expected:
                raise InputError(f"{where}: got shape {shape_words(array)}, expected {describe(spec)}")
            continue
        if expected == UNNAMED:
            continue
        known, source = free.setdefault(expected, (size, spec.name))
        if known != size:
            raise InputError(f"{where}: {expected} is {size} here and {known} in {source!r}; they must be equal")
    _check_range(spec, array)


def _check_range(spec: TensorSpec, array: Array) -> None:
    """Check whole numbers against the stated range, unless the dtype holds no others."""
    if spec.range is None or holds_only_range(spec, array.dtype):
        return
    low, high = spec.range
    found = (array.min(), array.max())
    if found[0] < low or found[1] > high:
        raise InputError(f"input {spec.name!r}: values run from {found[0]} to {found[1]}, expected {low:g} to {high:g}")


def holds_only_range(spec: TensorSpec, dtype: np.dtype[Any]) -> bool:
    """Tell whether no value of the dtype needs a look: no range is stated, or it holds no others, or is no integer."""
    if spec.range is None or dtype.kind not in "iu":
        return True
    info = np.iinfo(dtype)
    return bool(info.min >= spec.range[0] and info.max <= spec.range[1])


def describe(spec: TensorSpec) -> str:
    """Return dtype and shape of a tensor in words."""
    return f"{spec.dtype} ({', '.join(map(str, spec.shape))})"


def shape_words(array: Array) -> str:
    """Return the shape of an array in words."""
    return f"({', '.join(map(str, array.shape))})"
