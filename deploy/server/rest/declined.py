"""The paths of what is not spoken here: an answer in words, where 404 would be a riddle."""

from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from deploy.server.protocol.declined import declined

_PATHS = {
    "/v2/systemsharedmemory/{rest:path}": "shared memory",
    "/v2/cudasharedmemory/{rest:path}": "shared memory",
    "/v2/trace/setting": "tracing",
    "/v2/models/{name}/trace/setting": "tracing",
    "/v2/logging": "logging",
}


def declined_routes() -> list[Route]:
    """Return the routes that answer 501."""
    return [Route(path, _declining(what), methods=["GET", "POST"]) for path, what in _PATHS.items()]


def _declining(what: str) -> Callable[[Request], Awaitable[Response]]:
    async def decline(_: Request) -> Response:
        raise declined(what)

    return decline
