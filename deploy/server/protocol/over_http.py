"""The protocol's inference over HTTP: headers and body to a request, outputs to an answer."""

from collections.abc import Mapping
from dataclasses import dataclass
from weakref import WeakKeyDictionary

from deploy.arrays import Array
from deploy.errors import InputError, OnnxwayError, TooLargeError
from deploy.predictor import Predictor
from deploy.server.protocol import classes, compression, json_text, messages
from deploy.server.protocol.messages import Form, InferRequest
from deploy.server.statistics import Timing
from deploy.server.wire import Wire

HEADER_LENGTH = "inference-header-content-length"
DIGEST_HEADER = "Model-Digest"

MAX_ROWS = 1024
"""A request with more rows is refused unless a server is told otherwise: memory for activations grows with them."""

MANY_NUMBERS = 8192
"""An answer with so many numbers in JSON is written on another thread."""

_FORMS: WeakKeyDictionary[Predictor, dict[tuple[bytes, int], Form]] = WeakKeyDictionary()
_MOST_FORMS, _LONGEST_FORM = 256, 2048
_LARGE_BODY = 4 * 2**20
_MIN_COMPRESSED = 1024


@dataclass(frozen=True, slots=True)
class Bounds:
    """What one request may have: bytes of its body, decompressed, and rows."""

    body: int
    rows: int = MAX_ROWS


def is_heavy(headers: Mapping[str, str], body: bytes) -> bool:
    """Return whether reading a body takes so long that an event loop should not wait for it: over about 1 ms."""
    text = len(body)
    if (stated := headers.get(HEADER_LENGTH, "")).isdigit():
        text = int(stated[:12])
    return text > json_text.PIECE or len(body) > _LARGE_BODY or "content-encoding" in headers


def read(headers: Mapping[str, str], body: bytes, predictor: Predictor, bounds: Bounds) -> InferRequest:
    """Return a checked request. Raises `InputError` and its kin."""
    inputs, outputs = predictor.info.input, predictor.info.output
    encoding = headers.get("content-encoding", "")
    plain = compression.decompress(body, encoding, bounds.body) if encoding else body
    stated = headers.get(HEADER_LENGTH)
    if stated is None:
        request = messages.read_request(json_text.parse(bytes(plain)), inputs, outputs)
    else:
        length = _header_length(stated, len(plain))
        if length == 0:
            request = messages.raw_request(inputs, outputs, plain)
        else:
            tail = memoryview(plain)[length:]
            request = _form(bytes(plain[:length]), len(tail), predictor).fill(tail)
    check(request, predictor, bounds)
    return request


def _form(text: bytes, size: int, predictor: Predictor) -> Form:
    """Return what the JSON before `size` bytes of tensors says: clients mostly repeat it, and then it is known."""
    known = _FORMS.setdefault(predictor, {})
    form = known.get((text, size))
    if form is None:
        info = predictor.info
        form = messages.read_form(json_text.parse(text), info.input, info.output, size)
        if len(text) <= _LONGEST_FORM and not form.request.arrays:
            if len(known) >= _MOST_FORMS:
                known.clear()
            known[text, size] = form
    return form


def check(request: InferRequest, predictor: Predictor, bounds: Bounds) -> int:
    """Return the number of rows of a request that the model takes; `InputError`, or `TooLargeError` over the bound."""
    rows = predictor.check(request.arrays)
    if rows > bounds.rows:
        raise TooLargeError(f"inputs: {rows} rows, at most {bounds.rows} in one request; send several")
    return rows


def writes_much(outputs: Mapping[str, Array], request: InferRequest, accept_encoding: str) -> bool:
    """Return whether writing the answer takes so long that an event loop should not wait for it."""
    if accept_encoding and compression.wanted(accept_encoding):
        return True
    if len(request.binary) == len(request.outputs) and not request.classes:
        return False
    written = (name for name in request.outputs if name not in request.binary or name in request.classes)
    return sum(outputs[name].size for name in written) > MANY_NUMBERS


def write(outputs: Mapping[str, Array], request: InferRequest, accept_encoding: str, timing: Timing) -> Wire:
    """Return the answer of the model that `timing` names, without the headers that hold its times."""
    info = timing.info
    assert info is not None
    if request.classes:
        outputs = classes.classified(outputs, request.classes, info.labels)
    text, tail = messages.render_response(outputs, request, info.name, info.version)
    headers = [(DIGEST_HEADER, info.digest)]
    body: list[bytes | memoryview] = [text, *tail]
    if tail:
        headers += [("Content-Type", "application/octet-stream"), ("Inference-Header-Content-Length", str(len(text)))]
    else:
        headers.append(("Content-Type", "application/json"))
    length = sum(map(len, body))
    coding = compression.wanted(accept_encoding) if accept_encoding else ""
    if coding and length >= _MIN_COMPRESSED:
        body = [compression.compress(body, coding)]
        length = len(body[0])
        headers += [("Content-Encoding", coding), ("Vary", "Accept-Encoding")]
    headers.append(("Content-Length", str(length)))
    return Wire(200, headers, body, timing)


def timed(wire: Wire, timing: Timing) -> Wire:
    """Return the answer with its times in a `Server-Timing` header."""
    wire.headers.append(("Server-Timing", timing.header()))
    return wire


def predicted(media: str, body: bytes, timing: Timing) -> Wire:
    """Return a typed result, JSON or a file, with the model's digest and the times."""
    info = timing.info
    assert info is not None
    headers = [("Content-Type", media), ("Content-Length", str(len(body))), (DIGEST_HEADER, info.digest)]
    return timed(Wire(200, headers, [body], timing), timing)


def error_wire(status: int, words: str, retry_after_s: float | None = None, timing: Timing | None = None) -> Wire:
    """Return an error as the protocol has it."""
    body = json_text.write({"error": words})
    headers = [("Content-Type", "application/json"), ("Content-Length", str(len(body))), *retry_after(retry_after_s)]
    return Wire(status, headers, [body], timing)


def known_error(error: OnnxwayError, timing: Timing | None = None) -> Wire:
    """Return an error that was made for the reader, with the status of its class."""
    return error_wire(error.status, str(error), getattr(error, "retry_after_s", None), timing)


def retry_after(seconds: float | None) -> list[tuple[str, str]]:
    """Return the header that says when to come back, if that is known: whole seconds, rounded up, at least 1."""
    return [] if seconds is None else [("Retry-After", str(max(1, -int(-seconds // 1))))]


def _header_length(stated: str, size: int) -> int:
    if not (stated.isascii() and stated.isdigit()) or int(stated[:20]) > size:
        raise InputError(f"Inference-Header-Content-Length: {stated[:40]!r}, expected bytes of JSON, from 0 to {size}")
    return int(stated)
