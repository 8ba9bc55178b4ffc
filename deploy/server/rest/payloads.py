"""What an application holds, as it comes over HTTP: the bytes of a file, or JSON in the input's natural form.

JSON is an object with a value for each input, or the value alone for the only one. A value is a list, nested as the
tensor is: with its first axis a batch, without it one sample. A picture may also be (height, width), with any of the
channels that files have, and the bytes of its file in base64, plain or as a `data:` URL.
"""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from deploy.arrays import Array
from deploy.bundle import TensorSpec
from deploy.errors import InputError
from deploy.predictor import Predictor
from deploy.server.protocol import compression, json_text
from deploy.server.protocol.json_text import Document, kind
from deploy.server.protocol.messages import InferRequest
from deploy.server.protocol.over_http import Bounds, check


@dataclass(frozen=True)
class Payload:
    """One body; `encoding` is its Content-Encoding, `is_json` what its Content-Type says."""

    body: bytes
    is_json: bool = False
    encoding: str = ""


@dataclass(frozen=True)
class Reading:
    """A checked request, and whether a list of results is expected for it."""

    request: InferRequest
    is_batch: bool


def read(payload: Payload, predictor: Predictor, bounds: Bounds) -> Reading:
    """Return the request that a payload stands for; `InputError` and its kin."""
    body = bytes(compression.decompress(payload.body, payload.encoding, bounds.body))
    if not body:
        raise InputError("the body is empty; send the bytes of a picture: curl --data-binary @picture.png URL")
    if payload.is_json:
        arrays, is_batch = _natural(json_text.parse(body), predictor)
    else:
        arrays, is_batch = predictor.arrays(body), False
    request = InferRequest(arrays, tuple(spec.name for spec in predictor.info.output.tensors))
    check(request, predictor, bounds)
    return Reading(request, is_batch)


def results(outputs: Mapping[str, Array], predictor: Predictor) -> list[dict[str, Any]]:
    """Return one typed result for each row, as JSON values."""
    return [result.to_dict() for result in predictor.results(outputs)]


def _natural(document: Document, predictor: Predictor) -> tuple[dict[str, Array], bool]:
    specs = predictor.info.input.tensors
    value = document.value
    if len(specs) > 1 or isinstance(value, dict):
        names = [spec.name for spec in specs]
        if not isinstance(value, dict) or set(value) != set(names):
            found = ", ".join(map(repr, value))[:100] if isinstance(value, dict) else kind(value)
            raise InputError(f"the body is JSON of {found or 'nothing'}, expected an object with {', '.join(names)}")
    else:
        value = {specs[0].name: value}
    data = {spec.name: document.resolve(value[spec.name]) for spec in specs}
    if predictor.info.input.kind == "image":
        return _image(specs[0], data[specs[0].name], predictor)
    axes = {spec.name: len(json_text.shape_of(data[spec.name])) - len(spec.shape) for spec in specs}
    if len(set(axes.values())) > 1:
        raise InputError("some inputs are batches and some single samples; send all of one kind")
    is_batch = next(iter(axes.values())) >= 0
    return {spec.name: _tensor(spec, data[spec.name], is_batch=is_batch) for spec in specs}, is_batch


def _image(spec: TensorSpec, data: object, predictor: Predictor) -> tuple[dict[str, Array], bool]:
    if isinstance(data, str):
        return predictor.arrays(_from_base64(spec.name, data)), False
    shape = _shape(spec, data)
    if len(shape) == len(spec.shape):
        return {spec.name: _tensor(spec, data, is_batch=True)}, True
    pixels = json_text.read_numbers(f"input {spec.name!r}", data, shape, np.dtype(spec.dtype))
    return predictor.arrays(pixels), False


def _tensor(spec: TensorSpec, data: object, *, is_batch: bool) -> Array:
    array = json_text.read_numbers(f"input {spec.name!r}", data, _shape(spec, data), np.dtype(spec.dtype))
    return array if is_batch else array[None]


def _shape(spec: TensorSpec, data: object) -> tuple[int, ...]:
    shape = json_text.shape_of(data)
    if not shape:
        text = " or a picture's file in base64" if spec.dtype == "uint8" else ""
        raise InputError(f"input {spec.name!r}: got {kind(data)}, expected a list of numbers{text}")
    return shape


def _from_base64(name: str, text: str) -> bytes:
    if text.startswith("data:"):
        text = text.partition(",")[2]
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise InputError(f"input {name!r}: got a string that is not base64, expected a picture's file in it") from None
