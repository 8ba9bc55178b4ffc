"""The data plane over HTTP: Open Inference Protocol v2 in JSON, and pictures as they are on `/predict`.

GET  /v2                                    server metadata
GET  /v2/health/live, /v2/health/ready
GET  /v2/models/{m}[/versions/{v}]          model metadata; .../ready
POST /v2/models/{m}[/versions/{v}]/infer    tensors in JSON
POST /v2/models/{m}[/versions/{v}]/predict  the bytes of a picture, or a form with one file; /predict for the only model

Every error is `{"error": "..."}` with the status of its class (`deploy.errors`).
"""

import json
import sys
import time
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

from deploy.errors import InputError, OnnxwayError, TooLargeError, UnsupportedError
from deploy.server.dataplane import DataPlane

MAX_BODY = 64 * 2**20
DIGEST_HEADER = "Model-Digest"


def create_app(dataplane: DataPlane, *, max_body: int = MAX_BODY, access_log: bool = False) -> Starlette:
    """Return the ASGI application; it closes the data plane when it shuts down.

    max_body      bytes in a request's body; more is answered with 413
    access_log    a line on stderr for each request: method, path, status, milliseconds
    """

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        dataplane.close()

    middleware = [Middleware(_AccessLog)] if access_log else []
    app = Starlette(
        routes=_routes(),
        middleware=[*middleware, Middleware(_BodyLimit, max_body=max_body)],
        exception_handlers={OnnxwayError: _known, HTTPException: _http, Exception: _unknown},
        lifespan=lifespan,
    )
    app.state.dataplane = dataplane
    return app


def _routes() -> list[Route]:
    routes = [
        Route("/v2", _server_metadata),
        Route("/v2/health/live", _live),
        Route("/v2/health/ready", _ready),
        Route("/predict", _predict, methods=["POST"]),
    ]
    for model in ("/v2/models/{name}", "/v2/models/{name}/versions/{version}"):
        routes += [
            Route(model, _model_metadata),
            Route(f"{model}/ready", _model_ready),
            Route(f"{model}/infer", _infer, methods=["POST"]),
            Route(f"{model}/predict", _predict, methods=["POST"]),
        ]
    return routes


async def _server_metadata(request: Request) -> Response:
    return _json(_dataplane(request).metadata())


async def _live(_: Request) -> Response:
    return _json({"live": True})


async def _ready(request: Request) -> Response:
    ready = _dataplane(request).ready()
    return _json({"ready": ready}, 200 if ready else 503)


async def _model_metadata(request: Request) -> Response:
    answer = _dataplane(request).model_metadata(*_target(request))
    return _json(answer, digest=answer["parameters"]["digest"])


async def _model_ready(request: Request) -> Response:
    info = _dataplane(request).model(*_target(request)).predictor.info
    return _json({"name": info.name, "ready": True}, digest=info.digest)


async def _infer(request: Request) -> Response:
    name, version = _target(request)
    digest = _dataplane(request).model(name, version).predictor.info.digest
    if "inference-header-content-length" in request.headers:
        raise UnsupportedError("binary tensors are not supported; send the tensors as JSON (binary_data=False)")
    _require_identity(request)
    body = await request.body()
    return _json(await _dataplane(request).infer(_parse(body), name, version), digest=digest)


async def _predict(request: Request) -> Response:
    name, version = request.path_params.get("name"), request.path_params.get("version")
    digest = _dataplane(request).model(name, version).predictor.info.digest
    _require_identity(request)
    payload = await _payload(request)
    return _json(await _dataplane(request).predict(payload, name, version), digest=digest)


async def _payload(request: Request) -> bytes:
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type == "application/json":
        raise HTTPException(415, "Content-Type application/json: send the bytes of a picture, or tensors to .../infer")
    if content_type != "multipart/form-data":  # a picture is known by its bytes, whatever its header says
        body = await request.body()
        if not body:
            raise InputError("the body is empty; send the bytes of a picture: curl --data-binary @picture.png URL")
        return body
    async with request.form(max_files=1, max_fields=16) as form:
        files = [part for part in form.values() if isinstance(part, UploadFile)]
        if len(files) != 1:
            raise InputError("the form holds no file; send one: curl -F file=@picture.png URL")
        return await files[0].read()


def _parse(body: bytes) -> Any:
    try:
        return json.loads(body)
    except RecursionError:
        raise InputError("the body is nested too deeply") from None
    except ValueError as error:  # JSONDecodeError, UnicodeDecodeError, a number of too many digits
        raise InputError(f"the body is not JSON: {error}") from None


def _require_identity(request: Request) -> None:
    encoding = request.headers.get("content-encoding", "identity")
    if encoding.lower() != "identity":
        raise HTTPException(415, f"Content-Encoding {encoding[:40]!r}: not supported; send the body uncompressed")


def _dataplane(request: Request) -> DataPlane:
    dataplane: DataPlane = request.app.state.dataplane
    return dataplane


def _target(request: Request) -> tuple[str, str | None]:
    return request.path_params["name"], request.path_params.get("version")


def _json(content: Any, status: int = 200, *, digest: str = "", headers: dict[str, str] | None = None) -> Response:
    headers = dict(headers or {}) | ({DIGEST_HEADER: digest} if digest else {})
    return Response(json.dumps(content, separators=(",", ":")), status, headers, media_type="application/json")


async def _known(_: Request, error: Exception) -> Response:
    assert isinstance(error, OnnxwayError)
    return _json({"error": str(error)}, error.status)


async def _http(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return _json({"error": error.detail}, error.status_code, headers=dict(error.headers or {}))


async def _unknown(_: Request, error: Exception) -> Response:
    return _json({"error": "internal error; the server's log has the cause"}, 500)


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
        if stated.isdigit() and int(stated) > self._max:
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


class _AccessLog:
    """Writes a line for each request on stderr; the path as it came, percent-encoded, so that no line can be forged."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status, began = 500, time.perf_counter()

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, watched)
        finally:
            path = scope.get("raw_path", b"").decode("ascii", "replace")
            print(
                f"{scope['method']} {path} {status} {(time.perf_counter() - began) * 1e3:.1f} ms",
                file=sys.stderr,
                flush=True,
            )
