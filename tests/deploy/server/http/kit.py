"""A front in a thread, with two handlers that do the same on both of its paths, and a client on a bare socket."""

import asyncio
import contextlib
import re
import socket
import ssl
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from deploy.server.http.front import Front
from deploy.server.http.limits import Limits
from deploy.server.wire import Wire

FAST = "/v2/models/echo/infer"
ASGI = "/echo"
WAIT_S = 10
FORGED = "a\r\nX-Forged: 1"


class Site:
    """What the front serves: `x-do` says what becomes of a request."""

    def __init__(self) -> None:
        self.gate: asyncio.Event
        self.begun = threading.Semaphore(0)
        self.cancelled = threading.Semaphore(0)
        self.handled: list[str] = []

    async def infer(self, name: str, version: str | None, headers: Mapping[str, str], body: bytes) -> Wire:
        assert type(body) is bytes
        self.handled.append(f"{name} {version}")
        answer = await self._do(headers.get("x-do", "echo"), body)
        extra = [("X-Model", FORGED if headers.get("x-do") == "forge" else name)]
        parts: list[bytes | memoryview] = [answer[:5], memoryview(answer)[5:]]
        return Wire(200, [("Content-Length", str(len(answer))), *extra], parts)

    async def app(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            for what in ("startup", "shutdown"):
                assert (await receive())["type"] == f"lifespan.{what}"
                await send({"type": f"lifespan.{what}.complete"})
            return
        self.handled.append(scope["path"])
        headers = {name.decode(): value.decode("latin-1") for name, value in scope["headers"]}
        do = headers.get("x-do", "echo")
        if do == "early":
            await self._answer(send, b"early", [])
            return
        body, more = b"", True
        while more:
            message = await receive()
            body += message["body"]
            more = message["more_body"]
        answer = await self._do(do, body)
        extra = FORGED.encode() if do == "forge" else scope["path"].encode()
        if do == "stream":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            for number in range(3):
                await send({"type": "http.response.body", "body": b"part%d" % number, "more_body": True})
            await send({"type": "http.response.body"})
        elif do == "unfinished":
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"9")]})
            await send({"type": "http.response.body", "body": b"half", "more_body": True})
        elif do == "no content":
            await send({"type": "http.response.start", "status": 204, "headers": []})
            await send({"type": "http.response.body"})
        elif do == "short":
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"9")]})
            await send({"type": "http.response.body", "body": b"short"})
        elif do != "nothing":
            await self._answer(send, answer, [(b"x-path", extra)])

    async def _do(self, do: str, body: bytes) -> bytes:
        if do == "wait":
            self.begun.release()
            try:
                await self.gate.wait()
            except asyncio.CancelledError:
                self.cancelled.release()
                raise
        if do == "fail":
            raise ZeroDivisionError("secret")
        if do.startswith("big"):
            return b"x" * int(do[3:])
        return body

    @staticmethod
    async def _answer(send: Any, answer: bytes, headers: list[tuple[bytes, bytes]]) -> None:
        length = [(b"content-length", b"%d" % len(answer))]
        await send({"type": "http.response.start", "status": 200, "headers": length + headers})
        await send({"type": "http.response.body", "body": answer})


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes


class Client:
    """One connection, byte by byte."""

    def __init__(self, port: int, context: ssl.SSLContext | None = None) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=WAIT_S)
        if context is not None:
            self.socket = context.wrap_socket(self.socket, server_hostname="localhost")
        self.held = b""

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def post(self, path: str, body: bytes = b"", *headers: str) -> None:
        self.send(request(path, body, *headers))

    def answer(self, *, head: bool = False) -> Answer:
        """Read one answer; `EOFError` when the connection ends before it."""
        while b"\r\n\r\n" not in self.held:
            self._more()
        top, _, self.held = self.held.partition(b"\r\n\r\n")
        first, *lines = top.decode("latin-1").split("\r\n")
        found = re.fullmatch(r"HTTP/1\.1 (\d{3}) [A-Za-z' -]+", first)
        assert found, first
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        assert len(headers) == len(lines), lines
        return Answer(int(found[1]), headers, b"" if head else self._body(int(found[1]), headers))

    def _body(self, status: int, headers: Mapping[str, str]) -> bytes:
        if status in (100, 204):
            return b""
        if headers.get("transfer-encoding") == "chunked":
            return b"".join(iter(self._chunk, b""))
        if "content-length" in headers:
            return self._exactly(int(headers["content-length"]))
        return self.rest()

    def _chunk(self) -> bytes:
        while b"\r\n" not in self.held:
            self._more()
        size, _, self.held = self.held.partition(b"\r\n")
        chunk = self._exactly(int(size, 16) + 2)
        assert chunk.endswith(b"\r\n")
        return chunk[:-2]

    def _exactly(self, size: int) -> bytes:
        while len(self.held) < size:
            self._more()
        taken, self.held = self.held[:size], self.held[size:]
        return taken

    def rest(self) -> bytes:
        """Read to the end of the connection; a reset counts as such."""
        with contextlib.suppress(EOFError):
            while True:
                self._more()
        taken, self.held = self.held, b""
        return taken

    def _more(self) -> None:
        try:
            data = self.socket.recv(2**18)
        except (ConnectionResetError, BrokenPipeError):
            data = b""
        if not data:
            raise EOFError
        self.held += data

    def close(self) -> None:
        self.socket.close()


class Served:
    """A front that runs, and the clients that it gets."""

    def __init__(self, front: Front, site: Site, loop: asyncio.AbstractEventLoop, port: int) -> None:
        self.front, self.site, self.loop, self.port = front, site, loop, port
        self.clients: list[Client] = []

    def client(self, context: ssl.SSLContext | None = None) -> Client:
        self.clients.append(Client(self.port, context))
        return self.clients[-1]

    def call(self, coroutine: Any, timeout: float = WAIT_S) -> Any:
        """Run a coroutine on the front's loop."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(timeout)

    def open_gate(self) -> None:
        self.loop.call_soon_threadsafe(self.site.gate.set)

    def settled(self) -> None:
        """Wait until no connection holds anything, and hold the books to it."""

        async def wait() -> None:
            while self.front.connections:
                await asyncio.sleep(0.001)

        for client in self.clients:
            client.close()
        self.call(wait())
        assert self.front.buffered == 0


@contextlib.contextmanager
def serving(kind: str, limits: Limits | None = None, app: Any = None, **options: Any) -> Iterator[Served]:
    """Run a front in a thread on an event loop of `kind`."""
    if kind == "uvloop":
        import uvloop

        loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    else:
        loop = asyncio.new_event_loop()
    site = Site()
    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
    front = Front(site.infer, app or site.app, limits=limits, **options)
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    served = Served(front, site, loop, listener.getsockname()[1])

    surprises: list[dict[str, Any]] = []

    async def start() -> None:
        loop.set_exception_handler(lambda _, context: surprises.append(context))
        site.gate = asyncio.Event()
        await front.start(listener)

    try:
        served.call(start())
        yield served
        served.settled()
    finally:
        for client in served.clients:
            client.close()
        if front.loop is loop:
            served.call(front.drain(0.01))
            served.call(front.close())
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()
        listener.close()
    assert surprises == []


def request(path: str, body: bytes = b"", *headers: str) -> bytes:
    lines = [f"POST {path} HTTP/1.1", "Host: test", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def chunked(path: str, *chunks: bytes, headers: tuple[str, ...] = ()) -> bytes:
    lines = [f"POST {path} HTTP/1.1", "Host: test", "Transfer-Encoding: chunked", *headers]
    framed = [b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks]
    return "\r\n".join([*lines, "", ""]).encode() + b"".join([*framed, b"0\r\n\r\n"])
