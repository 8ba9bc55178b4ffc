"""Batches of one shape through fixed memory on the device: inputs are copied in, the graph writes where it always does.

What ONNX Runtime does not check is checked here (seen with 1.31.1): `update_inplace` compares numbers of elements only,
float64 in the place of float32 is copied as it lies; and nothing keeps a copy within what was allocated.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import onnxruntime

from deploy.arrays import Array
from deploy.errors import InputError, OnnxwayError
from deploy.providers import Session
from deploy.rows import count

Arrays = Mapping[str, Array]
Addresses = tuple[tuple[str, tuple[int, ...], int], ...]
"""Name, shape and address of every buffer."""


class Buffers:
    """Memory on a session's device for inputs and outputs of one shape, bound once. Runs take turns on the device.

    inputs, outputs     arrays of the dtypes and shapes to be; their values are of no meaning
    """

    def __init__(self, session: Session, inputs: Arrays, outputs: Arrays) -> None:
        self._session = session
        self._forms = {name: (array.dtype, array.shape) for name, array in inputs.items()}
        self._inputs, self._outputs = session.exclusively(  # allocating would break another model's capture
            lambda: (_places(session, inputs), _places(session, outputs))
        )
        self._binding = session.raw.io_binding()
        for name, value in self._inputs.items():
            self._binding.bind_ortvalue_input(name, value)
        for name, value in self._outputs.items():
            self._binding.bind_ortvalue_output(name, value)

    @property
    def addresses(self) -> Addresses:
        """Return where the buffers lie, in a fixed order."""
        both = (*self._inputs.items(), *self._outputs.items())
        return tuple((name, tuple(value.shape()), value.data_ptr()) for name, value in both)

    def fit(self, arrays: Arrays) -> bool:
        """Tell whether rows are of the buffers' dtypes and shapes, however many they are."""
        return all(
            (arrays[name].dtype, arrays[name].shape[1:]) == (dtype, shape[1:])
            for name, (dtype, shape) in self._forms.items()
        )

    def run(self, arrays: Arrays, options: Any = None) -> dict[str, Array]:
        """Copy the inputs in, run, and return copies of the outputs: nothing that the next run overwrites.

        options     `onnxruntime.RunOptions`, such as `deploy.providers.graph_id` makes

        Raises `InputError`, before anything is copied, for arrays that are not of the buffers' dtype and shape.
        """
        for name, (dtype, shape) in self._forms.items():
            array = arrays[name]
            if array.dtype != dtype or array.shape != shape:
                raise InputError(
                    f"input {name!r} is {array.dtype} {array.shape}, its buffer on the device is {dtype} {shape}; "
                    "send that, or run the session without buffers"
                )
        return self.fed(lambda: self._copy_in(arrays), options)

    def fed(self, feed: Callable[[], object], options: Any = None) -> dict[str, Array]:
        """Do the same with what `feed` writes to the inputs; nothing else runs on the device in between."""
        return self._session.exclusively(lambda: self._run(feed, options))

    def address(self, name: str, start: int, rows: int) -> int:
        """Return where these rows of an input lie; `OnnxwayError` unless they lie in its buffer."""
        dtype, shape = self._forms[name]
        if start < 0 or start + rows > shape[0]:
            raise OnnxwayError(f"rows {start} to {start + rows} of {name!r} lie outside its buffer of {shape[0]} rows")
        return int(self._inputs[name].data_ptr()) + start * math.prod(shape[1:]) * dtype.itemsize

    def _copy_in(self, arrays: Arrays) -> None:
        for name, value in self._inputs.items():
            value.update_inplace(np.asarray(arrays[name], order="C"))

    def _run(self, feed: Callable[[], object], options: Any) -> dict[str, Array]:
        feed()
        self._session.raw.run_with_iobinding(self._binding, options)
        return {name: _own(value.numpy()) for name, value in self._outputs.items()}


class Preprocessing:
    """The first half of a graph that is cut in two: what it makes of pictures stays on the device.

    session     takes pictures of any size and gives one tensor, with a row for each; without CUDA graphs
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._device = _device(session)
        (self._output,) = session.outputs
        self.name = self._output.name

    def run(self, arrays: Arrays) -> dict[str, Array]:
        """Return what it makes of pictures, for looking at it."""
        return self._session.run(arrays)

    def write(self, arrays: Arrays, address: int) -> None:
        """Write what it makes of pictures to device memory that has room for their rows (`Buffers.address`).

        To be called in turn on the device (`Buffers.fed`). The copies up and within the device are done when this
        returns. The last one is there because rows may begin at odd addresses, where kernels need not be able to write.
        """
        name, shape = self.name, (count(arrays), *self._output.shape[1:])
        binding = self._session.raw.io_binding()
        binding.bind_output(name, *self._device, np.dtype(self._output.dtype), shape, address)
        (place,) = binding.get_outputs()
        binding.bind_output(name, *self._device)
        for each, array in arrays.items():
            there = onnxruntime.OrtValue.ortvalue_from_numpy(np.asarray(array, order="C"), *self._device)
            binding.bind_ortvalue_input(each, there)
        self._session.raw.run_with_iobinding(binding)
        (made,) = binding.get_outputs()
        place.update_inplace(made)


def _places(session: Session, arrays: Arrays) -> dict[str, Any]:
    make = onnxruntime.OrtValue.ortvalue_from_shape_and_type
    return {name: make(array.shape, array.dtype, *_device(session)) for name, array in arrays.items()}


def _device(session: Session) -> tuple[str, int]:
    return session.provider, int(session.options.get("device_id", "0"))


def _own(values: Array) -> Array:
    """Return values in memory of their own: from a GPU they are copied already, on the CPU they are a view."""
    return values if values.flags.owndata else values.copy()
