"""The data plane over HTTP: Open Inference Protocol v2 with Triton's extensions, and pictures as they are.

GET  /                                          a page to try the models with;  /openapi.json
GET  /v2                                        server metadata
GET  /v2/health/live, /v2/health/ready
GET  /v2/models/{m}[/versions/{v}]              model metadata;  .../ready, .../config, .../stats
GET  /v2/models/stats                           statistics of all models
POST /v2/models/{m}[/versions/{v}]/infer        tensors in JSON, in bytes behind the JSON, or in bytes alone
POST /v2/models/{m}[/versions/{v}]/predict      the bytes of a picture, a form with one file, or JSON in the input's
                                                natural form;  /predict for the only model
POST /v2/repository/index                       what is served and what could be
POST /v2/repository/models/{m}/load, /unload    where the server was given a repository

Every error is `{"error": "..."}` with the status of its class (`deploy.errors`).
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from starlette.applications import Starlette
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from deploy.errors import InputError, MediaTypeError, OnnxwayError, TooLargeError
from deploy.server import openapi, page, protocol_json
from deploy.server.dataplane import INTERNAL, MAX_BODY, DataPlane
from deploy.server.payloads import Payload
from deploy.server.protocol_http import DIGEST_HEADER, known_error
from deploy.server.wire import Wire

__all__ = ["MAX_BODY", "create_app"]


def create_app(dataplane: DataPlane, *, max_body: int = MAX_BODY) -> Starlette:
    """Return the ASGI application; it closes the data plane when it shuts down.

    max_body    bytes in a request's body; more is answered with 413
    """

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        dataplane.close()

    app = Starlette(
        routes=_routes(),
        middleware=[Middleware(_BodyLimit, max_body=max_body)],
        exception_handlers={OnnxwayError: _known, HTTPException: _http, Exception: _unknown},
        lifespan=lifespan,
    )
    app.state.dataplane = dataplane
    return app


def _routes() -> list[Route]:
    routes = [
        Route("/", _page),
        Route("/openapi.json", _openapi),
        Route("/v2", _server_metadata),
        Route("/v2/health/live", _live),
        Route("/v2/health/ready", _ready),
        Route("/v2/models/stats", _statistics),
        Route("/v2/repository/index", _index, methods=["POST"]),
        Route("/v2/repository/models/{name}/load", _load, methods=["POST"]),
        Route("/v2/repository/models/{name}/unload", _unload, methods=["POST"]),
        Route("/predict", _predict, methods=["POST"]),
    ]
    for model in ("/v2/models/{name}", "/v2/models/{name}/versions/{version}"):
        routes += [
            Route(model, _model_metadata),
            Route(f"{model}/ready", _model_ready),
            Route(f"{model}/config", _model_config),
            Route(f"{model}/stats", _statistics),
            Route(f"{model}/infer", _infer, methods=["POST"]),
            Route(f"{model}/predict", _predict, methods=["POST"]),
        ]
    return routes


async def _page(_: Request) -> Response:
    return Response(page.HTML, headers={"Content-Security-Policy": page.POLICY}, media_type="text/html")


async def _openapi(request: Request) -> Response:
    return _json(openapi.document(_dataplane(request)))


async def _server_metadata(request: Request) -> Response:
    return _json(_dataplane(request).metadata())


async def _live(_: Request) -> Response:
    return _json({"live": True})


async def _ready(request: Request) -> Response:
    ready = _dataplane(request).ready()
    return _json({"live": True, "ready": ready}, 200 if ready else 503)


async def _model_metadata(request: Request) -> Response:
    answer = _dataplane(request).model_metadata(*_target(request))
    return _json(answer, headers={DIGEST_HEADER: answer["parameters"]["digest"]})


async def _model_ready(request: Request) -> Response:
    info = _dataplane(request).model(*_target(request)).predictor.info
    return _json({"name": info.name, "ready": True}, headers={DIGEST_HEADER: info.digest})


async def _model_config(request: Request) -> Response:
    return _json(_dataplane(request).model_config(*_target(request)))


async def _statistics(request: Request) -> Response:
    return _json(_dataplane(request).statistics(*_target(request)))


async def _index(request: Request) -> Response:
    ready = (await _options(request)).get("ready", False)
    if not isinstance(ready, bool):
        raise InputError(f"ready: got {protocol_json.kind(ready)}, expected true or false")
    return _json(await _dataplane(request).index(ready=ready))


async def _load(request: Request) -> Response:
    parameters = (await _options(request)).get("parameters")
    await _dataplane(request).load(request.path_params["name"], parameters)
    return _json({})


async def _unload(request: Request) -> Response:
    await _options(request)
    await _dataplane(request).unload(request.path_params["name"])
    return _json({})


async def _infer(request: Request) -> Response:
    name, version = request.path_params["name"], request.path_params.get("version")
    body = await request.body()
    # HTTP's rule for a header that comes several times is one list; dict() would keep the last
    headers = {key: ", ".join(request.headers.getlist(key)) for key in request.headers}
    return _wire(await _dataplane(request).infer_wire(name, version, headers, body))


async def _predict(request: Request) -> Response:
    dataplane = _dataplane(request)
    name, version = request.path_params.get("name"), request.path_params.get("version")
    dataplane.model(name, version)  # before the body is read
    answer, served, timing = await dataplane.predict(await _payload(request), name, version)
    return _json(answer, headers={DIGEST_HEADER: served.predictor.info.digest, "Server-Timing": timing.header()})


async def _payload(request: Request) -> Payload:
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    encoding = request.headers.get("content-encoding", "")
    if content_type != "multipart/form-data":  # a picture is known by its bytes, whatever its header says
        return Payload(await request.body(), content_type == "application/json", encoding)
    if encoding.lower() not in ("", "identity"):
        raise MediaTypeError(f"Content-Encoding {encoding[:40]!r}: not supported for forms; send it uncompressed")
    async with request.form(max_files=1, max_fields=16) as form:
        files = [part for part in form.values() if isinstance(part, UploadFile)]
        if len(files) != 1:
            raise InputError("the form holds no file; send one: curl -F file=@picture.png URL")
        return Payload(await files[0].read())


async def _options(request: Request) -> dict[str, Any]:
    body = await request.body()
    value = protocol_json.parse(body).value if body else {}
    if not isinstance(value, dict):
        raise InputError(f"the body is {protocol_json.kind(value)}, expected an object or nothing")
    return value


def _dataplane(request: Request) -> DataPlane:
    dataplane: DataPlane = request.app.state.dataplane
    return dataplane


def _target(request: Request) -> tuple[str, str | None]:
    return request.path_params.get("name", ""), request.path_params.get("version")


def _json(content: Any, status: int = 200, *, headers: dict[str, str] | None = None) -> Response:
    return Response(protocol_json.write(content), status, headers, media_type="application/json")


def _wire(wire: Wire) -> Response:
    body = wire.body[0] if len(wire.body) == 1 else b"".join(wire.body)
    return Response(body, wire.status, dict(wire.headers))


async def _known(_: Request, error: Exception) -> Response:
    assert isinstance(error, OnnxwayError)
    return _wire(known_error(error))


async def _http(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return _json({"error": error.detail}, error.status_code, headers=dict(error.headers or {}))


async def _unknown(_: Request, error: Exception) -> Response:
    return _json({"error": INTERNAL}, 500)


class _BodyLimit:
    """Refuses bodies over a limit: by their stated length at once, else as soon as more has come."""

    def __init__(self, app: ASGIApp, max_body: int) -> None:
        self._app = app
        self._max = max_body

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        stated = dict(scope["headers"]).get(b"content-length", b"")
        if stated.isdigit() and int(stated[:20]) > self._max:
            await (await _known(Request(scope), self._error()))(scope, receive, send)
            return
        received = 0

        async def counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > self._max:
                raise self._error()
            return message

        await self._app(scope, counted, send)

    def _error(self) -> TooLargeError:
        return TooLargeError(f"the body is over {self._max} bytes, which is the limit; send a smaller one")
