"""The HTTP/1.1 front: inference requests straight to the data plane, all others to an ASGI application.

A protocol on asyncio and httptools; uvloop's event loop, where it is installed, makes it faster. See `Connection` for
the way of a request and `Limits` for what clients may cost.
"""

import asyncio
import socket
import ssl
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from deploy.server.http.answer import Ends
from deploy.server.http.asgi import Application, Lifespan, State
from deploy.server.http.connection import Connection
from deploy.server.http.house import Guard, Infer, Observer, Predict
from deploy.server.http.limits import Limits
from deploy.server.http.log import AccessLog
from deploy.server.http.reader import Heads
from deploy.server.sockets import BACKLOG

DRAIN_IDLE_S = 1.0
"""While draining, how long a connection without a request stays: what was sent at that moment is answered."""


class Front:
    """Serves on a listening socket: `start`, then `drain` and `close`, on one event loop.

    infer         answers `POST /v2/models/{m}[/versions/{v}]/infer`
    app           answers everything else; its lifespan is run
    predict       answers `POST .../predict` and `/predict`, but for forms; else the application does
    access_log    a line of JSON for each request on stderr (`AccessLog`)
    guard         refuses requests by their heads
    observers     who else is told of each request that was answered
    tls           an `ssl.SSLContext` for HTTPS
    """

    def __init__(
        self,
        infer: Infer,
        app: Application,
        *,
        predict: Predict | None = None,
        limits: Limits | None = None,
        access_log: bool = False,
        tls: ssl.SSLContext | None = None,
        guard: Guard | None = None,
        observers: Sequence[Observer] = (),
    ) -> None:
        self.infer = infer
        self.predict = predict
        self.app = app
        self.limits = limits or Limits()
        self.ends = Ends()
        self.heads: Heads = {}
        self.connections: set[Connection] = set()
        self.buffered = 0
        self.draining = False
        self.now = 0.0
        self.idle_s = self.limits.idle_s
        self.state: State = {}
        self.guard = guard
        self.observers = observers
        self.loop: asyncio.AbstractEventLoop
        self._access_log = access_log
        self._log: AccessLog | None = None
        self.tls = tls
        self._lifespan = Lifespan(app)
        self._empty = asyncio.Event()
        self._server: asyncio.Server | None = None
        self._listener: socket.socket | None = None
        self._timer: asyncio.TimerHandle | None = None

    async def start(self, listener: socket.socket) -> None:
        """Answer on a socket that listens already; `OnnxwayError` when the application does not start."""
        self.loop = asyncio.get_running_loop()
        await self._lifespan.start()
        self.state = self._lifespan.state
        if self._access_log:
            self._log = AccessLog(self.loop)
            self.observers = (*self.observers, self._log)
        self._tick()
        self._listener = listener.dup()
        self._listener.setblocking(False)
        # without a backlog it would be set to 100, and a client in a burst of connections wait a second for its own
        self._server = await self.loop.create_server(
            self._connect, sock=listener, backlog=BACKLOG, **self._encryption()
        )

    async def drain(self, grace_s: float) -> None:
        """Accept no more, and answer what has come within `grace_s` seconds."""
        self.draining = True
        self.idle_s = min(DRAIN_IDLE_S, self.limits.idle_s)
        await self._stop_accepting()
        for connection in self.connections:
            connection.drain(self.loop.time() + self.idle_s)
        if self.connections:
            self._empty.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._empty.wait(), grace_s)

    async def _stop_accepting(self) -> None:
        """Close the listening socket with nothing left in its queue: who is in it takes itself for connected."""
        if self._server is None or self._listener is None:
            return
        with self._listener as listener:
            self._listener = None
            self._server.close()
            await asyncio.sleep(0)
            queue: list[socket.socket] = []
            with suppress(BlockingIOError):
                # no more than that: who keeps connecting must not keep the server
                queue.extend(listener.accept()[0] for _ in range(BACKLOG))
        await asyncio.gather(*map(self._take, queue), return_exceptions=True)

    async def _take(self, accepted: socket.socket) -> None:
        await self.loop.connect_accepted_socket(self._connect, accepted, **self._encryption())

    def _connect(self) -> Connection:
        return Connection(self)

    def _encryption(self) -> dict[str, Any]:
        return {} if self.tls is None else {"ssl": self.tls, "ssl_handshake_timeout": self.limits.head_s}

    async def close(self) -> None:
        """Break off what is left, and shut the application down."""
        await self._stop_accepting()
        self.abort()
        await self._lifespan.stop()
        if self._timer is not None:
            self._timer.cancel()
        if self._log is not None:
            self._log.flush()

    def abort(self) -> None:
        """Break off all connections."""
        for connection in list(self.connections):
            connection.abort()

    def left(self, connection: Connection) -> None:
        """Forget a connection."""
        self.connections.discard(connection)
        if not self.connections:
            self._empty.set()

    def _tick(self) -> None:
        """Take the time, and look at the connections whose deadlines have passed: no timer for each request."""
        self.now = now = self.loop.time()
        self.ends.update(time.time())
        for connection in [connection for connection in self.connections if connection.deadline < now]:
            connection.expire()
        self._timer = self.loop.call_later(self.limits.tick_s, self._tick)
