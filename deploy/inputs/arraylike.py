"""Samples that are one array: an array, numbers in lists, or a file that holds them."""

import os
from pathlib import Path

import numpy as np

from deploy.arrays import Array
from deploy.bundle import Signature
from deploy.errors import InputError, NotFoundError
from deploy.inputs.checks import describe, shape_words
from deploy.inputs.kind import InputKind
from deploy.inputs.numbers import NPY, axes, from_lists, in_dtype, read_npy


class ArrayInput(InputKind):
    """One array a sample; with one axis more, a batch. Numbers are converted to the dtype, if that holds them.

    Subclasses say which files there are besides .npy (`decode`), and which shorter forms of a sample (`complete`).
    """

    def __init__(self, signature: Signature) -> None:
        super().__init__(signature)
        self.spec = signature.tensors[0]

    def is_batch(self, payload: object) -> bool:
        """Return whether the payload is an array, or lists, with the batch axis."""
        return isinstance(payload, np.ndarray | list | tuple) and axes(payload) == len(self.spec.shape)

    def arrays(self, payload: object) -> dict[str, Array]:
        """Return the tensor with its batch axis, N = 1 for a single sample."""
        array = self._array(payload)
        if array.ndim < len(self.spec.shape):
            array = self.complete(array)[None]
        return {self.spec.name: in_dtype(array, self.spec)}

    def complete(self, array: Array) -> Array:
        """Return a sample with all of its axes."""
        return array

    def decode(self, data: bytes, what: str) -> Array:
        """Return the array in the bytes of a file; `what` names it in errors."""
        if not data.startswith(NPY):
            raise InputError(f"{what}: not {self.file}")
        return read_npy(data, what, self.max_pixels)

    def _sample(self, data: bytes, what: str) -> Array:
        """Return what is in a file: one sample, because a path or bytes get one answer."""
        array = self.decode(data, what)
        if array.ndim == len(self.spec.shape) and len(array) != 1:
            raise InputError(f"{what}: holds {len(array)} samples, expected one; for a batch pass the array itself")
        return array

    def _array(self, payload: object) -> Array:
        if isinstance(payload, bytes | bytearray | memoryview):
            return self._sample(bytes(payload), f"file of {len(payload)} bytes")
        if isinstance(payload, str | os.PathLike):
            return self._sample(read_file(Path(payload)), str(payload))
        if not isinstance(payload, np.ndarray | list | tuple):
            raise InputError(f"got {type(payload).__name__}, expected {self.file}, or an array, {describe(self.spec)}")
        array = from_lists(payload, self.spec)
        if not array.size:
            raise InputError(f"array {shape_words(array)}: holds nothing, expected {describe(self.spec)}")
        return array


def read_file(path: Path) -> bytes:
    """Return a file's bytes; `NotFoundError` or `InputError` in words."""
    try:
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        raise NotFoundError(f"{path}: no such file") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
