"""A data plane on a socket, until SIGTERM or Ctrl-C."""

import asyncio
import importlib
import importlib.util
import os
import signal
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Protocol

from deploy.errors import OnnxwayError, UsageError
from deploy.server.dataplane import DataPlane
from deploy.server.http import BACKLOG, Front
from deploy.server.http_limits import Limits
from deploy.server.rest import MAX_BODY, create_app

DRAIN_S = 30


class Companion(Protocol):
    """Another server on the same data plane and event loop, such as gRPC."""

    async def start(self) -> None:
        """Begin to answer."""

    async def stop(self, grace: float) -> None:
        """Take no more, answer what has come within `grace` seconds."""


def serve(
    dataplane: DataPlane,
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    max_body: int = MAX_BODY,
    access_log: bool = True,
    tls: ssl.SSLContext | None = None,
    beside: Sequence[Companion] = (),
) -> None:
    """Serve until SIGTERM or Ctrl-C; requests that have come are answered first, for `DRAIN_S` seconds at most.

    Port 0 takes a free one. Prints one line with the address when requests are answered. A second signal ends the
    waiting. `OnnxwayError` when the address cannot be had.

    max_body      bytes in a request's body; more is answered with 413
    access_log    a line of JSON for each request on stderr
    tls           serve HTTPS
    beside        servers that are started before the line is printed and stopped together with this one
    """
    with _listen(host, port) as listener:
        front = Front(
            dataplane.infer_wire,
            create_app(dataplane, max_body=max_body),
            limits=Limits(body=max_body),
            access_log=access_log,
            tls=tls,
        )
        _raise_descriptor_limit()
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(_run(dataplane, front, listener, beside))


async def _run(dataplane: DataPlane, front: Front, listener: socket.socket, beside: Sequence[Companion]) -> None:
    url = _url(listener, front.tls is not None)
    with _signals(front) as ended:
        await front.start(listener)
        for companion in beside:
            await companion.start()
        print(f"serving on {url}  try: curl --data-binary @picture.png {url}/predict", flush=True)
        await ended.wait()
        dataplane.drain()
        await asyncio.gather(front.drain(DRAIN_S), *(companion.stop(DRAIN_S) for companion in beside))
        await front.close()


@contextmanager
def _signals(front: Front) -> Iterator[asyncio.Event]:
    """Yield the event that SIGTERM and Ctrl-C set; the second breaks off what is still being answered."""
    ended, loop = asyncio.Event(), asyncio.get_running_loop()

    def end() -> None:
        if ended.is_set():
            front.abort()
        ended.set()

    if threading.current_thread() is not threading.main_thread():
        yield ended
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    for number in before:
        try:
            loop.add_signal_handler(number, end)
        except NotImplementedError:  # Windows' loops
            signal.signal(number, lambda *_: loop.call_soon_threadsafe(end))
    try:
        yield ended
    finally:
        for number, handler in before.items():
            with suppress(NotImplementedError):
                loop.remove_signal_handler(number)
            signal.signal(number, handler)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    if importlib.util.find_spec("uvloop") is None:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = importlib.import_module("uvloop").new_event_loop
    return factory


def _raise_descriptor_limit() -> None:
    """Take as many descriptors as the process may: each connection costs one, and the usual 1,024 are soon gone."""
    if importlib.util.find_spec("resource") is None:  # Windows knows no such limit
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 65_536 if hard == resource.RLIM_INFINITY else min(hard, 65_536)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _url(listener: socket.socket, encrypted: bool) -> str:
    host, port = listener.getsockname()[:2]
    scheme = "https" if encrypted else "http"
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


def _listen(host: str, port: int) -> socket.socket:
    if not 0 <= port <= 65535:
        raise UsageError(f"port {port}: expected 0 to 65535")
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        # create_server puts more into strerror than the reason; a host that does not resolve has its own numbers
        reason = error.strerror if isinstance(error, socket.gaierror) else os.strerror(error.errno or 0).lower()
        words = f"{host}:{port}: cannot listen there ({reason}); choose another port (--port 0 takes a free one)"
        raise OnnxwayError(words) from None
