"""The data plane over gRPC: inference.GRPCInferenceService, for the protocol's clients and for Triton's.

Statuses follow the classes of `deploy.errors`: INVALID_ARGUMENT for 400 and 415, UNAUTHENTICATED without a key,
PERMISSION_DENIED for 403, NOT_FOUND, RESOURCE_EXHAUSTED for 413, UNIMPLEMENTED for 501, UNAVAILABLE for 503,
DEADLINE_EXCEEDED for 504, INTERNAL for the rest. A deadline that the client sets on the call counts as the request's
timeout, and a call that is cancelled cancels what runs for it.
"""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

import grpc
import grpc.aio

from deploy.errors import ForbiddenError, NotFoundError, NotReadyError, OnnxwayError
from deploy.server.dataplane import INTERNAL, DataPlane
from deploy.server.models import Served
from deploy.server.ops.access import FORBIDDEN, ApiKeys
from deploy.server.protocol.declined import declined
from deploy.server.protocol.over_http import DIGEST_HEADER, retry_after
from deploy.server.rpc import conversion
from deploy.server.rpc.access import KeyInterceptor
from deploy.server.rpc.ending import Ending
from deploy.server.rpc.schema import SERVICE, message
from deploy.server.statistics import Timing

_STATUS = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    403: grpc.StatusCode.PERMISSION_DENIED,
    404: grpc.StatusCode.NOT_FOUND,
    413: grpc.StatusCode.RESOURCE_EXHAUSTED,
    415: grpc.StatusCode.INVALID_ARGUMENT,
    501: grpc.StatusCode.UNIMPLEMENTED,
    503: grpc.StatusCode.UNAVAILABLE,
    504: grpc.StatusCode.DEADLINE_EXCEEDED,
}

_LARGE = 256 * 2**10
"""Bytes of a request that are read on another thread: packed numbers that are not raw take long."""

_log = logging.getLogger(__name__)

Context = Any  # grpc.aio.ServicerContext, which has no types

Trace = Callable[[Timing, Context, int], None]
"""Is told of each inference when it has ended, with HTTP's status for it."""


class GrpcServer:
    """The service on a port of its own; `start` and `stop` belong to the event loop of the data plane.

    `port` 0 takes a free one; `port` says which after `start`. Messages are bounded by the data plane's bounds.
    `credentials` (`grpc.ssl_server_credentials`) for TLS; `keys`, of which each call must have one; without `control`
    models may not be loaded and unloaded here. `trace` hears of each inference. `where` says where it answers. The port
    may be `shared` with other processes of this user.
    """

    def __init__(
        self,
        dataplane: DataPlane,
        *,
        host: str = "127.0.0.1",
        port: int = 8001,
        credentials: grpc.ServerCredentials | None = None,
        keys: ApiKeys | None = None,
        control: bool = True,
        trace: Trace | None = None,
        shared: bool = False,
    ) -> None:
        self._dataplane = dataplane
        self._host = f"[{host}]" if ":" in host else host
        self.port = port
        self._credentials = credentials
        self._interceptors = [KeyInterceptor(keys)] if keys is not None else []
        self._control = control
        self._trace = trace
        self._shared = shared
        self._ending = Ending()
        self._server: grpc.aio.Server | None = None

    @property
    def where(self) -> str:
        """Return where it answers, in words."""
        return f"gRPC on {self._host}:{self.port}"

    async def start(self) -> None:
        """Begin to answer; `OnnxwayError` when the address cannot be had."""
        server = grpc.aio.server(
            interceptors=self._interceptors,
            options=[
                ("grpc.max_receive_message_length", self._dataplane.bounds.body),
                ("grpc.max_send_message_length", -1),
                ("grpc.so_reuseport", int(self._shared)),  # else a second server would take half of the calls unnoticed
            ],
        )
        service = _Service(self._dataplane, self._control, self._trace, self._ending)
        server.add_generic_rpc_handlers((_handlers(service),))
        address = f"{self._host}:{self.port}"
        try:
            if self._credentials is None:
                self.port = server.add_insecure_port(address)
            else:
                self.port = server.add_secure_port(address, self._credentials)
        except RuntimeError:
            raise OnnxwayError(
                f"{address}: cannot listen there for gRPC; choose another port (0: a free one)"
            ) from None
        await server.start()
        self._server = server

    async def stop(self, grace: float) -> None:
        """Refuse calls that come, end streams, and answer what is being computed within `grace` seconds."""
        if self._server is not None:
            await self._ending.begin()
            await self._server.stop(grace)


class _Service:
    """One method for each of the service's, from a request to the fields of its response."""

    def __init__(self, dataplane: DataPlane, control: bool, trace: Trace | None, ending: Ending) -> None:
        self.ending = ending
        self._dataplane = dataplane
        self._control = control
        self._trace = trace

    async def server_live(self, _: Any) -> dict[str, Any]:
        return {"live": True}

    async def server_ready(self, _: Any) -> dict[str, Any]:
        return {"ready": self._dataplane.ready()}

    async def model_ready(self, request: Any) -> dict[str, Any]:
        try:
            return {"ready": self._dataplane.model_ready(request.name, request.version)}
        except (NotFoundError, NotReadyError):  # a question with an answer: clients poll it
            return {"ready": False}

    async def server_metadata(self, _: Any) -> dict[str, Any]:
        return self._dataplane.metadata()

    async def model_metadata(self, request: Any) -> dict[str, Any]:
        found = self._dataplane.model_metadata(request.name, request.version)
        del found["parameters"]  # the message has no place for them
        return found

    async def model_config(self, request: Any) -> dict[str, Any]:
        return {"config": self._dataplane.model_config(request.name, request.version)}

    async def model_statistics(self, request: Any) -> dict[str, Any]:
        return self._dataplane.statistics(request.name, request.version)

    async def repository_index(self, request: Any) -> dict[str, Any]:
        return {"models": await self._dataplane.index(ready=request.ready)}

    async def repository_model_load(self, request: Any) -> dict[str, Any]:
        self._require_control()
        await self._dataplane.load(request.model_name, request.parameters)
        return {}

    async def repository_model_unload(self, request: Any) -> dict[str, Any]:
        self._require_control()
        await self._dataplane.unload(request.model_name)
        return {}

    async def infer(self, request: Any, context: Context) -> Any:
        """Answer a `ModelInferRequest`; raises what `DataPlane.infer` does."""
        self.ending.require_open()
        timing = Timing()
        if self._trace is None:
            return await self._infer(request, context, timing)
        status = 200
        try:
            return await self._infer(request, context, timing)
        except Exception as error:
            status = error.status if isinstance(error, OnnxwayError) else 500
            raise
        finally:
            self._trace(timing, context, status)

    def _require_control(self) -> None:
        if not self._control:
            raise ForbiddenError(FORBIDDEN)

    async def _infer(self, request: Any, context: Context, timing: Timing) -> Any:
        served: Served | None = None
        left = context.time_remaining()
        try:
            with self._dataplane.route(request.model_name, request.model_version) as served:
                predictor, bounds = served.predictor, self._dataplane.bounds
                timing.info = predictor.info
                heavy = request.ByteSize() > _LARGE and not request.raw_input_contents
                asked = await self._dataplane.somewhere(heavy, conversion.read, request, predictor, bounds, left)
                timing.lap("decode")
                outputs = await self._dataplane.infer(served, asked, timing)
                timing.lap("infer")
            response = conversion.write(outputs, asked, predictor.info)
            timing.lap("encode")
        except Exception as error:
            if served is not None:
                served.statistics.failed(timing, error)
            raise
        self._dataplane.answered(served, asked, outputs, timing)
        context.set_trailing_metadata(
            ((DIGEST_HEADER.lower(), predictor.info.digest), ("server-timing", timing.header()))
        )
        return response


_UNARY = (
    "ServerLive",
    "ServerReady",
    "ModelReady",
    "ServerMetadata",
    "ModelMetadata",
    "ModelConfig",
    "ModelStatistics",
    "RepositoryIndex",
    "RepositoryModelLoad",
    "RepositoryModelUnload",
)


_DECLINED = {
    **{f"SystemSharedMemory{verb}": "shared memory" for verb in ("Status", "Register", "Unregister")},
    **{f"CudaSharedMemory{verb}": "shared memory" for verb in ("Status", "Register", "Unregister")},
    "TraceSetting": "tracing",
    "LogSettings": "logging",
}


def _handlers(service: _Service) -> grpc.GenericRpcHandler:
    methods = {name: grpc.unary_unary_rpc_method_handler(_declining(what)) for name, what in _DECLINED.items()}
    for name in _UNARY:
        method = getattr(service, "".join(f"_{c.lower()}" if c.isupper() else c for c in name).lstrip("_"))
        response = message(f"{name}Response")
        methods[name] = grpc.unary_unary_rpc_method_handler(
            _answering(method, response),
            request_deserializer=message(f"{name}Request").FromString,
            response_serializer=response.SerializeToString,
        )
    request, response, stream = (
        message(name) for name in ("ModelInferRequest", "ModelInferResponse", "ModelStreamInferResponse")
    )
    methods["ModelInfer"] = grpc.unary_unary_rpc_method_handler(
        _inferring(service), request_deserializer=request.FromString, response_serializer=response.SerializeToString
    )
    methods["ModelStreamInfer"] = grpc.stream_stream_rpc_method_handler(
        _streaming(service, stream),
        request_deserializer=request.FromString,
        response_serializer=stream.SerializeToString,
    )
    return grpc.method_handlers_generic_handler(SERVICE, methods)


def _answering(
    method: Callable[[Any], Awaitable[Mapping[str, Any]]], response: Any
) -> Callable[[Any, Context], Awaitable[Any]]:
    async def answer(request: Any, context: Context) -> Any:
        try:
            return response(**await method(request))
        except Exception as error:
            await _abort(context, error)

    return answer


def _declining(what: str) -> Callable[[Any, Context], Awaitable[Any]]:
    async def decline(_: Any, context: Context) -> Any:
        await _abort(context, declined(what))

    return decline


def _inferring(service: _Service) -> Callable[[Any, Context], Awaitable[Any]]:
    async def infer(request: Any, context: Context) -> Any:
        try:
            return await service.infer(request, context)
        except Exception as error:
            await _abort(context, error)

    return infer


def _streaming(service: _Service, response: Any) -> Callable[[AsyncIterator[Any], Context], AsyncIterator[Any]]:
    async def stream(requests: AsyncIterator[Any], context: Context) -> AsyncIterator[Any]:
        async for request in service.ending.until(requests):
            try:
                yield response(infer_response=await service.infer(request, context))
            except Exception as error:  # the stream goes on: the others' answers are good
                words = _words(error)
                yield response(error_message=words, infer_response={"id": request.id})
        if service.ending.begun.is_set():
            await _abort(context, service.ending.error())

    return stream


async def _abort(context: Context, error: Exception) -> None:
    status = _STATUS.get(error.status) if isinstance(error, OnnxwayError) else None
    metadata = tuple((name.lower(), value) for name, value in retry_after(getattr(error, "retry_after_s", None)))
    await context.abort(status or grpc.StatusCode.INTERNAL, _words(error), metadata)


def _words(error: Exception) -> str:
    if isinstance(error, OnnxwayError):
        return str(error)
    _log.error("gRPC", exc_info=error)
    return INTERNAL
