"""From options to servers: the front, and what stands beside it."""

import os
import ssl
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from deploy.server.dataplane import DataPlane
from deploy.server.http.front import Front
from deploy.server.http.house import Observer
from deploy.server.http.limits import Limits
from deploy.server.ops import tracing
from deploy.server.ops.access import ApiKeys, KeyGuard, read_token
from deploy.server.options import TOKEN_VARIABLE, ServerOptions
from deploy.server.processes.peers import Member, Peers, PeerServer
from deploy.server.rest.app import create_app

if TYPE_CHECKING:
    from opentelemetry.trace import Tracer


class Companion(Protocol):
    """Another server on the same data plane and event loop, such as gRPC."""

    async def start(self) -> None:
        """Begin to answer."""

    async def stop(self, grace: float) -> None:
        """Take no more, answer what has come within `grace` seconds."""


@runtime_checkable
class Addressed(Protocol):
    """A companion with an address of its own: `where` says in words which, once it has started."""

    @property
    def where(self) -> str:
        """Return what to print."""


def assemble(
    dataplane: DataPlane, options: ServerOptions, member: Member | None = None
) -> tuple[Front, list[Companion]]:
    """Return the front of a data plane and its companions, not started; `OnnxwayError` for what cannot be had."""
    peers = None if member is None else member.peers
    tls = None
    if options.tls_cert is not None:
        from deploy.server.ops.tls import server_context

        tls = server_context(options.tls_cert, options.tls_key)
    keys = ApiKeys(options.api_keys) if options.api_keys is not None else None
    if keys is not None:
        dataplane.pages.append(keys.show)
    tracer = tracing.tracer()
    observers: list[Observer] = [tracing.HttpTrace(tracer)] if tracer is not None else []
    front = Front(
        dataplane.infer_wire,
        create_app(
            dataplane,
            max_body=options.max_body,
            control=options.admin_port is None,
            metrics=options.metrics == "public",
            keys=keys is not None,
            peers=peers,
        ),
        predict=dataplane.predict_wire,
        limits=_limits(options),
        access_log=options.access_log,
        tls=tls,
        guard=KeyGuard(keys) if keys is not None else None,
        observers=observers,
    )
    companions: list[Companion] = []
    if options.grpc_port is not None:
        companions.append(_grpc(dataplane, options, options.grpc_port, keys, tracer, shared=peers is not None))
    if options.admin_port is not None:
        companions.append(_admin(dataplane, options, options.admin_port, tls, peers))
    if peers is not None:
        from deploy.server.ops.admin import admin_app

        companions.append(PeerServer(admin_app(dataplane), peers.own))
    return front, companions


def _limits(options: ServerOptions) -> Limits:
    buffered = max(Limits().buffered, options.max_body)
    return Limits(body=options.max_body, buffered=buffered, connections=options.max_connections)


def _grpc(
    dataplane: DataPlane,
    options: ServerOptions,
    port: int,
    keys: ApiKeys | None,
    tracer: "Tracer | None",
    *,
    shared: bool,
) -> Companion:
    from deploy.server.rpc.server import GrpcServer

    credentials = None
    if options.tls_cert is not None:
        from deploy.server.ops.tls import grpc_credentials

        credentials = grpc_credentials(options.tls_cert, options.tls_key)
    return GrpcServer(
        dataplane,
        host=options.host,
        port=port,
        credentials=credentials,
        keys=keys,
        control=options.admin_port is None,
        trace=tracing.grpc_trace(tracer) if tracer is not None else None,
        shared=shared,
    )


def _admin(
    dataplane: DataPlane, options: ServerOptions, port: int, tls: ssl.SSLContext | None, peers: Peers | None
) -> Companion:
    from deploy.server.ops.admin import AdminServer

    token = read_token(options.admin_token_file, TOKEN_VARIABLE, os.environ)
    return AdminServer(
        dataplane, token, host=options.admin_host, port=port, tls=tls, metrics=options.metrics == "admin", peers=peers
    )
