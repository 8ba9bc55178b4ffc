"""A data plane on a socket, until SIGTERM or Ctrl-C."""

import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn

from deploy.errors import OnnxwayError, UsageError
from deploy.server.dataplane import DataPlane
from deploy.server.rest import MAX_BODY, create_app

DRAIN_S = 30


def serve(
    dataplane: DataPlane,
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    max_body: int = MAX_BODY,
    access_log: bool = True,
) -> None:
    """Serve until SIGTERM or Ctrl-C; requests that have come are answered first, for `DRAIN_S` seconds at most.

    Port 0 takes a free one. Prints one line with the address when requests are answered. `OnnxwayError` when the
    address cannot be had.
    """
    listener = _listen(host, port)
    app = create_app(dataplane, max_body=max_body, access_log=access_log)
    config = uvicorn.Config(
        app, log_config=None, access_log=False, timeout_graceful_shutdown=DRAIN_S, server_header=False, lifespan="on"
    )
    with listener, _quiet_end():
        _Server(config, listener).run(sockets=[listener])


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, listener: socket.socket) -> None:
        super().__init__(config)
        host, port = listener.getsockname()[:2]
        self._url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        print(f"serving on {self._url}  try: curl --data-binary @picture.png {self._url}/predict", flush=True)


def _listen(host: str, port: int) -> socket.socket:
    if not 0 <= port <= 65535:
        raise UsageError(f"port {port}: expected 0 to 65535")
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        # create_server puts more into strerror than the reason; a host that does not resolve has its own numbers
        reason = error.strerror if isinstance(error, socket.gaierror) else os.strerror(error.errno or 0).lower()
        words = f"{host}:{port}: cannot listen there ({reason}); choose another port (--port 0 takes a free one)"
        raise OnnxwayError(words) from None


@contextmanager
def _quiet_end() -> Iterator[None]:
    """After its shutdown uvicorn raises the signal that ended it once more: here it has done its work already."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, _ignore) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _ignore(*_: object) -> None:
    sys.stdout.flush()
