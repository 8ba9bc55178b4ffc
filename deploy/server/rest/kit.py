"""What all routes share: the application around them, its errors, and requests to values and back."""

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any
from urllib.parse import quote

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from deploy.errors import InputError, OnnxwayError, TooLargeError
from deploy.server.dataplane import INTERNAL, MAX_BODY, DataPlane
from deploy.server.processes.peers import Peers
from deploy.server.protocol import json_text
from deploy.server.protocol.over_http import known_error
from deploy.server.wire import Wire

Life = Callable[[Starlette], AbstractAsyncContextManager[None]]


def application(
    dataplane: DataPlane,
    routes: Sequence[Route],
    *,
    max_body: int = MAX_BODY,
    lifespan: Life | None = None,
    peers: Peers | None = None,
) -> Starlette:
    """Return an ASGI application of routes on a data plane, that answers errors as the protocol has them.

    max_body    bytes in a request's body; more is answered with 413
    peers       other processes, which do what changes the server too
    """
    app = Starlette(
        routes=routes,
        middleware=[Middleware(_BodyLimit, max_body=max_body)],
        exception_handlers={OnnxwayError: _known, HTTPException: _http, Exception: _unknown},
        lifespan=lifespan,
    )
    app.state.dataplane, app.state.peers = dataplane, peers
    return app


async def read_options(request: Request) -> dict[str, Any]:
    """Return the JSON object in the body of a request; an empty body is an empty one."""
    body = await request.body()
    value = json_text.parse(body).value if body else {}
    if not isinstance(value, dict):
        raise InputError(f"the body is {json_text.kind(value)}, expected an object or nothing")
    return value


def dataplane_of(request: Request) -> DataPlane:
    """Return what the application serves."""
    dataplane: DataPlane = request.app.state.dataplane
    return dataplane


async def tell_peers(request: Request) -> None:
    """Have the other processes do what was done here."""
    peers: Peers | None = request.app.state.peers
    if peers is not None:
        await peers.tell(request.method, quote(request.url.path), await request.body())


def target_of(request: Request) -> tuple[str, str | None]:
    """Return the model and the version that the path names."""
    return request.path_params.get("name", ""), request.path_params.get("version")


def json_response(content: Any, status: int = 200, *, headers: dict[str, str] | None = None) -> Response:
    """Return an answer in JSON."""
    return Response(json_text.write(content), status, headers, media_type="application/json")


def wire_response(wire: Wire) -> Response:
    """Return an answer that is made already."""
    body = wire.body[0] if len(wire.body) == 1 else b"".join(wire.body)
    return Response(body, wire.status, dict(wire.headers))


async def _known(_: Request, error: Exception) -> Response:
    assert isinstance(error, OnnxwayError)
    return wire_response(known_error(error))


async def _http(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return json_response({"error": error.detail}, error.status_code, headers=dict(error.headers or {}))


async def _unknown(_: Request, error: Exception) -> Response:
    return json_response({"error": INTERNAL}, 500)


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
