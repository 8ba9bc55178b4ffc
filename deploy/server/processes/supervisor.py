"""Starts the processes of a group, starts again what ends unasked, and passes SIGTERM on.

The first process is alone until it answers: what is wrong is said once. A process takes connections when its models are
loaded and warm, so whoever is answered is answered by one that is ready.
"""

import asyncio
import dataclasses
import json
import logging
import os
import signal
import socket
import sys
import tempfile
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from deploy.errors import OnnxwayError, UsageError
from deploy.providers import CORES_VARIABLE, usable_cores
from deploy.server.lifecycle import events
from deploy.server.lifecycle.watch import Source
from deploy.server.options import ServerOptions
from deploy.server.processes.plan import Plan, Spot, settings
from deploy.server.sockets import listen

MEMBER = "deploy.server.processes.member"
QUICK_S = 5.0
"""A process that ends sooner is started again after a pause, each time twice as long, at most `LONGEST_PAUSE_S`."""
LONGEST_PAUSE_S = 30.0

_log = logging.getLogger(__name__)


def supervise(
    options: ServerOptions,
    folders: Sequence[Source],
    canaries: Sequence[tuple[Source, float]],
    shadows: Sequence[tuple[Source, float]],
    watch: float | None,
    **arguments: Any,
) -> None:
    """Serve with several processes until SIGTERM or Ctrl-C; the arguments are those of `serve_bundles`."""
    if not hasattr(socket, "SO_REUSEPORT") or not hasattr(socket, "AF_UNIX"):
        raise UsageError("--processes: on this system processes cannot share a port; leave it at 1")
    if arguments["provider"] == "cuda":
        raise UsageError(
            f"--processes {options.processes} on cuda: processes on one GPU only wait for each other; leave it at 1, "
            "and start a server for each GPU (CUDA_VISIBLE_DEVICES)"
        )
    events.show(options.log_level)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="onnxway-")))
        ports = {
            name: stack.enter_context(_reserved(host, port, f"--{name.replace('_', '-')}"))
            for name, host, port in (
                ("port", options.host, options.port),
                ("grpc_port", options.host, options.grpc_port),
                ("admin_port", options.admin_host, options.admin_port),
            )
            if port is not None
        }
        followed = Followed(folder)
        plan = Plan(
            number=0,
            count=options.processes,
            folder=str(folder),
            folders=followed.spots("model", [(source, 1.0) for source in folders]),
            canaries=followed.spots("canary", canaries),
            shadows=followed.spots("shadow", shadows),
            watch=watch,
            settings=settings(options) | ports,
            **arguments,
        )
        asyncio.run(_Group(plan, followed).run())


@contextmanager
def _reserved(host: str, port: int, flag: str) -> Iterator[int]:
    """Hold a port that processes of this user may share; not one that somebody listens on already."""
    with listen(host, port, flag) as alone:
        port = alone.getsockname()[1]
        family = alone.family
    with socket.socket(family, socket.SOCK_STREAM) as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        holder.bind((host, port))
        yield port


class Followed:
    """Sources that change, as files that the processes read: the supervisor asks where they lead, once for all."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._sources: list[tuple[Callable[[], Path], Path]] = []
        self._said = ""

    def spots(self, name: str, sources: Sequence[tuple[Source, float]]) -> tuple[Spot, ...]:
        """Return the places of sources with their shares; those that are functions are asked for the first time."""
        made = []
        for number, (source, share) in enumerate(sources):
            if callable(source):
                pointer = self._folder / f"{name}-{number}"
                self._sources.append((source, pointer))
                _point(pointer, source())
                made.append(Spot(str(pointer), followed=True, share=share))
            else:
                made.append(Spot(str(Path(source).absolute()), share=share))
        return tuple(made)

    async def follow(self, every_s: float) -> None:
        """Write down where the sources lead, again and again."""
        while True:
            await asyncio.sleep(every_s)
            try:
                for source, pointer in self._sources:
                    _point(pointer, await asyncio.to_thread(source))
            except Exception as error:  # whatever it is, it may be over at the next look
                if str(error) != self._said:
                    self._said = str(error)
                    _log.warning("what is served goes on: %s", error)


def _point(pointer: Path, folder: Path) -> None:
    text = str(folder.absolute())
    if not pointer.exists() or pointer.read_text(encoding="utf-8") != text:
        new = pointer.with_suffix(".new")
        new.write_text(text, encoding="utf-8")
        new.replace(pointer)


class _Group:
    def __init__(self, plan: Plan, followed: Followed) -> None:
        self._plan, self._followed = plan, followed
        self._running: dict[int, Process] = {}
        self._ended = asyncio.Event()
        self._tasks: list[asyncio.Task[Any]] = []
        cores = max(1, usable_cores() // plan.count)
        self._environment = os.environ | {CORES_VARIABLE: str(cores)}

    async def run(self) -> None:
        """Start all, print where they answer, and wait for the end; the first error of a process that cannot start."""
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, self._end)
        following = asyncio.ensure_future(self._followed.follow(self._plan.watch)) if self._plan.watch else None
        try:
            lines = await self._start(0)
            await self._all(self._start(number) for number in range(1, self._plan.count))
            if not self._ended.is_set():
                print(*lines, sep="\n", flush=True)
            await self._all(self._keep(number) for number in range(self._plan.count))
        except _EndedError:
            pass
        finally:
            if following is not None:
                following.cancel()
            self._end()
            await asyncio.gather(*(process.wait() for process in self._running.values()))
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _all(self, work: Iterable[Coroutine[Any, Any, Any]]) -> None:
        """Do several things at once; raises the first error, and leaves what goes on to the end of `run`."""
        self._tasks = list(map(asyncio.ensure_future, work))
        await asyncio.gather(*self._tasks)

    def _end(self) -> None:
        """Pass SIGTERM on; each further one breaks off what the processes still answer."""
        self._ended.set()
        for process in self._running.values():
            with suppress(ProcessLookupError):
                process.terminate()

    async def _start(self, number: int) -> list[str]:
        """Start a process and wait until it answers; returns where."""
        if self._ended.is_set():
            raise _EndedError
        process = self._running[number] = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", MEMBER),
            stdin=PIPE,
            stdout=PIPE,
            env=self._environment,
            process_group=0,  # Ctrl-C is for the supervisor
        )
        assert process.stdin is not None
        assert process.stdout is not None
        plan = dataclasses.replace(self._plan, number=number)
        process.stdin.write(plan.write().encode() + b"\n")
        line = await process.stdout.readline()
        answer = json.loads(line) if line else {}
        if "lines" in answer:
            return list(answer["lines"])
        code = await process.wait()
        if self._ended.is_set():
            raise _EndedError
        error = OnnxwayError(answer.get("error") or f"process {number} ended with {code} before it answered")
        error.exit_code = code if code > 0 else 1
        raise error

    async def _keep(self, number: int) -> None:
        """Start a process again whenever it ends unasked; the error that it cannot start, if it was the last."""
        pause = 0.0
        while True:
            began = time.monotonic()
            code = await self._running[number].wait()
            if self._ended.is_set():
                return
            pause = min(max(1.0, 2 * pause), LONGEST_PAUSE_S) if time.monotonic() - began < QUICK_S else 0.0
            _log.error("process %d ended with %d; it is started again in %g s", number, code, pause)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._ended.wait(), pause)
            try:
                await self._start(number)
            except OnnxwayError as error:
                if all(process.returncode is not None for process in self._running.values()):
                    raise
                _log.error("process %d: %s", number, error)


class _EndedError(Exception):
    """SIGTERM came before everything had started."""
