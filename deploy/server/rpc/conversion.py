"""The protocol's inference over gRPC: messages to a request, outputs to a message."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from deploy.arrays import Array
from deploy.bundle import TensorSpec
from deploy.errors import InputError
from deploy.predictor import Info, Predictor
from deploy.server.protocol import binary, classes, json_text, messages
from deploy.server.protocol.messages import CODES, DATATYPES, InferRequest
from deploy.server.protocol.over_http import Bounds, check
from deploy.server.rpc.schema import message

_CONTENTS = {
    "bool": "bool_contents",
    "int8": "int_contents",
    "int16": "int_contents",
    "int32": "int_contents",
    "int64": "int64_contents",
    "uint8": "uint_contents",
    "uint16": "uint_contents",
    "uint32": "uint_contents",
    "uint64": "uint64_contents",
    "float32": "fp32_contents",
    "float64": "fp64_contents",
}
"""Where numbers of a dtype lie when they are not raw; float16 has no such place."""

_Response = message("ModelInferResponse")


def read(request: Any, predictor: Predictor, bounds: Bounds, left_s: float | None = None) -> InferRequest:
    """Return a checked request for a `ModelInferRequest`; `InputError` and its kin.

    `left_s` is what the call's own deadline leaves: the sooner of it and the parameter `timeout` counts.
    """
    specs = {spec.name: spec for spec in predictor.info.input.tensors}
    outputs = {spec.name: spec for spec in predictor.info.output.tensors}
    raw = request.raw_input_contents
    if raw and len(raw) != len(request.inputs):
        raise InputError(f"raw_input_contents: got {len(raw)}, expected one for each of {len(request.inputs)} inputs")
    arrays: dict[str, Array] = {}
    for number, tensor in enumerate(request.inputs):
        messages.require_name(tensor.name, f"inputs[{number}]", tuple(specs), arrays)
        arrays[tensor.name] = _tensor(specs[tensor.name], tensor, raw[number] if raw else None)
    wanted: dict[str, int] = {}
    for number, output in enumerate(request.outputs):
        messages.require_name(output.name, f"outputs[{number}]", tuple(outputs), wanted)
        messages.require_no_region(f"output {output.name!r}", output.parameters)
        wanted[output.name] = classes.read_count(outputs[output.name], _parameter(output, "classification"))
    timeout = messages.read_timeout(_parameter(request, "timeout"))
    made = InferRequest(
        arrays,
        tuple(wanted or outputs),
        request.id or None,
        priority=messages.read_priority(_parameter(request, "priority")),
        timeout_s=min((time for time in (timeout, left_s) if time is not None), default=None),
        classes={name: count for name, count in wanted.items() if count},
    )
    check(made, predictor, bounds)
    return made


def write(outputs: Mapping[str, Array], request: InferRequest, info: Info) -> Any:
    """Return the `ModelInferResponse`, its tensors raw."""
    if request.classes:
        outputs = classes.classified(outputs, request.classes, info.labels)
    response = _Response(model_name=info.name, model_version=info.version, id=request.id or "")
    for name in request.outputs:
        array = outputs[name]
        response.outputs.add(name=name, datatype=CODES[array.dtype], shape=array.shape)
        response.raw_output_contents.append(bytes(binary.to_bytes(array)))
    return response


def _tensor(spec: TensorSpec, tensor: Any, raw: bytes | None) -> Array:
    where = f"input {spec.name!r}"
    messages.require_no_region(where, tensor.parameters)
    shape = messages.read_shape(spec, tensor.datatype, list(tensor.shape))
    if raw is not None:
        if tensor.HasField("contents"):
            raise InputError(f"{where}: has both contents and raw_input_contents, expected one of them")
        return binary.from_bytes(where, raw, shape, spec.dtype)
    place = _CONTENTS.get(spec.dtype)
    if place is None:
        raise InputError(f"{where}: {DATATYPES[spec.dtype]} has no contents; send raw_input_contents")
    for field, _ in tensor.contents.ListFields():
        if field.name != place:
            raise InputError(f"{where}: contents are {field.name}, expected {place}")
    numbers = list(getattr(tensor.contents, place))
    return json_text.read_numbers(where, numbers, shape, np.dtype(spec.dtype), booleans=spec.dtype == "bool")


def _parameter(said: Any, name: str) -> object:
    """Return a parameter of a request or an output, of any of its types, or None."""
    if name not in said.parameters:
        return None
    value = said.parameters[name]
    chosen = value.WhichOneof("parameter_choice")
    return getattr(value, chosen) if chosen else None
