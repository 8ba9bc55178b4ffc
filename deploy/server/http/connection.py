"""One connection: requests in their order, one at a time, their answers, and what becomes of slow and lost clients."""

import asyncio
import logging
import math
import time
from collections.abc import Sequence
from typing import Any

from deploy.server.http.answer import CONTINUE, INTERNAL, refusal, wire_head
from deploy.server.http.asgi import Exchange
from deploy.server.http.house import House
from deploy.server.http.log import GONE
from deploy.server.http.reader import Reader
from deploy.server.http.request import Request
from deploy.server.wire import Wire

Buffer = bytes | memoryview

READ_AHEAD = 256 * 1024
"""Bytes of a body that are read before somebody wants them."""

_UNKNOWN: dict[str, tuple[str, int] | None] = {}
_SMALL = 16 * 1024

_log = logging.getLogger(__name__)


class Connection(asyncio.Protocol):
    """Answers what one client sends.

    An inference request is run when its body is there; any other goes to the ASGI application with its head. Requests
    behind it wait; reading stops when they become much. A client that leaves cancels what is run for it.
    `deadline` is when the connection is to be looked at, on the clock of the house.
    """

    __slots__ = (
        "_addresses",
        "_closing",
        "_current",
        "_exchange",
        "_house",
        "_queue",
        "_read_paused",
        "_reader",
        "_task",
        "_transport",
        "_unsent",
        "_writable",
        "deadline",
    )

    def __init__(self, house: House) -> None:
        self._house = house
        self._transport: asyncio.Transport = None  # type: ignore[assignment]  # set before anything else is called
        self._addresses: dict[str, tuple[str, int] | None] = _UNKNOWN
        self._reader: Reader | None = None  # made when something comes: an idle connection costs little
        self._queue: list[Request] = []
        self._current: Request | None = None
        self._task: asyncio.Task[None] | None = None
        self._exchange: Exchange | None = None
        self._read_paused = False
        self._closing = False
        self._unsent = 0  # bytes not yet taken when writing was paused; 0: writing goes on
        self._writable: asyncio.Future[None] | None = None
        self.deadline = math.inf

    # What asyncio calls

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # of TCP or TLS
        """Begin; one connection too many is closed again."""
        house = self._house
        self._transport = transport
        house.connections.add(self)
        if len(house.connections) > house.limits.connections:
            self._transport.abort()
        self.deadline = house.now + house.idle_s

    def data_received(self, data: bytes) -> None:
        """Read what came."""
        reader = self._reader
        if reader is None:
            reader = self._reader = Reader(self, self._house.limits, self._house.heads)
        if reader.deaf:
            reader.cut = True
            return
        reader.feed(data, self._house.now)
        if reader.incoming is not None:
            self._rearm()

    def eof_received(self) -> None:
        """End: who sends no more is taken to have left, as nginx does."""

    def connection_lost(self, exc: Exception | None) -> None:
        """Cancel what is run for the client, and let go of everything."""
        house, reader = self._house, self._reader
        lost = [request for request in (self._current, *self._queue) if request is not None]
        if reader is not None:
            if reader.incoming is not None and reader.incoming not in lost and not reader.incoming.settled:
                lost.append(reader.incoming)
            reader.close()
        if self._task is not None:
            self._task.cancel()
        for request in lost:
            self._settle(request, GONE, 0)
        self._current = self._task = self._exchange = None
        self._queue = []
        self._closing = True
        self.deadline = math.inf
        self.resume_writing()
        house.left(self)

    def pause_writing(self) -> None:
        """Stop: the client takes answers more slowly than they are made."""
        self._unsent = self._transport.get_write_buffer_size() or 1
        self.deadline = self._house.now + self._house.limits.write_s

    def resume_writing(self) -> None:
        """Go on."""
        self._unsent = 0
        if self._writable is not None:
            if not self._writable.done():
                self._writable.set_result(None)
            self._writable = None
        if not self._closing:
            self._rearm()
            self._advance()

    # What the reader calls

    def head_came(self, request: Request) -> None:
        """Put a request into the queue; what is too much for it is left to be sent again on another connection."""
        house = self._house
        if house.observers:
            request.started_at = time.perf_counter()
        if house.guard is not None and (refused := house.guard(request)) is not None:
            assert self._reader is not None
            self._reader.refuse(refused)
            return
        if len(self._queue) >= house.limits.pipelined:
            assert self._reader is not None
            self._reader.stop()
            self._queue[-1].keep_alive = False
            return
        if house.predict is None and request.asked is not None and request.asked[2] == "predict":
            request.asked = None
        self._queue.append(request)
        if request.asked is None or request.wants_continue:
            self._advance()

    def body_came(self, request: Request, size: int) -> None:
        """Count it, and stop reading when nobody wants it yet."""
        house = self._house
        if request.settled:
            request.body.take()
            return
        house.buffered += size
        if house.buffered > house.limits.buffered:
            assert self._reader is not None
            self._reader.refuse(refusal(503, "the bodies of all requests together are too large; try again later"))
            return
        if request is self._current:
            if self._exchange is not None:
                self._exchange.wake()
        elif self._task is None:
            return  # the request's turn has come: all of it is wanted
        if request.body.held > READ_AHEAD:
            self._pause_reading()

    def request_ended(self, request: Request) -> None:
        """Run it if its turn has come."""
        if request is self._current:
            if self._exchange is not None:
                self._exchange.wake()
        elif request.settled:
            self._rearm()
        else:
            self._advance()

    def refused(self, request: Request, answer: Wire) -> None:
        """Answer a request at fault in its turn; what is run for it already is cancelled."""
        request.refusal = answer
        request.keep_alive = False
        if request.settled:
            self._shut()
            return
        if request is not self._current:
            if request not in self._queue:
                self._queue.append(request)
            self._advance()
            return
        assert self._task is not None
        self._task.cancel()
        if self._exchange is not None and self._exchange.begun:
            self.abort()
        else:
            self._answer(request, answer)

    # What an exchange with the ASGI application calls

    @property
    def closing(self) -> bool:
        """Whether nothing can be answered any more."""
        return self._closing

    def address(self, which: str) -> tuple[str, int] | None:
        """Return host and port of `peername` or `sockname`; None for a socket without such."""
        if which not in self._addresses:
            found = self._transport.get_extra_info(which)
            address = (str(found[0]), int(found[1])) if isinstance(found, tuple) else None
            self._addresses = {**self._addresses, which: address}
        return self._addresses[which]

    @property
    def encrypted(self) -> bool:
        """Whether TLS is spoken."""
        return self._house.tls is not None

    def want_body(self, request: Request) -> None:
        """Read on, and tell a client that waits for it to send the body."""
        if request.wants_continue and not request.complete and request.body.total == 0:
            self._transport.write(CONTINUE)
        request.wants_continue = False
        self._resume_reading()

    def end(self, request: Request) -> bytes:
        """Return the last lines of the head of an answer, which say what becomes of the connection."""
        reader, ends = self._reader, self._house.ends
        following = None if reader is None or reader.incoming is request else reader.incoming
        if self._house.draining and not self._queue and following is None:
            request.keep_alive = False
        if request.wants_continue and not request.complete:  # the body may never come, or come as a surprise
            request.keep_alive = False
        if not request.keep_alive:
            return ends.close
        return ends.keep if request.version == "1.1" else ends.keep_1_0

    def write(self, parts: Sequence[Buffer]) -> None:
        """Write parts one after another, without joining them."""
        if not self._closing:
            self._transport.writelines(parts)

    async def writable(self) -> None:
        """Wait until the client has taken enough of what was written."""
        if self._unsent and not self._closing:
            if self._writable is None:
                self._writable = self._house.loop.create_future()
            await self._writable

    def answered(self, request: Request, status: int, sent: int) -> None:
        """Go on after an answer of `sent` bytes; a body that nobody read is read and dropped."""
        if request is not self._current:
            return
        self._settle(request, status, sent)
        self._current = self._task = self._exchange = None
        if not request.keep_alive:
            self._shut()
            return
        if self._queue or self._read_paused:
            self._resume_reading()
            self._advance()
        self._rearm()

    def abort(self) -> None:
        """Break the connection off: an answer cannot be completed, or time is up."""
        self._closing = True
        self._transport.abort()

    # What the house calls

    def expire(self) -> None:
        """Act on a deadline that has passed."""
        if self._unsent:
            self._give_up_unless_it_moves()
        elif self._closing:
            self.abort()
        elif self._reader is not None and self._reader.incoming is not None:
            self._reader.refuse(refusal(408, "the request did not come in time; send it faster"))
        else:
            self._shut()

    def drain(self, until: float) -> None:
        """Close soon if idle: a request that is on its way at this moment is still answered."""
        self.deadline = min(self.deadline, until) if self.idle else self.deadline

    @property
    def idle(self) -> bool:
        """Whether no request is there, not even in part."""
        return self._current is None and not self._queue and (self._reader is None or self._reader.incoming is None)

    # The turn of requests

    def _advance(self) -> None:
        """Begin the next request, if its turn has come and what it needs is there."""
        while self._current is None and self._queue and not self._unsent and not self._closing:
            request = self._queue[0]
            if request.refusal is None and request.asked is not None and not request.complete:
                self.want_body(request)
                return
            del self._queue[0]
            self._begin(request)

    def _begin(self, request: Request) -> None:
        self._current = request
        self.deadline = math.inf
        if request.refusal is not None:
            self._answer(request, request.refusal)
        elif request.asked is not None:
            self._task = self._house.loop.create_task(self._run(request, *request.asked))
        else:
            self._exchange = Exchange(self, request)
            self._task = self._house.loop.create_task(self._exchange.run(self._house.app, self._house.state))

    async def _run(self, request: Request, name: str | None, version: str | None, what: str) -> None:
        assert request.headers is not None
        answering: Any = self._house.infer if what == "infer" else self._house.predict
        try:
            wire = await answering(name, version, request.headers, request.body.take())
        except Exception:
            _log.exception("inference on model %r failed", name)
            wire = INTERNAL
        self._answer(request, wire)

    def _answer(self, request: Request, wire: Wire) -> None:
        if self._closing or request is not self._current:
            return
        try:
            head = wire_head(wire, self.end(request))
        except ValueError:
            _log.exception("an answer to %r cannot be written", request.target)
            wire = INTERNAL
            head = wire_head(wire, self.end(request))
        request.timing = wire.timing
        body = [] if request.method == "HEAD" else wire.body
        if sum(map(len, body)) <= _SMALL:
            self._transport.write(b"".join((head, *body)))  # one small write is cheaper than its parts
        else:
            self._transport.writelines([head, *body])
        self.answered(request, wire.status, wire.length if self._house.observers and body else 0)

    def _settle(self, request: Request, status: int, sent: int) -> None:
        """Close the books on a request."""
        request.settled = True
        self._house.buffered -= request.body.total
        for observer in self._house.observers:
            peer = self.address("peername")
            observer.add(request, peer[0] if peer else "", status, sent)

    # Time

    def _rearm(self) -> None:
        """Set the deadline by what is awaited of the client."""
        house, reader = self._house, self._reader
        if self._closing or self._unsent:
            return
        if reader is not None and reader.incoming is not None:
            self.deadline = math.inf if self._read_paused else reader.incoming.due(house.limits)
        elif self._current is None and not self._queue:
            self.deadline = house.now + house.idle_s
        else:
            self.deadline = math.inf

    def _give_up_unless_it_moves(self) -> None:
        unsent = self._transport.get_write_buffer_size()
        if unsent >= self._unsent:
            self.abort()
        else:
            self._unsent = unsent or 1
            self.deadline = self._house.now + self._house.limits.write_s

    def _pause_reading(self) -> None:
        if not self._read_paused and not self._closing:
            self._read_paused = True
            self._transport.pause_reading()
            self._rearm()

    def _resume_reading(self) -> None:
        if self._read_paused:
            self._read_paused = False
            self._transport.resume_reading()
            self._rearm()

    def _shut(self) -> None:
        """Close once all is written.

        While a client still sends, closing at once would reset the connection and destroy the answer on its way
        (RFC 9112, 9.6): the writing half is closed, what comes is dropped for a while.
        """
        self._closing = True
        limits, reader = self._house.limits, self._reader
        sending = reader is not None and (reader.incoming is not None or reader.cut)
        if reader is not None:
            reader.stop()
        if sending and self._transport.can_write_eof():
            self._transport.write_eof()
            self._resume_reading()
            self.deadline = self._house.now + limits.linger_s
        else:
            self._transport.close()
            self.deadline = self._house.now + limits.write_s
