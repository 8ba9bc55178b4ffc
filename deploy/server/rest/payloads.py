"""What an application holds, as it comes over HTTP: the bytes of a file, or JSON in the input's natural form.

JSON is an object with a value for each input, or the value alone for the only one. A value is what `Predictor.predict`
takes: a list, nested as the tensor is (with its first axis a batch, without it one sample), or in the shorter forms of
its kind; the bytes of a file in base64, plain or as a `data:` URL; for texts a string, or a list of them. Of some kinds
an object is a sample (`InputKind.objects`), and a list of them a batch.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from deploy.bundle import TensorSpec
from deploy.errors import InputError
from deploy.inputs import InputKind
from deploy.predictor import Predictor
from deploy.server.protocol import compression, json_text
from deploy.server.protocol.json_text import Document, kind
from deploy.server.protocol.messages import InferRequest
from deploy.server.protocol.over_http import Bounds, check
from deploy.turns import Turns


@dataclass(frozen=True)
class Payload:
    """One body; `encoding` is its Content-Encoding, `is_json` what its Content-Type says."""

    body: bytes
    is_json: bool = False
    encoding: str = ""


@dataclass(frozen=True)
class Reading:
    """A checked request, the talk that it begins, and whether a list of results is expected for it."""

    request: InferRequest
    turns: Turns
    is_batch: bool


def read(payload: Payload, predictor: Predictor, bounds: Bounds) -> Reading:
    """Return the request that a payload stands for; `InputError` and its kin."""
    body = bytes(compression.decompress(payload.body, payload.encoding, bounds.body))
    if not body:
        raise InputError(f"the body is empty; {_advice(predictor.kind)}")
    if payload.is_json:
        given = _natural(json_text.parse(body, numbers=not (predictor.kind.texts or predictor.kind.objects)), predictor)
        is_batch = predictor.kind.is_batch(given)
    else:
        given, is_batch = body, False
    turns = Turns(predictor.kind.converse(given))
    request = InferRequest(turns.first, tuple(spec.name for spec in predictor.info.output.tensors))
    check(request, predictor, bounds)
    return Reading(request, turns, is_batch)


def _advice(input_kind: InputKind) -> str:
    if not input_kind.file:
        return "send JSON with an array for each input"
    return f"send {input_kind.file}: curl --data-binary @{input_kind.filename} URL"


@dataclass(frozen=True)
class File:
    """An answer that is a file: a mask as a picture."""

    media: str
    body: bytes


def answer(reading: Reading, predictor: Predictor, accept: str) -> dict[str, Any] | File:
    """Return the typed result as JSON values, a list of them for a batch; as a file where `accept` names its type."""
    assert reading.turns.answer is not None
    results = predictor.results(reading.turns.answer, reading.turns.first)
    media = predictor.answers.media
    if reading.is_batch:
        return {"results": [result.to_dict() for result in results]}
    if media and media in (one.partition(";")[0].strip().lower() for one in accept.split(",")):
        return File(media, results[0].to_file())
    return results[0].to_dict()  # type: ignore[no-any-return]


def _natural(document: Document, predictor: Predictor) -> object:
    specs = predictor.info.input.tensors
    value = document.value
    if predictor.kind.objects:
        return value
    if len(specs) > 1 or isinstance(value, dict):
        names = [spec.name for spec in specs]
        if not isinstance(value, dict) or set(value) != set(names):
            found = ", ".join(map(repr, value))[:100] if isinstance(value, dict) else kind(value)
            raise InputError(f"the body is JSON of {found or 'nothing'}, expected an object with {', '.join(names)}")
    else:
        value = {specs[0].name: value}
    given = {spec.name: _payload(spec, document.resolve(value[spec.name]), predictor.kind) for spec in specs}
    return given if len(specs) > 1 else given[specs[0].name]


def _payload(spec: TensorSpec, data: object, input_kind: InputKind) -> object:
    """Return what a JSON value stands for: text, the bytes of a file, or numbers as an array of the input's dtype."""
    if isinstance(data, str) or (isinstance(data, list) and data and all(isinstance(one, str) for one in data)):
        return input_kind.from_json(spec.name, data)
    shape = json_text.shape_of(data)
    if not shape:
        file = f" or {input_kind.file} in base64" if input_kind.file and not input_kind.texts else ""
        wanted = "a text, a list of texts or of code points" if input_kind.texts else f"a list of numbers{file}"
        raise InputError(f"input {spec.name!r}: got {kind(data)}, expected {wanted}")
    return json_text.read_numbers(f"input {spec.name!r}", data, shape, np.dtype(spec.dtype))
