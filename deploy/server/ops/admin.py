"""The admin port: load and unload, metrics, the log's level, for whoever has the token.

GET  /metrics                                 where it is not on the public port
GET, PUT /log-level                           {"level": "INFO"} of what the server says on stderr
POST /v2/repository/index, /v2/repository/models/{m}/load, /unload
"""

import logging
import ssl
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from deploy.errors import InputError
from deploy.server.http.answer import refusal
from deploy.server.http.front import Front
from deploy.server.http.limits import Limits
from deploy.server.ops.access import TokenGuard
from deploy.server.processes.peers import Peers
from deploy.server.rest.control import control_routes, metrics_routes
from deploy.server.rest.kit import application, json_response, read_options, tell_peers
from deploy.server.sockets import listen, url
from deploy.server.wire import Wire

if TYPE_CHECKING:
    from deploy.server.dataplane import DataPlane

LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")

_LIMITS = Limits(body=64 * 1024, connections=64)
_logger = logging.getLogger("deploy")


class AdminServer:
    """The admin port as a companion of the public one; port 0 takes a free one, `where` says which after `start`."""

    def __init__(
        self,
        dataplane: "DataPlane",
        token: str,
        *,
        host: str,
        port: int,
        tls: ssl.SSLContext | None = None,
        metrics: bool = True,
        peers: Peers | None = None,
    ) -> None:
        self._listener = listen(host, port, "--admin-port", shared=peers is not None)
        self.where = f"admin on {url(self._listener, tls is not None)}"
        self._front = Front(
            _no_inference,
            admin_app(dataplane, metrics=metrics, peers=peers),
            limits=_LIMITS,
            access_log=True,
            tls=tls,
            guard=TokenGuard(token),
        )

    async def start(self) -> None:
        """Begin to answer."""
        await self._front.start(self._listener)

    async def stop(self, grace: float) -> None:
        """Answer what has come within `grace` seconds, and end."""
        await self._front.drain(grace)
        await self._front.close()


def admin_app(dataplane: "DataPlane", *, metrics: bool = True, peers: Peers | None = None) -> Starlette:
    """Return the application; the `peers` do what changes the server too."""
    log_level = Route("/log-level", _log_level, methods=["GET", "PUT"])
    return application(dataplane, [*control_routes(), *(metrics_routes() if metrics else ()), log_level], peers=peers)


async def _log_level(request: Request) -> Response:
    if request.method == "PUT":
        options = await read_options(request)
        level = options.get("level")
        if level not in LEVELS:
            raise InputError(f"level: got {str(level)[:40]!r}, expected one of {', '.join(LEVELS)}")
        _logger.setLevel(level)
        await tell_peers(request)
    return json_response({"level": logging.getLevelName(_logger.getEffectiveLevel())})


async def _no_inference(*_: Any) -> Wire:
    return refusal(404, "this is the admin port; inference is on the other one")
