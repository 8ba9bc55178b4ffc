"""One HTTP request as it comes in, and the check of its head."""

import re
from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import unquote

import httptools

from deploy.server.http.answer import refusal
from deploy.server.http.limits import Limits
from deploy.server.wire import Wire

if TYPE_CHECKING:
    from deploy.server.statistics import Timing

_ASKED = re.compile(r"/v2/models/([^/]+)(?:/versions/([^/]+))?/(infer|predict)")
Asked = tuple[str | None, str | None, str]
"""Model name (None: the only one), version, and `infer` or `predict`."""
_MANY = 1024
_FORM = "multipart/"  # these are read by the application


class Body:
    """The bytes of a body as they come: one piece is handed on without a copy, many tiny ones do not cost more."""

    __slots__ = ("_loose", "_parts", "held", "total")

    def __init__(self) -> None:
        self.total = 0  # bytes that have come
        self.held = 0  # of these, bytes that nobody has taken yet
        self._parts: list[bytes] = []
        self._loose: bytearray | None = None

    def add(self, piece: bytes) -> None:
        """Append what has come."""
        self.total += len(piece)
        self.held += len(piece)
        if self._loose is not None:
            self._loose += piece
        elif len(self._parts) < _MANY:
            self._parts.append(piece)
        else:
            self._loose = bytearray(piece)

    def take(self) -> bytes:
        """Return all that is held, once."""
        parts = self._parts
        if self._loose is not None:
            parts.append(bytes(self._loose))
            self._loose = None
        self.held = 0
        self._parts = []
        return parts[0] if len(parts) == 1 else b"".join(parts)


class Request:
    """A request; its head is there as soon as a connection hears of it, its body comes piece by piece.

    method, target, version   of the request line; target is ASCII, percent-encoded
    raw                       headers as they came; `headers`: lower-case names, those that repeat joined by ", "
    path, query               of the target, path decoded as ASGI says
    asked                     what an inference request asks of which model, None for any other request
    complete                  whether the body is there in full
    refusal                   the answer of the server itself, where the request is at fault
    keep_alive                whether the connection may stay after the answer
    wants_continue            whether the client waits for `100 Continue` before it sends the body
    settled                   whether it was answered: what still comes of its body is dropped
    timing                    of the inference that it asked for
    """

    __slots__ = (
        "asked",
        "began",
        "body",
        "complete",
        "fed",
        "headers",
        "keep_alive",
        "method",
        "path",
        "query",
        "raw",
        "refusal",
        "settled",
        "started_at",
        "target",
        "timing",
        "version",
        "wants_continue",
    )

    def __init__(self, began: float) -> None:
        self.began = began  # the front's clock at the first byte
        self.started_at = 0.0  # the precise clock at the end of the head
        self.fed = 0  # bytes of pieces that held nothing but a part of this request
        self.method = ""
        self.target = b""
        self.version = ""
        self.raw: list[tuple[bytes, bytes]] = []
        self.headers: dict[str, str] | None = None
        self.path = ""
        self.query = b""
        self.asked: Asked | None = None
        self.body = Body()
        self.complete = False
        self.refusal: Wire | None = None
        self.keep_alive = False
        self.wants_continue = False
        self.settled = False
        self.timing: Timing | None = None

    def again(self, began: float) -> "Request":
        """Return a request with the same head, whose body is still to come."""
        other = Request(began)
        other.method, other.target, other.version = self.method, self.target, self.version
        other.raw, other.headers = self.raw, self.headers
        other.path, other.query, other.asked = self.path, self.query, self.asked
        other.keep_alive = True
        return other

    def due(self, limits: Limits) -> float:
        """Return the time by which more must have come, on the clock of `began`."""
        if self.headers is None:
            return self.began + limits.head_s
        return self.began + limits.head_s + limits.body_s + self.body.total / limits.body_rate


def check_head(request: Request, limits: Limits) -> Wire | None:
    """Complete a request from its raw head; returns the refusal if the head is at fault.

    httptools (llhttp, strict) has refused already: Content-Length beside Transfer-Encoding, twice, or not a number;
    folded headers; bare CR or LF; control characters. RFC 9112 names what is left, section by section.
    """
    headers: dict[str, str] = {}
    size = len(request.target)
    for raw_name, raw_value in request.raw:
        size += len(raw_name) + len(raw_value) + 4
        name = _NAMES.get(raw_name) or _lower(raw_name)
        value = raw_value.decode("latin-1")
        headers[name] = value if name not in headers else f"{headers[name]}, {value}"
    request.headers = headers
    fault = None
    if size > limits.head or len(request.raw) > limits.headers or len(request.target) > limits.target:
        fault = _size_fault(request, limits)
    elif request.version != "1.1" or "," in headers.get("host", ","):
        fault = _version_fault(request, headers)
    if fault is None and "transfer-encoding" in headers:
        fault = _coding_fault(request, headers["transfer-encoding"])
    if fault is None and "expect" in headers:
        fault = _expectation_fault(request, headers["expect"])
    if fault is None and "content-length" in headers and int(headers["content-length"]) > limits.body:
        fault = too_large(limits)
    return fault or _target_fault(request)


def too_large(limits: Limits) -> Wire:
    """Return the answer to a body over the limit."""
    return refusal(413, f"the body is over {limits.body} bytes, which is the limit; send a smaller one")


_NAMES: dict[bytes, str] = {}
"""Header names as they come, in lower case: the first 512 are remembered, as most clients send the same few."""


def _lower(raw_name: bytes) -> str:
    name = raw_name.decode("ascii").lower()
    if len(_NAMES) < _MANY // 2:
        _NAMES[raw_name] = name
    return name


def _size_fault(request: Request, limits: Limits) -> Wire:
    if len(request.target) > limits.target:
        return refusal(414, f"the target has {len(request.target)} bytes, at most {limits.target}; send a shorter one")
    if len(request.raw) > limits.headers:
        return refusal(431, f"{len(request.raw)} headers, at most {limits.headers}; send fewer")
    return large_head(limits)


def large_head(limits: Limits) -> Wire:
    """Return the answer to a head over the limit."""
    return refusal(431, f"the headers are over {limits.head} bytes, which is the limit; send fewer or shorter ones")


def _version_fault(request: Request, headers: dict[str, str]) -> Wire | None:
    if request.version == "1.1":
        if "host" not in headers:
            return refusal(400, "no Host header; HTTP/1.1 asks for one (RFC 9112, 3.2)")
    elif request.version != "1.0":
        return refusal(505, f"HTTP/{request.version} is not spoken here; use HTTP/1.1")
    host = headers.get("host", "")
    if "," in host:  # it came twice: no host name holds a comma
        return refusal(400, f"Host {host[:100]!r}: expected one name; which of several is meant nobody can say")
    return None


def _coding_fault(request: Request, coding: str) -> Wire | None:
    if request.version != "1.1":
        return refusal(400, "Transfer-Encoding in an HTTP/1.0 request: its end cannot be known (RFC 9112, 6.1)")
    if coding.strip().lower() != "chunked":
        return refusal(501, f"Transfer-Encoding {coding[:40]!r}: only 'chunked' is spoken; see Content-Encoding")
    return None


def _expectation_fault(request: Request, expected: str) -> Wire | None:
    if expected.lower() != "100-continue":
        return refusal(417, f"Expect {expected[:40]!r}: only '100-continue' can be met")
    request.wants_continue = request.version == "1.1"
    return None


def _target_fault(request: Request) -> Wire | None:
    if request.method == "CONNECT":
        return refusal(501, "CONNECT: this server is no proxy")
    split = _split(request.target)
    if split is None:
        return refusal(400, f"target {request.target[:100].decode('ascii')!r}: expected a path, as /v2/health/ready")
    request.path, request.query, asked = split
    assert request.headers is not None
    if request.method == "POST" and not request.headers.get("content-type", "").lower().startswith(_FORM):
        request.asked = asked
    return None


@lru_cache(maxsize=256)
def _split(target: bytes) -> tuple[str, bytes, Asked | None] | None:
    """Return path, query, and what an inference path names; None for what is no path."""
    if not target.startswith(b"/"):
        try:
            target = _absolute(target)
        except httptools.HttpParserInvalidURLError:
            return None
    if not target.startswith(b"/") or b"#" in target:
        return None
    raw_path, _, query = target.partition(b"?")
    path = raw_path.decode("ascii")
    if "%" in path:
        path = unquote(path)
    found = _ASKED.fullmatch(path)
    if found:
        return path, query, (found[1], found[2], found[3])
    return path, query, (None, None, "predict") if path == "/predict" else None


def _absolute(target: bytes) -> bytes:
    """Return path and query of `http://host/path?query`, which servers must take (RFC 9112, 3.2.2)."""
    url = httptools.parse_url(target)
    if url.schema not in (b"http", b"https"):
        return b""
    return (url.path or b"/") + (b"?" + url.query if url.query else b"")
