"""Open Inference Protocol v2, JSON form: requests to arrays, arrays to responses.

Everything is checked before a session sees it.

Specification: https://github.com/open-inference/open-inference-protocol. `data` may be flat or nested as `shape` says.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np

from deploy.arrays import Array
from deploy.bundle import Signature, TensorSpec
from deploy.errors import InputError, UnsupportedError
from deploy.schema import closest

DATATYPES = {
    "bool": "BOOL",
    "uint8": "UINT8",
    "uint16": "UINT16",
    "uint32": "UINT32",
    "uint64": "UINT64",
    "int8": "INT8",
    "int16": "INT16",
    "int32": "INT32",
    "int64": "INT64",
    "float16": "FP16",
    "float32": "FP32",
    "float64": "FP64",
}
"""numpy's names to the protocol's."""

_JSON_TYPES: dict[str, set[type]] = {"b": {bool}, "i": {int}, "u": {int}, "f": {int, float}}
"""What JSON numbers may be for each kind of dtype: 1.0 is no whole number, true is no number."""


@dataclass(frozen=True)
class InferRequest:
    """What a client asks: input tensors by name, the names of the outputs it wants, and its own id, sent back to it."""

    arrays: dict[str, Array]
    outputs: tuple[str, ...]
    id: str | None = None


def read_request(body: object, inputs: Signature, outputs: Signature) -> InferRequest:
    """Read a request; `InputError` names the tensor, what came and what was expected."""
    if not isinstance(body, dict):
        raise InputError(f"request: got {_kind(body)}, expected a JSON object with 'inputs'")
    request_id = body.get("id")
    if request_id is not None and not isinstance(request_id, str):
        raise InputError(f"id: got {_kind(request_id)}, expected a string")
    entries = _named(body.get("inputs"), "inputs", [spec.name for spec in inputs.tensors])
    arrays = {spec.name: _read_tensor(spec, entries[spec.name]) for spec in inputs.tensors if spec.name in entries}
    names = tuple(spec.name for spec in outputs.tensors)
    wanted = names
    if body.get("outputs"):
        wanted = tuple(_named(body["outputs"], "outputs", names))
    return InferRequest(arrays, wanted, request_id)


def render_response(
    arrays: Mapping[str, Array], request: InferRequest, model_name: str, model_version: str
) -> dict[str, Any]:
    """Return the response of a request as JSON values; `data` is flat, in row-major order."""
    response: dict[str, Any] = {"model_name": model_name, "model_version": model_version}
    if request.id is not None:
        response["id"] = request.id
    response["outputs"] = [
        {
            "name": name,
            "datatype": DATATYPES[arrays[name].dtype.name],
            "shape": list(arrays[name].shape),
            "data": arrays[name].ravel().tolist(),
        }
        for name in request.outputs
    ]
    return response


def describe(signature: Signature) -> list[dict[str, Any]]:
    """Return the tensors of a signature as model metadata; a free size is -1."""
    return [
        {
            "name": spec.name,
            "datatype": DATATYPES[spec.dtype],
            "shape": [size if isinstance(size, int) else -1 for size in spec.shape],
        }
        for spec in signature.tensors
    ]


def _named(entries: object, where: str, known: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return the entries of `inputs` or `outputs` by their names, each known and there once."""
    if not isinstance(entries, list) or not entries:
        raise InputError(f"{where}: got {_kind(entries)}, expected a list of tensors")
    found: dict[str, dict[str, Any]] = {}
    for number, entry in enumerate(entries):
        if not isinstance(entry, dict):
            raise InputError(f"{where}[{number}]: got {_kind(entry)}, expected an object")
        name = entry.get("name")
        if not isinstance(name, str):
            raise InputError(f"{where}[{number}].name: got {_kind(name)}, expected a string")
        if name not in known:
            raise InputError(f"{where}[{number}]: the model has no {name[:100]!r}; {closest(name[:100], known)}")
        if name in found:
            raise InputError(f"{where}[{number}]: {name!r} is there twice")
        found[name] = entry
    return found


def _read_tensor(spec: TensorSpec, entry: Mapping[str, Any]) -> Array:
    where, datatype = f"input {spec.name!r}", DATATYPES[spec.dtype]
    if entry.get("datatype") != datatype:
        raise InputError(f"{where}: got datatype {str(entry.get('datatype'))[:20]!r}, expected {datatype!r}")
    shape = _read_shape(where, entry.get("shape"), len(spec.shape))
    parameters = entry.get("parameters")
    if isinstance(parameters, dict) and "binary_data_size" in parameters:
        raise UnsupportedError(f"{where}: binary tensors are not supported; send 'data' as JSON (binary_data=False)")
    data = entry.get("data")
    if not isinstance(data, list):
        raise InputError(f"{where}: data is {_kind(data)}, expected a list of numbers")
    values = _flatten(where, data, shape)
    return _convert(where, values, np.dtype(spec.dtype)).reshape(shape)


def _read_shape(where: str, shape: object, axes: int) -> tuple[int, ...]:
    if not isinstance(shape, list) or not all(type(size) is int and size > 0 for size in shape):
        raise InputError(f"{where}: shape is {str(shape)[:100]}, expected a list of whole numbers from 1 up")
    if len(shape) != axes:
        raise InputError(f"{where}: shape {str(shape)[:100]} has {len(shape)} axes, expected {axes}")
    return tuple(shape)


def _flatten(where: str, data: list[Any], shape: tuple[int, ...]) -> list[Any]:
    """Return the numbers in a row: `data` is flat already, or nested exactly as `shape` says."""
    count = 1
    for size in shape:
        count *= size  # Python's integers: no product overflows
    level = data
    if level and type(level[0]) is list:
        for depth, size in enumerate(shape):
            if depth and set(map(type, level)) != {list}:
                raise InputError(f"{where}: data is not nested as its shape {list(shape)} says (at depth {depth})")
            sizes = {len(data)} if depth == 0 else set(map(len, level))
            if sizes != {size}:
                raise InputError(f"{where}: data has {sorted(sizes)[:3]} items at depth {depth}, its shape says {size}")
            if depth:
                level = list(chain.from_iterable(level))
    if len(level) != count:
        raise InputError(f"{where}: data has {len(level)} values, its shape {list(shape)} says {count}")
    return level


def _convert(where: str, values: list[Any], dtype: np.dtype[Any]) -> Array:
    """Return flat numbers as an array, each a number that the dtype holds."""
    allowed = _JSON_TYPES[dtype.kind]
    strange = set(map(type, values)) - allowed
    if strange:
        names = ", ".join(sorted(kind.__name__ for kind in strange))
        raise InputError(
            f"{where}: data holds {names}, expected {' or '.join(sorted(k.__name__ for k in allowed))} only"
        )
    if dtype.kind in "iu":
        low, high = int(np.iinfo(dtype).min), int(np.iinfo(dtype).max)
        if min(values) < low or max(values) > high:
            raise InputError(f"{where}: values run from {min(values)} to {max(values)}, expected {low} to {high}")
        return np.array(values, dtype)
    try:
        wide = np.array(values, np.float64)
    except OverflowError:
        raise InputError(f"{where}: data holds a number that {dtype} cannot hold") from None
    with np.errstate(over="ignore"):
        array = wide.astype(dtype)
    if (np.isfinite(wide) & ~np.isfinite(array)).any():
        raise InputError(f"{where}: data holds a number that {dtype} cannot hold")
    return array


def _kind(value: object) -> str:
    names = {dict: "an object", list: "an empty list" if value == [] else "a list", str: "a string", bool: "a boolean"}
    return "nothing" if value is None else names.get(type(value), "a number")
