"""A data plane behind its real front and gRPC server, on an event loop in a thread, for real clients."""

import asyncio
import contextlib
import dataclasses
import shutil
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from deploy import Predictor, bundle

WAIT_S = 30


@dataclass(frozen=True)
class Address:
    """Where it answers, as clients want it: host and port."""

    http: str
    grpc: str


def versioned(folder: Path, source: Path, name: str, version: str) -> Path:
    """Write a bundle of the same model under another name and version."""
    found = bundle.load(source)
    manifest = dataclasses.replace(found.manifest, name=name, version=version)
    with bundle.writing(folder, manifest) as temporary:
        for file in found.manifest.files:
            shutil.copyfile(source / file, temporary / file)
    return folder


@pytest.fixture(scope="session")
def shelf(colours: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with three bundles: colours 2 and 10, and other 1; and what is no bundle."""
    folder = tmp_path_factory.mktemp("shelf")
    for name, version in (("colours", "2"), ("colours", "10"), ("other", "1")):
        versioned(folder / f"{name}-{version}", colours, name, version)
    (folder / "empty").mkdir()
    (folder / "README.md").write_text("no bundle")
    (folder / "damaged").mkdir()
    (folder / "damaged" / "manifest.json").write_text("[]")
    return folder


@pytest.fixture(scope="session")
def address(colours: Path, shelf: Path) -> Iterator[Address]:
    """A server with the model colours 1, and a repository with `shelf`."""
    pytest.importorskip("starlette", reason="needs the extra 'serve'")
    pytest.importorskip("orjson", reason="needs the extra 'serve'")
    pytest.importorskip("httptools", reason="needs the extra 'serve'")
    pytest.importorskip("grpc", reason="needs the extra 'grpc'")
    pytest.importorskip("google.protobuf", reason="needs the extra 'grpc'")
    from deploy.server.dataplane import DataPlane
    from deploy.server.http.front import Front
    from deploy.server.repository import Repository
    from deploy.server.rest.app import create_app
    from deploy.server.rpc.server import GrpcServer

    def opened(folder: Path) -> Predictor:
        return Predictor.load(folder, threads=1)

    ready, ended = threading.Event(), asyncio.Event()
    found: dict[str, object] = {}

    async def serve() -> None:
        dataplane = DataPlane(workers=2, repository=Repository(shelf, opened))
        dataplane.add(opened(colours))
        front, grpc = (
            Front(dataplane.infer_wire, create_app(dataplane), predict=dataplane.predict_wire),
            GrpcServer(dataplane, port=0),
        )
        with socket.create_server(("127.0.0.1", 0)) as listener:
            await front.start(listener)
            await grpc.start()
            found["address"] = Address(f"127.0.0.1:{listener.getsockname()[1]}", f"127.0.0.1:{grpc.port}")
            found["loop"] = asyncio.get_running_loop()
            ready.set()
            await ended.wait()
            await grpc.stop(1)
            await front.drain(1)
            await front.close()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    assert ready.wait(WAIT_S)
    try:
        yield found["address"]  # type: ignore[misc]
    finally:
        with contextlib.suppress(KeyError):
            found["loop"].call_soon_threadsafe(ended.set)  # type: ignore[attr-defined]
        thread.join(WAIT_S)
