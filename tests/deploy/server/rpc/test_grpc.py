"""The gRPC server's own life; its answers are in test_clients.py."""

import asyncio
import socket
from pathlib import Path

import pytest

pytest.importorskip("grpc", reason="needs the extra 'grpc'")
pytest.importorskip("google.protobuf", reason="needs the extra 'grpc'")
pytest.importorskip("orjson", reason="needs the extra 'serve'")

import grpc
import grpc.aio

from deploy import Predictor
from deploy.errors import OnnxwayError
from deploy.server.dataplane import DataPlane
from deploy.server.rpc.schema import SERVICE, message
from deploy.server.rpc.server import GrpcServer


def test_an_address_that_is_taken_is_one_line() -> None:
    async def start(port: int) -> None:
        await GrpcServer(DataPlane(workers=1), port=port).start()

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(OnnxwayError, match=f"127.0.0.1:{port}: cannot listen there for gRPC; choose another port"):
            asyncio.run(start(port))


def test_too_large_a_message_and_a_call_in_flight_at_the_end(colours: Path) -> None:
    begun, release = asyncio.Event(), asyncio.Event()

    async def work() -> tuple[object, list[int]]:
        dataplane, predictor = DataPlane(workers=1, max_body=5000), Predictor.load(colours, threads=1)

        async def run(arrays: dict) -> dict:
            begun.set()
            await release.wait()
            return predictor.infer(arrays)

        dataplane.add(predictor, run)
        server = GrpcServer(dataplane, port=0)
        await server.start()
        request = message("ModelInferRequest")(model_name="colours", raw_input_contents=[b"\x09\x09\xfa"])
        request.inputs.add(name="image", datatype="UINT8", shape=[1, 1, 1, 3])
        async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
            call = channel.unary_unary(
                f"/{SERVICE}/ModelInfer",
                request_serializer=lambda sent: sent.SerializeToString(),
                response_deserializer=message("ModelInferResponse").FromString,
            )
            large = message("ModelInferRequest")(model_name="colours", raw_input_contents=[bytes(6000)])
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await call(large)
            waiting = asyncio.ensure_future(call(request))
            await begun.wait()
            stopping = asyncio.ensure_future(server.stop(10))
            release.set()
            answer = await waiting
            await stopping
        dataplane.close()
        return caught.value.code(), list(answer.outputs[1].shape)

    code, shape = asyncio.run(work())
    assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert shape == [1]


def test_a_call_that_is_cancelled_cancels_what_runs(colours: Path) -> None:
    begun, cancelled = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        dataplane, predictor = DataPlane(workers=1), Predictor.load(colours, threads=1)

        async def run(arrays: dict) -> dict:
            begun.set()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                cancelled.set()
                raise
            return {}

        dataplane.add(predictor, run)
        server = GrpcServer(dataplane, port=0)
        await server.start()
        request = message("ModelInferRequest")(model_name="colours", raw_input_contents=[b"\x09\x09\xfa"])
        request.inputs.add(name="image", datatype="UINT8", shape=[1, 1, 1, 3])
        async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
            call = channel.unary_unary(
                f"/{SERVICE}/ModelInfer", request_serializer=lambda sent: sent.SerializeToString()
            )
            running = call(request)
            await begun.wait()
            running.cancel()
            await asyncio.wait_for(cancelled.wait(), 10)
        await server.stop(1)
        dataplane.close()

    asyncio.run(work())
