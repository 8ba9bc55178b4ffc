"""API keys over gRPC: in the metadata `authorization` or `x-api-key`, as in HTTP's headers."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
import grpc.aio

from deploy.server.ops.access import WORDS, ApiKeys

_OPEN = ("ServerLive", "ServerReady", "ModelReady")


class KeyInterceptor(grpc.aio.ServerInterceptor):  # type: ignore[misc]  # grpc has no types
    """Refuses calls without a key, before their messages are read; health is open to all, for load balancers."""

    def __init__(self, keys: ApiKeys) -> None:
        self._keys = keys

    async def intercept_service(self, continuation: Callable[[Any], Awaitable[Any]], details: Any) -> Any:
        """Return what handles a call: its method, or a refusal of the same form."""
        handler = await continuation(details)
        headers = {name: value for name, value in details.invocation_metadata or () if isinstance(value, str)}
        if handler is None or details.method.rpartition("/")[2] in _OPEN or self._keys.know(headers):
            return handler
        self._keys.refuse()
        if handler.response_streaming:
            return grpc.stream_stream_rpc_method_handler(_refuse_stream)
        return grpc.unary_unary_rpc_method_handler(_refuse)


async def _refuse(_: Any, context: Any) -> None:
    await context.abort(grpc.StatusCode.UNAUTHENTICATED, WORDS)


async def _refuse_stream(_: Any, context: Any) -> AsyncIterator[bytes]:
    await context.abort(grpc.StatusCode.UNAUTHENTICATED, WORDS)
    yield b""  # never reached: it makes this a stream
