"""What the connections of a front share, as they see it."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from deploy.server.http.answer import Ends
from deploy.server.http.asgi import Application, State
from deploy.server.http.limits import Limits
from deploy.server.http.reader import Heads
from deploy.server.http.request import Request
from deploy.server.wire import Wire

Guard = Callable[[Request], Wire | None]
"""A request, of which the head is there, to the answer that refuses it, or None."""

if TYPE_CHECKING:
    from deploy.server.http.connection import Connection

Infer = Callable[[str, str | None, Mapping[str, str], bytes], Awaitable[Wire]]
"""Model name, version, headers (lower-case names) and body to an answer: `DataPlane.infer_wire`."""

Predict = Callable[[str | None, str | None, Mapping[str, str], bytes], Awaitable[Wire]]
"""The same for `DataPlane.predict_wire`, which knows what is meant without a name, if there is one model only."""


class Observer(Protocol):
    """What hears of each request that was answered."""

    def add(self, request: Request, client: str, status: int, sent: int) -> None:
        """Note an answer of `sent` bytes to the address `client`."""


class House(Protocol):
    """What a connection asks of the front, and the books that it keeps there.

    now         the time on the loop's clock, a tick old at most
    idle_s      how long a connection may be without a request
    buffered    bytes of bodies that all connections hold
    draining    whether answers tell clients to close
    guard       who may ask; None for everybody
    observers   who is told what was answered
    """

    infer: Infer
    predict: Predict | None
    app: Application
    state: State
    limits: Limits
    ends: Ends
    heads: Heads
    guard: Guard | None
    observers: Sequence[Observer]
    now: float
    buffered: int
    draining: bool
    idle_s: float
    tls: ssl.SSLContext | None
    loop: asyncio.AbstractEventLoop
    connections: set["Connection"]

    def left(self, connection: "Connection") -> None:
        """A connection is over."""
