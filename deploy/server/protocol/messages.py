"""Open Inference Protocol v2: requests to arrays, arrays to responses, in JSON with or without binary tensors.

Everything is checked before a session sees it.

Specification: https://github.com/open-inference/open-inference-protocol, and for binary tensors and parameters
https://github.com/triton-inference-server/server/tree/main/docs/protocol. `data` may be flat or nested as `shape` says.
"""

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np

from deploy.arrays import Array
from deploy.bundle import Signature, TensorSpec
from deploy.errors import InputError
from deploy.schema import closest
from deploy.server.protocol import binary, classes, json_text
from deploy.server.protocol.declined import declined
from deploy.server.protocol.json_text import Document, kind

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

CODES: dict[np.dtype[Any], str] = {np.dtype(name): code for name, code in DATATYPES.items()}
"""dtypes to the protocol's names; `dtype.name` takes longer to make than all of a small answer's JSON."""

CODES[np.dtype(object)] = "BYTES"

_MAX_TIMEOUT_US = 10**12  # eleven days: larger ones overflow clocks, and are mistakes


@dataclass(frozen=True)
class InferRequest:
    """What a client asks.

    arrays       input tensors by name
    outputs      names of the outputs that it wants
    id           its own, sent back to it
    binary       those of `outputs` that are answered as bytes
    priority     1 is the highest, 0 leaves it to the server
    timeout_s    seconds after which the answer is of no use; None for no limit
    classes      those of `outputs` of which only the largest values are wanted, and how many
    """

    arrays: dict[str, Array]
    outputs: tuple[str, ...]
    id: str | None = None
    binary: frozenset[str] = frozenset()
    priority: int = 0
    timeout_s: float | None = None
    classes: Mapping[str, int] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        """Rows in each input."""
        return len(next(iter(self.arrays.values())))


@dataclass(frozen=True)
class Form:
    """What the JSON of a request says; many requests of a client differ in the bytes behind it only.

    request    with the tensors that came in the JSON
    places     of each tensor that follows it: name, words for errors, dtype, shape, where its bytes begin and end
    """

    request: InferRequest
    places: tuple[tuple[str, str, str, tuple[int, ...], int, int], ...]

    def fill(self, tail: bytes | memoryview) -> InferRequest:
        """Return the request with the tensors that are in `tail`, which has the size that the form was read for."""
        if not self.places:
            return self.request
        view, arrays = memoryview(tail), dict(self.request.arrays)
        for name, where, dtype, shape, start, end in self.places:
            arrays[name] = binary.from_bytes(where, view[start:end], shape, dtype)
        said = self.request
        return InferRequest(arrays, said.outputs, said.id, said.binary, said.priority, said.timeout_s, said.classes)


def read_request(
    document: Document, inputs: Signature, outputs: Signature, tail: bytes | memoryview = b""
) -> InferRequest:
    """Read a request; `tail` is what follows the JSON.

    `InputError` names the tensor, what came and what was expected.
    """
    return read_form(document, inputs, outputs, len(tail)).fill(tail)


def read_form(document: Document, inputs: Signature, outputs: Signature, size: int = 0) -> Form:
    """Read the JSON of a request that `size` bytes follow; `InputError` as `read_request`."""
    body = document.value
    if not isinstance(body, dict):
        raise InputError(f"request: got {kind(body)}, expected a JSON object with 'inputs'")
    request_id = body.get("id")
    if request_id is not None and not isinstance(request_id, str):
        raise InputError(f"id: got {kind(request_id)}, expected a string")
    parameters = _parameters("request", body)
    entries = _named(body.get("inputs"), "inputs", [spec.name for spec in inputs.tensors])
    spans = _spans(entries, size)
    arrays, places = {}, []
    for spec in inputs.tensors:
        if spec.name not in entries:
            continue
        entry = entries[spec.name]
        shape = read_shape(spec, entry.get("datatype"), entry.get("shape"))
        if spec.name in spans:
            places.append((spec.name, f"input {spec.name!r}", spec.dtype, shape, *spans[spec.name]))
        else:
            arrays[spec.name] = _read_data(spec, shape, document, entry.get("data"))
    names = tuple(spec.name for spec in outputs.tensors)
    asked = _named(body["outputs"], "outputs", names) if body.get("outputs") else {name: {} for name in names}
    default = _flag("request", parameters, "binary_data_output")
    request = InferRequest(
        arrays,
        tuple(asked),
        request_id,
        frozenset(name for name, entry in asked.items() if _wants_binary(name, entry, default)),
        read_priority(parameters.get("priority")),
        read_timeout(parameters.get("timeout")),
        _counts(outputs, asked),
    )
    return Form(request, tuple(places))


def raw_request(inputs: Signature, outputs: Signature, body: bytes | memoryview) -> InferRequest:
    """Read a request that is nothing but the bytes of the only input; all outputs are answered as bytes."""
    if len(inputs.tensors) != 1:
        raise InputError(f"the body is raw bytes, and the model has {len(inputs.tensors)} inputs; name them in JSON")
    spec, names = inputs.tensors[0], tuple(spec.name for spec in outputs.tensors)
    shape = binary.raw_shape(spec, len(body))
    array = binary.from_bytes(f"input {spec.name!r}", body, shape, spec.dtype)
    return InferRequest({spec.name: array}, names, binary=frozenset(names))


def render_response(
    arrays: Mapping[str, Array], request: InferRequest, model_name: str, model_version: str
) -> tuple[bytes, list[bytes | memoryview]]:
    """Return the response of a request: its JSON, with data flat in row-major order, and the tensors that follow it."""
    heads, data, tail = [], [], []
    for name in request.outputs:
        array, size = arrays[name], None
        if name in request.binary:
            tail.append(binary.to_bytes(array))
            size = len(tail[-1])
        else:
            data.append(json_text.numbers(array))
        heads.append((name, CODES[array.dtype], array.shape, size))
    if data:
        return json_text.write(_response(model_name, model_version, request.id, heads, iter(data))), tail
    return _outline(model_name, model_version, request.id, tuple(heads)), tail


_Head = tuple[str, str, tuple[int, ...], int | None]
"""Of one output: name, datatype, shape, and its bytes if these follow the JSON."""


@lru_cache(maxsize=1024)
def _outline(name: str, version: str, request_id: str | None, heads: tuple[_Head, ...]) -> bytes:
    """Return the JSON of a response with all its tensors behind it: the same for many requests."""
    return json_text.write(_response(name, version, request_id, heads, iter(())))


def _response(
    name: str, version: str, request_id: str | None, heads: Iterable[_Head], data: Iterator[object]
) -> dict[str, Any]:
    outputs = []
    for output, datatype, shape, nbytes in heads:
        entry: dict[str, Any] = {"name": output, "datatype": datatype, "shape": shape}
        if nbytes is None:
            entry["data"] = next(data)
        else:
            entry["parameters"] = {"binary_data_size": nbytes}
        outputs.append(entry)
    first = {"model_name": name, "model_version": version}
    return {**first, **({} if request_id is None else {"id": request_id}), "outputs": outputs}


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


def read_shape(spec: TensorSpec, datatype: object, shape: object) -> tuple[int, ...]:
    """Return the sizes that a client states for a tensor, after checking them and the datatype; `InputError`."""
    where = f"input {spec.name!r}"
    if datatype != DATATYPES[spec.dtype]:
        raise InputError(f"{where}: got datatype {str(datatype)[:20]!r}, expected {DATATYPES[spec.dtype]!r}")
    if not isinstance(shape, list) or not all(type(size) is int and size > 0 for size in shape):
        raise InputError(f"{where}: shape is {str(shape)[:100]}, expected a list of whole numbers from 1 up")
    if len(shape) != len(spec.shape):
        raise InputError(f"{where}: shape {str(shape)[:100]} has {len(shape)} axes, expected {len(spec.shape)}")
    return tuple(shape)


def read_priority(value: object) -> int:
    """Return the parameter `priority`; None is 0."""
    if value is None:
        return 0
    if type(value) is not int or not 0 <= value < 2**32:
        raise InputError(f"priority: got {str(value)[:40]}, expected a whole number from 0 up (1 is the highest)")
    return value


def read_timeout(value: object) -> float | None:
    """Return the parameter `timeout` (microseconds) in seconds; None and 0 are no limit."""
    if value is None:
        return None
    if type(value) is not int or not 0 <= value <= _MAX_TIMEOUT_US:
        raise InputError(f"timeout: got {str(value)[:40]}, expected microseconds, a whole number to {_MAX_TIMEOUT_US}")
    return value / 1e6 or None


def _named(entries: object, where: str, known: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return the entries of `inputs` or `outputs` by their names, each known and there once, in their order."""
    if not isinstance(entries, list) or not entries:
        raise InputError(f"{where}: got {kind(entries)}, expected a list of tensors")
    found: dict[str, dict[str, Any]] = {}
    for number, entry in enumerate(entries):
        if not isinstance(entry, dict):
            raise InputError(f"{where}[{number}]: got {kind(entry)}, expected an object")
        name = entry.get("name")
        if not isinstance(name, str):
            raise InputError(f"{where}[{number}].name: got {kind(name)}, expected a string")
        require_name(name, f"{where}[{number}]", known, found)
        found[name] = entry
    return found


def require_no_region(where: str, names: Container[str]) -> None:
    """Raise `UnsupportedError` where parameters, by their `names`, say that a tensor lies in shared memory."""
    if "shared_memory_region" in names:
        raise declined("shared memory", f"{where}: ")


def require_name(name: str, where: str, known: Sequence[str], found: Mapping[str, object]) -> None:
    """Raise `InputError` unless a tensor's name is known and was not found before."""
    if name not in known:
        raise InputError(f"{where}: the model has no {name[:100]!r}; {closest(name[:100], known)}")
    if name in found:
        raise InputError(f"{where}: {name!r} is there twice")


def _parameters(where: str, entry: Mapping[str, Any]) -> Mapping[str, Any]:
    parameters = entry.get("parameters")
    if parameters is None:
        return {}
    if not isinstance(parameters, dict):
        raise InputError(f"{where}: parameters is {kind(parameters)}, expected an object")
    return parameters


def _flag(where: str, parameters: Mapping[str, Any], key: str, default: bool = False) -> bool:
    value = parameters.get(key, default)
    if not isinstance(value, bool):
        raise InputError(f"{where}: {key} is {kind(value)}, expected true or false")
    return value


def _wants_binary(name: str, entry: Mapping[str, Any], default: bool) -> bool:
    where = f"output {name!r}"
    parameters = _parameters(where, entry)
    require_no_region(where, parameters)
    return _flag(where, parameters, "binary_data", default)


def _counts(outputs: Signature, asked: Mapping[str, dict[str, Any]]) -> dict[str, int]:
    """Return the outputs of which classes are wanted, and how many."""
    found = {}
    for spec in outputs.tensors:
        parameters = asked.get(spec.name, {}).get("parameters") or {}
        if count := classes.read_count(spec, parameters.get("classification")):
            found[spec.name] = count
    return found


def _spans(entries: Mapping[str, dict[str, Any]], size: int) -> dict[str, tuple[int, int]]:
    """Return where the bytes of each tensor with a `binary_data_size` begin and end; all `size` bytes are used."""
    found, at = {}, 0
    for name, entry in entries.items():
        parameters = _parameters(f"input {name!r}", entry)
        require_no_region(f"input {name!r}", parameters)
        length = parameters.get("binary_data_size")
        if length is None:
            continue
        if type(length) is not int or length < 0:
            raise InputError(
                f"input {name!r}: binary_data_size is {str(length)[:40]}, expected a whole number from 0 up"
            )
        if length > size - at:
            raise InputError(f"input {name!r}: binary_data_size is {str(length)[:40]}, and {size - at} bytes are left")
        if "data" in entry:
            raise InputError(f"input {name!r}: has both data and binary_data_size, expected one of them")
        found[name] = at, at + length
        at += length
    if at != size:
        raise InputError(f"{size - at} bytes follow the last tensor; state the sizes of all of them")
    return found


def _read_data(spec: TensorSpec, shape: tuple[int, ...], document: Document, data: object) -> Array:
    where = f"input {spec.name!r}"
    numbers = document.resolve(data)
    return json_text.read_numbers(where, numbers, shape, np.dtype(spec.dtype), booleans=document.booleans)
