"""A data plane on a socket, until SIGTERM or Ctrl-C."""

import asyncio
import gc
import importlib
import importlib.util
import signal
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import partial

from deploy.server.assembly import Addressed, Companion, assemble
from deploy.server.dataplane import DataPlane
from deploy.server.http.front import Front
from deploy.server.options import ServerOptions
from deploy.server.processes.peers import Announce, Member
from deploy.server.sockets import listen, url

DRAIN_S = 30


def serve(
    dataplane: DataPlane,
    options: ServerOptions | None = None,
    *,
    beside: Sequence[Companion] = (),
    member: Member | None = None,
) -> None:
    """Serve until SIGTERM or Ctrl-C; requests that have come are answered first, for `DRAIN_S` seconds at most.

    Port 0 takes a free one. Prints one line with the address when requests are answered. A second signal ends the
    waiting. `OnnxwayError` when the address cannot be had.

    beside        servers that are started before the line is printed, after gRPC and the admin port, and stopped
                  together with this one
    member        of several processes on the port this is one: it listens once all is loaded, since while others are
                  ready nobody should meet one that is not
    """
    options = options or ServerOptions()
    with ExitStack() as stack:
        front, companions = assemble(dataplane, options, member)
        if member is None:  # an address that cannot be had is said before anything is loaded
            listener = stack.enter_context(listen(options.host, options.port))
            order = [_Door(front, lambda: listener), *companions, *beside]
        else:
            order = [*beside, *companions, _Door(front, partial(listen, options.host, options.port, shared=True))]
        _raise_descriptor_limit()
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(_run(dataplane, front, order, _print if member is None else member.announce))


class _Door:
    """The public port, as one of the servers that are started and stopped."""

    def __init__(self, front: Front, open_listener: Callable[[], socket.socket]) -> None:
        self._front, self._open = front, open_listener
        self.url = ""

    async def start(self) -> None:
        listener = self._open()
        self.url = url(listener, self._front.tls is not None)
        await self._front.start(listener)

    async def stop(self, grace: float) -> None:
        await self._front.drain(grace)


async def _run(dataplane: DataPlane, front: Front, order: Sequence[Companion], announce: Announce) -> None:
    with _signals(front) as ended:
        try:
            if await _started(order, ended):
                gc.collect()
                gc.freeze()  # a full collection would stop the loop for 10 ms, to find that all is in use
                where = next(one.url for one in order if isinstance(one, _Door))
                others = [one.where for one in order if isinstance(one, Addressed)]
                announce([f"serving on {where}  try: {_example(dataplane, where)}", *others])
                await ended.wait()
        finally:
            dataplane.drain()
            await asyncio.gather(*(one.stop(DRAIN_S) for one in order))
            await front.close()


def _example(dataplane: DataPlane, where: str) -> str:
    """Return a command that the first model answers."""
    for served in dataplane.models:
        kind = served.predictor.kind
        if kind.file:
            return f"curl --data-binary @{kind.filename} {where}/predict"
    return f"curl {where}/v2"


def _print(lines: Sequence[str]) -> None:
    print(*lines, sep="\n", flush=True)


async def _started(beside: Sequence[Companion], ended: asyncio.Event) -> bool:
    """Start companions one after another; returns False when the end came first. Raises the first error."""

    async def start() -> None:
        for companion in beside:
            await companion.start()

    starting, ending = asyncio.ensure_future(start()), asyncio.ensure_future(ended.wait())
    await asyncio.wait((starting, ending), return_when=asyncio.FIRST_COMPLETED)
    ending.cancel()
    if starting.done():
        starting.result()
        return True
    starting.cancel()
    return False


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
