"""A line of JSON for each request."""

import sys
import time
from asyncio import AbstractEventLoop
from json.encoder import encode_basestring_ascii as quoted
from typing import TYPE_CHECKING, TextIO

from deploy.server.http.request import Request

if TYPE_CHECKING:
    from deploy.server.statistics import Timing

GONE = 499
"""The status in the log of a request whose client left before its answer; nginx's number."""

_FLUSH_S = 0.1
_WHOLE = 4096  # bytes that Linux writes to a pipe in one piece: lines of several processes stay whole


class AccessLog:
    """Writes to a stream (default: stderr), many lines at once: a write for each would cost more than a request.

    {"time":"2026-01-31T12:00:00Z","client":"127.0.0.1","method":"POST","target":"/v2/...","status":200,"ms":1.234,
    "in":3072,"out":120}   ms: from the end of the head to the last byte handed on; in, out: bytes of the bodies

    and for inference "model":"lenet","version":"1","digest":"0123456789ab","rows":1,"queue_ms":0.012,"compute_ms":0.345
    """

    def __init__(self, loop: AbstractEventLoop, stream: TextIO | None = None) -> None:
        self._loop = loop
        self._stream = stream or sys.stderr
        self._lines: list[str] = []
        self._second = -1
        self._time = ""

    def add(self, request: Request, client: str, status: int, sent: int) -> None:
        """Note an answer of `sent` bytes; strings are escaped, so that no client can forge a line."""
        now = int(time.time())
        if now != self._second:
            self._second, self._time = now, time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now))
        if not self._lines:
            self._loop.call_later(_FLUSH_S, self.flush)
        took_ms = (time.perf_counter() - request.started_at) * 1e3 if request.started_at else 0.0
        self._lines.append(
            f'{{"time":"{self._time}","client":{quoted(client)},"method":"{request.method}",'
            f'"target":{quoted(request.target.decode("latin-1"))},"status":{status},"ms":{took_ms:.3f},'
            f'"in":{request.body.total},"out":{sent}{_inference(request.timing)}}}\n'
        )

    def flush(self) -> None:
        """Write what is there."""
        lines, self._lines = self._lines, []
        while lines:
            many, size = 0, 0
            while many < len(lines) and (many == 0 or size + len(lines[many]) <= _WHOLE):
                size += len(lines[many])
                many += 1
            self._stream.write("".join(lines[:many]))
            self._stream.flush()
            del lines[:many]


def _inference(timing: "Timing | None") -> str:
    """Return what an inference adds to a line; names and versions of models hold nothing that must be escaped."""
    if timing is None or timing.info is None:
        return ""
    info = timing.info
    model = f',"model":"{info.name}","version":"{info.version}","digest":"{info.digest[:12]}"'
    if not timing.rows:  # refused before that was known
        return model
    queue_ms, compute_ms = timing.passage.queue_s * 1e3, timing.compute_s * 1e3
    return f'{model},"rows":{timing.rows},"queue_ms":{queue_ms:.3f},"compute_ms":{compute_ms:.3f}'
