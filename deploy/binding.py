"""Batches of one shape through fixed memory on the device: inputs are copied in, the graph writes where it always does.

What ONNX Runtime does not check is checked here (seen with 1.31.1): `update_inplace` compares numbers of elements only,
float64 in the place of float32 is copied as it lies; and a CUDA graph replays what was captured under its id, whatever
is bound by then.
"""

import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np
import onnxruntime

from deploy.arrays import Array
from deploy.errors import InputError, OnnxwayError
from deploy.providers import Session

Arrays = Mapping[str, Array]
Addresses = tuple[tuple[str, tuple[int, ...], int], ...]
"""Name, shape and address of every buffer."""

_numbers = itertools.count(1)  # never one twice: what a session has captured under a number it replays ever after


class Buffers:
    """Memory on a session's device for inputs and outputs of one shape, bound once. Callers run one at a time.

    inputs, outputs     arrays of the dtypes and shapes to be; their values are of no meaning
    """

    def __init__(self, session: Session, inputs: Arrays, outputs: Arrays) -> None:
        self._session = session
        self._forms = {name: (array.dtype, array.shape) for name, array in inputs.items()}
        self._inputs = {name: _place(session, array) for name, array in inputs.items()}
        self._outputs = {name: _place(session, array) for name, array in outputs.items()}
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
        return self._session.exclusively(lambda: self._run(arrays, options))

    def _run(self, arrays: Arrays, options: Any) -> dict[str, Array]:
        for name, value in self._inputs.items():
            value.update_inplace(np.asarray(arrays[name], order="C"))
        self._session.raw.run_with_iobinding(self._binding, options)
        return {name: _own(value.numpy()) for name, value in self._outputs.items()}


class GraphIds:
    """Which CUDA graph belongs to which buffers: an id is given once in a process and holds for these alone."""

    def __init__(self) -> None:
        self._addresses: dict[int, Addresses] = {}

    def assign(self, buffers: Buffers) -> int:
        """Return an id that no other buffers ever had, from 1 on: 0 is what runs without an id would use."""
        number = next(_numbers)
        self._addresses[number] = buffers.addresses
        return number

    def require(self, number: int, buffers: Buffers) -> None:
        """Raise `OnnxwayError` unless the id was given to these buffers, as they are."""
        if self._addresses.get(number) != buffers.addresses:
            raise OnnxwayError(f"CUDA graph {number} was captured for other buffers; load the model again")


def _place(session: Session, array: Array) -> Any:
    device = int(session.options.get("device_id", "0"))
    return onnxruntime.OrtValue.ortvalue_from_shape_and_type(array.shape, array.dtype, session.provider, device)


def _own(values: Array) -> Array:
    """Return values in memory of their own: from a GPU they are copied already, on the CPU they are a view."""
    return values if values.flags.owndata else values.copy()
