"""Answers as bytes: status lines, headers, the date, and the refusals of the server itself."""

import json
from collections.abc import Sequence
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus

from deploy.server.wire import Wire

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"

_STATUS = {s.value: f"HTTP/1.1 {s.value} {s.phrase}\r\n".encode() for s in HTTPStatus}


class Ends:
    """The last lines of a head, by what becomes of the connection: made once a second, as they hold the date."""

    __slots__ = ("_second", "close", "keep", "keep_1_0")

    def __init__(self) -> None:
        self._second = -1
        self.keep = self.keep_1_0 = self.close = b""

    def update(self, now: float) -> None:
        """Take the date of a time in seconds since 1970."""
        if int(now) != self._second:
            self._second = int(now)
            date = f"Date: {formatdate(now, usegmt=True)}\r\n".encode()
            self.keep = date + b"\r\n"
            self.keep_1_0 = date + b"Connection: keep-alive\r\n\r\n"
            self.close = date + b"Connection: close\r\n\r\n"


def wire_head(wire: Wire, end: bytes) -> bytes:
    """Return the head of an answer; `ValueError` for a header that would break out of its line."""
    lines = "".join([f"{name}: {value}\r\n" for name, value in wire.headers]).encode("latin-1")
    return _head(wire.status, lines, len(wire.headers), end)


def raw_head(status: int, headers: Sequence[tuple[bytes, bytes]], end: bytes) -> bytes:
    """Return the head of an answer with headers as ASGI gives them; `ValueError` as `wire_head`."""
    lines = b"".join([b"%b: %b\r\n" % pair for pair in headers])
    return _head(status, lines, len(headers), end)


def _head(status: int, lines: bytes, count: int, end: bytes) -> bytes:
    if lines.count(b"\n") != count or lines.count(b"\r") != count or b"\0" in lines:
        raise ValueError(f"a header of an answer holds a line break or a NUL: {lines!r}")
    return status_line(status) + lines + end


def status_line(status: int) -> bytes:
    """Return the first line of an answer."""
    return _STATUS.get(status) or f"HTTP/1.1 {status} \r\n".encode()


@lru_cache(maxsize=64)
def refusal(status: int, message: str) -> Wire:
    """Return an error in the protocol's form."""
    body = json.dumps({"error": message}, separators=(",", ":")).encode()
    headers = [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        headers.append(("Retry-After", "1"))
    return Wire(status, headers, [body])


INTERNAL = refusal(500, "internal error; the server's log has the cause")
