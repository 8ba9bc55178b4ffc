"""An ASGI application behind a connection: one exchange for each request, and its lifespan.

Specification: https://asgi.readthedocs.io/en/latest/specs/www.html, HTTP and lifespan; no WebSocket.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, MutableMapping
from typing import TYPE_CHECKING, Any

from deploy.errors import OnnxwayError
from deploy.server.http.answer import INTERNAL, raw_head, wire_head
from deploy.server.http.request import Request

if TYPE_CHECKING:
    from deploy.server.http.connection import Connection

Message = MutableMapping[str, Any]
State = dict[str, Any]
Application = Callable[
    [MutableMapping[str, Any], Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]], Awaitable[None]
]

EXTENSION = "onnxway"
"""What the application may find of the front in `extensions`: the `request`, to say how long its inference took."""

_WITHOUT_BODY = frozenset({204, 304})
_OWN = frozenset({b"connection", b"transfer-encoding", b"date"})  # headers that the connection writes
_VERSION = {"version": "3.0", "spec_version": "2.3"}

_log = logging.getLogger(__name__)


class Exchange:
    """One request to the application and its answer; `begun` once a byte of the answer is written."""

    __slots__ = ("_chunked", "_connection", "_done", "_left", "_news", "_request", "_sent", "_start", "_told", "begun")

    def __init__(self, connection: "Connection", request: Request) -> None:
        self._connection = connection
        self._request = request
        self._news: asyncio.Future[None] | None = None  # made when somebody waits
        self._start: Message | None = None
        self._left: int | None = None  # bytes that Content-Length still promises
        self._chunked = False
        self._told = False  # the application has all of the body
        self._sent = 0
        self._done = False
        self.begun = False

    async def run(self, app: Application, state: State) -> None:
        """Call the application; its failures are logged, and answered with 500 as long as that can be."""
        try:
            await app(self._scope(state), self._receive, self._send)
        except Exception:
            _log.exception("%s %s failed", self._request.method, self._request.path)
        if self._done or self._over:
            return
        if self.begun:
            _log.error("%s %s: its answer was left unfinished", self._request.method, self._request.path)
            self._connection.abort()
            return
        self._request.keep_alive = False
        body = [] if self._request.method == "HEAD" else INTERNAL.body
        self._connection.write([wire_head(INTERNAL, self._connection.end(self._request)), *body])
        self._finish(INTERNAL.status)

    def wake(self) -> None:
        """More of the body is there."""
        if self._news is not None and not self._news.done():
            self._news.set_result(None)

    async def _wait(self) -> None:
        self._news = asyncio.get_running_loop().create_future()
        await self._news
        self._news = None

    @property
    def _over(self) -> bool:
        """Whether nobody waits for the answer."""
        return self._connection.closing or self._request.refusal is not None

    def _scope(self, state: State) -> MutableMapping[str, Any]:
        request, connection = self._request, self._connection
        return {
            "type": "http",
            "asgi": _VERSION,
            "http_version": request.version,
            "method": request.method,
            "scheme": "https" if connection.encrypted else "http",
            "path": request.path,
            "raw_path": request.target.partition(b"?")[0],
            "query_string": request.query,
            "root_path": "",
            "headers": [(name.lower(), value) for name, value in request.raw],
            "client": connection.address("peername"),
            "server": connection.address("sockname"),
            "state": state.copy(),
            "extensions": {EXTENSION: {"request": request}},
        }

    async def _receive(self) -> Message:
        request = self._request
        if not self._told and not self._done:
            self._connection.want_body(request)
            while not request.complete and not request.body.held:
                await self._wait()
            self._told = request.complete
            return {"type": "http.request", "body": request.body.take(), "more_body": not request.complete}
        while not self._done:  # whoever asks now wants to know when the client leaves: that cancels this
            await self._wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        if self._over:
            return
        if message["type"] == "http.response.start":
            if self._start is not None:
                raise RuntimeError("the answer was started twice")
            self._start = message
        elif message["type"] == "http.response.body":
            await self._send_body(message.get("body", b""), bool(message.get("more_body", False)))
        else:
            raise RuntimeError(f"ASGI message {message['type']!r}: not understood here")

    async def _send_body(self, body: bytes, more: bool) -> None:
        if self._start is None or self._done:
            raise RuntimeError("a body was sent before the answer's start or after its end")
        status = int(self._start["status"])
        parts = [] if self.begun else [self._head(self._start, status, None if more else len(body))]
        parts += self._framed(status, body, more)
        self.begun = True
        self._connection.write(parts)
        if more:
            await self._connection.writable()
        else:
            self._finish(status)

    def _head(self, start: Message, status: int, length: int | None) -> bytes:
        """Return the head; an answer of unknown length is chunked, in HTTP/1.0 ended by the connection's end."""
        headers = []
        for name, value in start.get("headers", ()):
            known = name.lower()
            if known == b"content-length":
                self._left = int(value)
            if known not in _OWN:
                headers.append((name, value))
            elif known == b"connection" and value.lower() == b"close":
                self._request.keep_alive = False
        if status in _WITHOUT_BODY:
            self._left = 0
        elif self._left is not None:
            pass
        elif length is not None:
            self._left = length
            headers.append((b"content-length", b"%d" % length))
        elif self._request.version == "1.1":
            self._chunked = True
            headers.append((b"transfer-encoding", b"chunked"))
        else:
            self._request.keep_alive = False
        return raw_head(status, headers, self._connection.end(self._request))

    def _framed(self, status: int, body: bytes, more: bool) -> list[bytes]:
        if self._request.method == "HEAD" or status in _WITHOUT_BODY:
            return []
        self._sent += len(body)
        if self._chunked:
            parts = [b"%x\r\n" % len(body), body, b"\r\n"] if body else []
            return parts if more else [*parts, b"0\r\n\r\n"]
        if self._left is not None:
            self._left -= len(body)
            if self._left < 0 or (self._left and not more):
                raise RuntimeError(f"the answer's body is not of its Content-Length: {-self._left} bytes off")
        return [body] if body else []

    def _finish(self, status: int) -> None:
        self._done = True
        self.wake()
        self._connection.answered(self._request, status, self._sent)


class Lifespan:
    """Startup and shutdown of the application; `state` is what it hands to its requests."""

    def __init__(self, app: Application) -> None:
        self._app = app
        self._incoming: asyncio.Queue[Message] = asyncio.Queue()
        self._answers: asyncio.Queue[Message] = asyncio.Queue()
        self._task: asyncio.Task[None] | None = None
        self.state: State = {}

    async def start(self) -> None:
        """Start the application; `OnnxwayError` when it cannot."""
        scope = {"type": "lifespan", "asgi": _VERSION, "state": self.state}
        self._task = asyncio.ensure_future(self._run(scope))
        answer = await self._ask("lifespan.startup")
        if answer["type"] == "lifespan.startup.failed":
            raise OnnxwayError(f"the server's application did not start: {answer.get('message', '')[:500]}")

    async def stop(self) -> None:
        """Let it shut down."""
        if self._task is None or self._task.done():
            return
        answer = await self._ask("lifespan.shutdown")
        if answer["type"] == "lifespan.shutdown.failed":
            _log.error("the server's application did not shut down cleanly: %s", answer.get("message", ""))

    async def _ask(self, what: str) -> Message:
        await self._incoming.put({"type": what})
        return await self._answers.get()

    async def _run(self, scope: MutableMapping[str, Any]) -> None:
        """Run it; one that returns at once knows no lifespan, which the specification allows."""
        try:
            await self._app(scope, self._incoming.get, self._answers.put)
        except Exception as error:
            await self._answers.put({"type": "lifespan.startup.failed", "message": str(error)})
        else:
            await self._answers.put({"type": "ended"})
