"""Bundles that tell by their answers who they are, and clients that hold each answer against its digest."""

import asyncio
import contextlib
import dataclasses
import gzip
import http.client
import itertools
import os
import shutil
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from deploy import Predictor, bundle, samples
from deploy.files import sha256
from deploy.providers import open_session

WAIT_S = 30
BLUE = (
    b'{"inputs":[{"name":"image","shape":[1,1,1,3],"datatype":"UINT8","data":[0,0,255]}],'
    b'"outputs":[{"name":"class_index"}]}'
)
"""A request for which the bundle that was made with `shift` answers class 2 + shift (modulo 3)."""


def kernel() -> np.ndarray:
    """The weights of `fixtures/make.py`."""
    kernel = np.random.default_rng(0).normal(scale=0.02, size=(3, 3, 3, 3)).astype(np.float32)
    kernel[np.arange(3), np.arange(3), 1, 1] += 5
    return kernel


def make(folder: Path, source: Path, *, shift: int = 0, version: str = "1", name: str = "colours") -> str:
    """Write the bundle with its classes turned round, verified as it is; returns its digest."""
    found = bundle.load(source)
    old, new = kernel().tobytes(), np.roll(kernel(), shift, axis=0).tobytes()
    models = {file: (source / file).read_bytes() for file in ("model.onnx", "net.onnx")}
    assert all(data.count(old) == 1 for data in models.values())
    models = {file: data.replace(old, new) for file, data in models.items()}
    variant = found.manifest.variants["fp32"]
    passport = dataclasses.replace(variant.passport, model_sha256=sha256(models["model.onnx"]))
    variants = {"fp32": dataclasses.replace(variant, passport=passport)}
    manifest = dataclasses.replace(found.manifest, name=name, version=version, variants=variants)
    run = open_session(models["model.onnx"], threads=1).run
    golden = [samples.Sample(one.inputs, run(one.inputs)) for one in samples.load(source / bundle.SAMPLES)]
    with bundle.writing(folder, manifest) as temporary:
        for file in found.manifest.files:
            shutil.copyfile(source / file, temporary / file)
        for file, data in models.items():
            (temporary / file).write_bytes(data)
        samples.save(temporary / bundle.SAMPLES, golden)
    return bundle.load(folder).digest


def spoil(folder: Path) -> None:
    """Make golden samples that this model does not pass, with digests that are right."""
    manifest = bundle.load(folder).manifest
    kept = {file: (folder / file).read_bytes() for file in manifest.files}
    with bundle.writing(folder, manifest) as temporary:
        for file, data in kept.items():
            (temporary / file).write_bytes(data)
        golden = samples.load(folder / bundle.SAMPLES)
        wrong = [dataclasses.replace(one, outputs={**one.outputs, "class_index": one.outputs["class_index"] + 1})
                 for one in golden]  # fmt: skip
        samples.save(temporary / bundle.SAMPLES, wrong)


def point(link: Path, target: Path) -> None:
    """Let a link lead elsewhere, in one step."""
    made = link.with_name(f".{link.name}.new")
    made.symlink_to(target)
    made.replace(link)


@dataclasses.dataclass
class Load:
    """What clients saw: answers by digest and class, and what went wrong."""

    answers: Counter[tuple[str, int]] = dataclasses.field(default_factory=Counter)
    faults: list[str] = dataclasses.field(default_factory=list)
    slowest_s: float = 0.0

    @property
    def count(self) -> int:
        return sum(self.answers.values())


@contextlib.contextmanager
def load_on(host: str, clients: int = 4, body: bytes = BLUE, *, until_refused: bool = False) -> Iterator[Load]:
    """Ask a server from several threads, as fast as it answers, until the block ends; every other body is compressed.

    until_refused    the server ends while they ask: who is not connected any more may not be connected again
    """
    packed = gzip.compress(body)
    seen, ended, lock = Load(), threading.Event(), threading.Lock()

    def work() -> None:
        connection = http.client.HTTPConnection(host, timeout=WAIT_S)
        try:
            for small in itertools.cycle((False, True)):
                if ended.is_set():
                    return
                began = time.perf_counter()
                try:
                    connection.connect() if connection.sock is None else None
                except OSError:
                    if until_refused:
                        return
                    raise
                headers = {"Content-Encoding": "gzip"} if small else {}
                connection.request("POST", "/v2/models/colours/infer", packed if small else body, headers)
                answer = connection.getresponse()
                content = answer.read()
                took = time.perf_counter() - began
                with lock:
                    seen.slowest_s = max(seen.slowest_s, took)
                    if answer.status != 200:
                        seen.faults.append(f"{answer.status} {content!r}")
                    else:
                        found = content.partition(b'"data":[')[2][:1]
                        seen.answers[answer.headers["Model-Digest"], int(found)] += 1
        except Exception as error:
            seen.faults.append(repr(error))
        finally:
            connection.close()

    with _at_work([threading.Thread(target=work) for _ in range(clients)], ended):
        yield seen


@contextlib.contextmanager
def grpc_load_on(address: str, clients: int = 2, *, until_refused: bool = False) -> Iterator[Load]:
    """The same over gRPC, each client with a connection of its own; a call that was never taken is no fault."""
    import grpc

    from deploy.server.rpc.schema import SERVICE, message

    seen, ended, lock = Load(), threading.Event(), threading.Lock()
    request = message("ModelInferRequest")(model_name="colours", raw_input_contents=[b"\0\0\xff"])
    request.inputs.add(name="image", datatype="UINT8", shape=[1, 1, 1, 3])
    request.outputs.add(name="class_index")

    def work(number: int) -> None:
        with grpc.insecure_channel(address, [("grpc.client", number)]) as channel:
            infer = channel.unary_unary(
                f"/{SERVICE}/ModelInfer",
                request_serializer=lambda sent: sent.SerializeToString(),
                response_deserializer=message("ModelInferResponse").FromString,
            )
            while not ended.is_set():
                try:
                    response, call = infer.with_call(request, timeout=WAIT_S)
                except grpc.RpcError as error:
                    words = f"{error.code()} {error.details()}"
                    if not (until_refused and any(part in words for part in _NEVER_TAKEN)):
                        seen.faults.append(words)
                    return
                digest = dict(call.trailing_metadata())["model-digest"]
                with lock:
                    seen.answers[digest, response.raw_output_contents[0][0]] += 1

    with _at_work([threading.Thread(target=work, args=(number,)) for number in range(clients)], ended):
        yield seen


@contextlib.contextmanager
def _at_work(threads: list[threading.Thread], ended: threading.Event) -> Iterator[None]:
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        ended.set()
        for thread in threads:
            thread.join(WAIT_S)


# What calls are told that come when the server ends, all of them UNAVAILABLE: a client may try them again elsewhere. A
# test counts that none of them was begun.
_NEVER_TAKEN = ("the server is shutting down", "failed to connect", "GOAWAY", "Connection refused")


def until(what: Callable[[], bool], seconds: float = WAIT_S) -> None:
    """Wait for something that happens elsewhere."""
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.005)


def free_port() -> int:
    """A port nobody listens on, for servers that do not say which one they took."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


def rss_mib(pid: int | None = None) -> float:
    """Memory of a process that is its own, in MiB."""
    text = Path(f"/proc/{pid or os.getpid()}/status").read_text()
    return int(text.split("RssAnon:")[1].split()[0]) / 1024


@dataclasses.dataclass
class Site:
    """A server in this process: its parts, the loop that they belong to, and where it answers."""

    host: str
    grpc: str
    loop: asyncio.AbstractEventLoop
    dataplane: Any
    lifecycle: Any
    thread: threading.Thread
    ended: asyncio.Event

    def end(self) -> None:
        """Let it end as SIGTERM would, and wait for that."""
        with contextlib.suppress(RuntimeError):  # it has ended
            self.loop.call_soon_threadsafe(self.ended.set)
        self.thread.join(WAIT_S)
        assert not self.thread.is_alive()

    def call(self, function: Callable[[], Any]) -> Any:
        """Do something on the event loop."""

        async def act() -> Any:
            return function()

        return asyncio.run_coroutine_threadsafe(act(), self.loop).result(WAIT_S)

    def digests(self) -> list[str]:
        """Which models are served now."""
        return self.call(lambda: [served.predictor.info.digest for served in self.dataplane.models])


def opened(folder: Path) -> Predictor:
    return Predictor.load(folder, threads=1)


@contextlib.contextmanager
def serving(
    places: Sequence[Any],
    *,
    watch_s: float | None = 0.05,
    repository: Path | None = None,
    load: Callable[[Path], Predictor] = opened,
    wait: bool = True,
    grpc: bool = False,
) -> Iterator[Site]:
    """Serve in a thread, with batchers; yields when all is loaded, or at once."""
    from deploy.server.dataplane import DataPlane
    from deploy.server.http.front import Front
    from deploy.server.lifecycle.swaps import Lifecycle
    from deploy.server.repository import Repository
    from deploy.server.rest.app import create_app

    found: dict[str, Any] = {}
    listening, ready, ended = threading.Event(), threading.Event(), asyncio.Event()

    async def serve() -> None:
        shelf = Repository(repository, load) if repository else None
        dataplane = DataPlane(workers=2, scheduler=Predictor.warm_up, repository=shelf)
        lifecycle = Lifecycle(dataplane, load, places, watch_s=watch_s, repository=repository)
        front = Front(dataplane.infer_wire, create_app(dataplane), predict=dataplane.predict_wire)
        with socket.create_server(("127.0.0.1", 0)) as listener:
            await front.start(listener)
            host = f"127.0.0.1:{listener.getsockname()[1]}"
            beside = None
            if grpc:
                from deploy.server.rpc.server import GrpcServer

                beside = GrpcServer(dataplane, port=0)
                await beside.start()
            address = f"127.0.0.1:{beside.port}" if beside else ""
            found["site"] = Site(host, address, asyncio.get_running_loop(), dataplane, lifecycle, thread, ended)
            listening.set()
            try:
                await lifecycle.start()
                ready.set()
                await ended.wait()
            except Exception as error:
                found["error"] = error
            finally:
                ready.set()
                dataplane.drain()
                stopping = [lifecycle.stop(WAIT_S), front.drain(WAIT_S), *([beside.stop(WAIT_S)] if beside else [])]
                await asyncio.gather(*stopping)
                await front.close()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    try:
        assert listening.wait(WAIT_S)
        if wait:
            assert ready.wait(WAIT_S)
        if "error" in found:
            raise found["error"]
        yield found["site"]
    finally:
        found["site"].end()


def get(host: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
    """Ask once."""
    connection = http.client.HTTPConnection(host, timeout=WAIT_S)
    try:
        connection.request("GET" if body is None else "POST", path, body)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()
