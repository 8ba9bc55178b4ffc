"""Bytes of one connection to requests: httptools parses, what is at fault or too much is refused here.

Clients send the same heads again and again: one that is known byte for byte is not parsed again.
"""

import logging
from typing import Protocol

from httptools import (
    HttpParserCallbackError,
    HttpParserError,
    HttpParserInvalidMethodError,
    HttpParserUpgrade,
    HttpRequestParser,
)

from deploy.server.http.answer import INTERNAL, refusal
from deploy.server.http.limits import Limits
from deploy.server.http.request import Request, check_head, large_head, too_large
from deploy.server.wire import Wire

_log = logging.getLogger(__name__)

_MOST_KNOWN, _LONGEST_KNOWN = 256, 2048
"""Heads that are remembered, and bytes of one."""

_FRAMING = 16
"""Bytes of chunk sizes a byte of body may cost: one-byte chunks take 5, extensions are what is beyond."""


class Sink(Protocol):
    """What hears of requests, in their order."""

    def head_came(self, request: Request) -> None:
        """The head of a request is there and sound."""

    def body_came(self, request: Request, size: int) -> None:
        """More of its body is there: `size` bytes."""

    def request_ended(self, request: Request) -> None:
        """It is there in full."""

    def refused(self, request: Request, answer: Wire) -> None:
        """It is at fault; nothing more will be read."""


Heads = dict[bytes, tuple[Request, int]]
"""Heads of inference requests that were parsed and found sound, what they make, and the bytes of body to come."""


class Reader:
    """Parses what a client sends.

    heads   known ones; readers with the same limits may share them
    deaf    the rest cannot or need not be understood
    cut     and there is, or may be, such a rest
    """

    __slots__ = ("_ended_now", "_heads", "_limits", "_parser", "_sink", "clock", "cut", "deaf", "incoming")

    def __init__(self, sink: Sink, limits: Limits, heads: Heads) -> None:
        self._sink = sink
        self._limits = limits
        self._parser = HttpRequestParser(self)
        self.clock = 0.0  # when the piece that is being read came
        self.incoming: Request | None = None
        self.deaf = False
        self.cut = False
        self._heads = heads
        self._ended_now: list[Request] = []  # requests that ended in the piece that is being read

    def feed(self, data: bytes, now: float) -> None:
        """Read a piece that came at the time `now`; an offer to change the protocol is declined (RFC 9110, 7.8)."""
        self.clock = now
        before, rest = self.incoming, data
        end = data.find(b"\r\n\r\n", 0, _LONGEST_KNOWN) + 4
        if before is None and (known := self._heads.get(data[:end])) is not None and len(data) - end == known[1]:
            self._repeat(known[0], data[end:])
            return
        while rest:
            try:
                self._parser.feed_data(rest)
                break
            except HttpParserUpgrade as upgrade:
                rest = b"" if self.deaf else rest[upgrade.args[0] :]
                self._decline()
            except HttpParserError as error:
                if not self.deaf:
                    self._broken(error)
                break
        request = self.incoming
        if request is not None and request is before:
            self._measure(request, len(data))
        if before is None and request is None and len(self._ended_now) == 1 and not self.deaf:
            self._learn(self._ended_now[0], data, end)
        self._ended_now.clear()

    def _learn(self, request: Request, data: bytes, end: int) -> None:
        """Remember the head of an inference request that came in one piece, with its body and nothing else."""
        headers = request.headers or {}
        whole = end > 4 and headers.get("content-length") == str(len(data) - end)
        if whole and request.asked is not None and "expect" not in headers and "upgrade" not in headers:
            if len(self._heads) >= _MOST_KNOWN:
                self._heads.clear()
            self._heads[data[:end]] = request.again(self.clock), len(data) - end

    def _repeat(self, known: Request, body: bytes) -> None:
        """Do what the parser would for a known head and the body that belongs to it."""
        request = self.incoming = known.again(self.clock)
        self._sink.head_came(request)
        if body and not self.deaf:
            request.body.add(body)
            self._sink.body_came(request, len(body))
        if not self.deaf:
            self._ended(request)
        self._ended_now.clear()

    def refuse(self, answer: Wire) -> None:
        """Refuse the request that is coming in, or what came in place of one, and read no more."""
        request = self.incoming or Request(self.clock)
        self.stop()
        self._sink.refused(request, answer)

    def stop(self) -> None:
        """Read no more, though there may be more."""
        self.deaf = self.cut = True
        self.incoming = None

    def close(self) -> None:
        """Let go of the parser, which holds this object."""
        self.stop()
        del self._parser

    def _decline(self) -> None:
        """Go on with a new parser; httptools takes no body of a request with an offer, so the new one is told of it."""
        request = self.incoming
        self._parser = HttpRequestParser(self if request is None else _Resumed(self))
        if request is not None:
            assert request.headers is not None
            name = "content-length" if "content-length" in request.headers else "transfer-encoding"
            self._parser.feed_data(f"POST / HTTP/1.1\r\n{name}: {request.headers[name]}\r\n\r\n".encode())

    def _broken(self, error: HttpParserError) -> None:
        if isinstance(error, HttpParserCallbackError):  # raised by what httptools calls here, not by what came
            _log.error("reading a request failed", exc_info=error)
            self.refuse(INTERNAL)
        elif isinstance(error, HttpParserInvalidMethodError):
            self.refuse(refusal(501, "the request's method is not known; use GET or POST"))
        else:
            self.refuse(refusal(400, f"this is not HTTP/1.1: {error}"))

    def _measure(self, request: Request, size: int) -> None:
        """Bound what is held of an unfinished head, and the framing around an unfinished body."""
        request.fed += size
        if request.fed - (1 + _FRAMING) * request.body.total > self._limits.head:
            if request.headers is None:
                self.refuse(large_head(self._limits))
            else:
                self.refuse(refusal(400, "the chunks of the body are nearly empty; send larger ones"))

    # What httptools calls. An exception here ends the parsing; `deaf` says that it was meant.

    def on_message_begin(self) -> None:
        """Begin a request."""
        self.incoming = Request(self.clock)

    def on_url(self, url: bytes) -> None:
        """Take a part of the target."""
        assert self.incoming is not None
        self.incoming.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header; trailers, which come after the head, say nothing that is used here."""
        request = self.incoming
        if request is not None and request.headers is None:
            request.raw.append((name, value))

    def on_headers_complete(self) -> None:
        """Check the head and hand the request on."""
        request, parser = self.incoming, self._parser
        assert request is not None
        request.method = parser.get_method().decode("ascii")
        request.version = parser.get_http_version()
        request.keep_alive = parser.should_keep_alive()
        fault = check_head(request, self._limits)
        if fault is not None:
            self.refuse(fault)
            raise _Refused
        self._sink.head_came(request)
        if self.deaf:
            raise _Refused

    def on_body(self, piece: bytes) -> None:
        """Take a part of the body."""
        request = self.incoming
        assert request is not None
        request.body.add(piece)
        self._sink.body_came(request, len(piece))
        if request.body.total > self._limits.body and not self.deaf:
            self.refuse(too_large(self._limits))
        if self.deaf:
            raise _Refused

    def on_message_complete(self) -> None:
        """End the request, unless its body is still to come after a declined upgrade."""
        request = self.incoming
        assert request is not None
        if self._parser.should_upgrade() and self._has_body(request):
            return
        self._ended(request)

    def _ended(self, request: Request) -> None:
        self.incoming = None
        self._ended_now.append(request)
        request.complete = True
        if not request.keep_alive:
            self.deaf = True
        self._sink.request_ended(request)

    @staticmethod
    def _has_body(request: Request) -> bool:
        headers = request.headers or {}
        return "transfer-encoding" in headers or headers.get("content-length", "0").strip("0") != ""


class _Resumed:
    """Hides a made-up head from a reader: it gets the body that belongs to the request it has, then what follows."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._passed = False
        self.on_body = reader.on_body

    def on_message_begin(self) -> None:
        if self._passed:
            self._reader.on_message_begin()

    def on_url(self, url: bytes) -> None:
        if self._passed:
            self._reader.on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._reader.on_header(name, value)

    def on_headers_complete(self) -> None:
        if self._passed:
            self._reader.on_headers_complete()

    def on_message_complete(self) -> None:
        self._passed = True
        self._reader.on_message_complete()


class _Refused(Exception):  # noqa: N818  ends a callback, no error
    """The request was refused in a callback."""
