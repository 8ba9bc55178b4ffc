"""The end of the gRPC server: calls in flight are answered, others told to go elsewhere, streams not waited for."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("grpc", reason="needs the extra 'grpc'")
pytest.importorskip("google.protobuf", reason="needs the extra 'grpc'")
pytest.importorskip("orjson", reason="needs the extra 'serve'")

import grpc
import grpc.aio

from deploy import Predictor
from deploy.arrays import Array
from deploy.server.dataplane import DataPlane
from deploy.server.rpc.schema import SERVICE, message
from deploy.server.rpc.server import GrpcServer

UNAVAILABLE = (grpc.StatusCode.UNAVAILABLE, "the server is shutting down; ask another one")


class Held:
    """A server whose model runs nothing until it is let."""

    def __init__(self, colours: Path) -> None:
        self.begun, self.release = asyncio.Event(), asyncio.Event()
        self.dataplane, self.predictor = DataPlane(workers=1), Predictor.load(colours, threads=1)
        self.dataplane.add(self.predictor, self.run)
        self.server = GrpcServer(self.dataplane, port=0)

    async def run(self, arrays: Mapping[str, Array]) -> Mapping[str, Array]:
        self.begun.set()
        await self.release.wait()
        return self.predictor.infer(arrays)


def asked() -> Any:
    request = message("ModelInferRequest")(model_name="colours", raw_input_contents=[b"\x09\x09\xfa"])
    request.inputs.add(name="image", datatype="UINT8", shape=[1, 1, 1, 3])
    return request


async def ending(call: Any) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value.code(), caught.value.details()


def test_what_runs_is_answered_and_what_comes_is_unavailable(colours: Path) -> None:
    async def work() -> None:
        held = Held(colours)
        await held.server.start()
        async with grpc.aio.insecure_channel(f"127.0.0.1:{held.server.port}") as channel:
            infer = channel.unary_unary(
                f"/{SERVICE}/ModelInfer",
                request_serializer=lambda sent: sent.SerializeToString(),
                response_deserializer=message("ModelInferResponse").FromString,
            )
            running = asyncio.ensure_future(infer(asked()))
            await held.begun.wait()
            stopping = asyncio.ensure_future(held.server.stop(10))
            assert await ending(infer(asked())) == UNAVAILABLE
            held.release.set()
            assert (await running).outputs[1].shape == [1]
            await stopping
        held.dataplane.close()

    asyncio.run(work())


@pytest.mark.parametrize("busy", [False, True])
def test_a_stream_ends_behind_its_last_answer(colours: Path, busy: bool) -> None:
    async def requests(sent: int) -> AsyncIterator[Any]:
        for _ in range(sent):
            yield asked()
        await asyncio.Event().wait()  # the client keeps the stream open

    async def work() -> None:
        held = Held(colours)
        await held.server.start()
        async with grpc.aio.insecure_channel(f"127.0.0.1:{held.server.port}") as channel:
            stream = channel.stream_stream(
                f"/{SERVICE}/ModelStreamInfer",
                request_serializer=lambda sent: sent.SerializeToString(),
                response_deserializer=message("ModelStreamInferResponse").FromString,
            )(requests(2 if busy else 1))
            if not busy:
                held.release.set()
                assert (await stream.read()).infer_response.model_name == "colours"
            await held.begun.wait()
            began = time.monotonic()
            stopping = asyncio.ensure_future(held.server.stop(20))
            if busy:
                await asyncio.sleep(0)
                held.release.set()
                assert (await stream.read()).infer_response.model_name == "colours"
            assert await ending(stream.read()) == UNAVAILABLE
            await stopping
            assert time.monotonic() - began < 10
        held.dataplane.close()

    asyncio.run(work())
