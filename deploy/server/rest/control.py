"""What changes the server or looks into it: on the public port, or on the admin port alone.

GET  /metrics                                   for Prometheus
POST /v2/repository/index                       what is served and what could be
POST /v2/repository/models/{m}/load, /unload    where the server was given a repository
"""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from deploy.errors import ForbiddenError, InputError
from deploy.server.ops import metrics
from deploy.server.ops.access import FORBIDDEN
from deploy.server.ops.exposition import CONTENT_TYPE
from deploy.server.protocol import json_text
from deploy.server.rest.kit import dataplane_of, json_response, read_options, tell_peers

_MODEL = "/v2/repository/models/{name}"


def control_routes() -> list[Route]:
    """Return the routes that load and unload."""
    return [
        Route("/v2/repository/index", _index, methods=["POST"]),
        Route(f"{_MODEL}/load", _load, methods=["POST"]),
        Route(f"{_MODEL}/unload", _unload, methods=["POST"]),
    ]


def forbidden_routes() -> list[Route]:
    """Return the same for a port where nothing may be changed: the index is answered, the others say where to go."""
    return [
        Route("/v2/repository/index", _index, methods=["POST"]),
        Route(f"{_MODEL}/load", _forbidden, methods=["POST"]),
        Route(f"{_MODEL}/unload", _forbidden, methods=["POST"]),
    ]


def metrics_routes() -> list[Route]:
    """Return the route of the metrics."""
    return [Route("/metrics", _metrics)]


async def _metrics(request: Request) -> Response:
    page, peers = await metrics.scrape(dataplane_of(request)), request.app.state.peers
    if peers is not None:
        page = await peers.metrics(page)
    return Response(page, headers={"Content-Type": CONTENT_TYPE})


async def _forbidden(_: Request) -> Response:
    raise ForbiddenError(FORBIDDEN)


async def _index(request: Request) -> Response:
    ready = (await read_options(request)).get("ready", False)
    if not isinstance(ready, bool):
        raise InputError(f"ready: got {json_text.kind(ready)}, expected true or false")
    return json_response(await dataplane_of(request).index(ready=ready))


async def _load(request: Request) -> Response:
    parameters = (await read_options(request)).get("parameters")
    await dataplane_of(request).load(request.path_params["name"], parameters)
    await tell_peers(request)
    return json_response({})


async def _unload(request: Request) -> Response:
    await read_options(request)
    await dataplane_of(request).unload(request.path_params["name"])
    await tell_peers(request)
    return json_response({})
