"""The data plane over HTTP: Open Inference Protocol v2 with Triton's extensions, and samples as they are.

GET  /                                          a page to try the models with;  /openapi.json
GET  /v2                                        server metadata
GET  /v2/health/live, /v2/health/ready
GET  /v2/models/{m}[/versions/{v}]              model metadata;  .../ready, .../config, .../stats
GET  /v2/models/stats                           statistics of all models
POST /v2/models/{m}[/versions/{v}]/infer        tensors in JSON, in bytes behind the JSON, or in bytes alone
POST /v2/models/{m}[/versions/{v}]/predict      the bytes of a file, a form with one file, or JSON in the input's
                                                natural form;  /predict for the only model
and /metrics and /v2/repository as `rest_control` has them.

Every error is `{"error": "..."}` with the status of its class (`deploy.errors`).
"""

from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager

from starlette.applications import Starlette
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from deploy.errors import InputError, MediaTypeError
from deploy.server.dataplane import MAX_BODY, DataPlane
from deploy.server.http.asgi import EXTENSION
from deploy.server.processes.peers import Peers
from deploy.server.protocol.over_http import DIGEST_HEADER
from deploy.server.rest import openapi, page
from deploy.server.rest.control import control_routes, forbidden_routes, metrics_routes
from deploy.server.rest.declined import declined_routes
from deploy.server.rest.kit import application, dataplane_of, json_response, target_of, wire_response
from deploy.server.rest.openapi import Shown

__all__ = ["MAX_BODY", "create_app"]


def create_app(
    dataplane: DataPlane,
    *,
    max_body: int = MAX_BODY,
    control: bool = True,
    metrics: bool = True,
    keys: bool = False,
    peers: Peers | None = None,
) -> Starlette:
    """Return the ASGI application; it closes the data plane when it shuts down.

    max_body    bytes in a request's body; more is answered with 413
    control     models may be loaded and unloaded here; else it says that they may not
    metrics     /metrics is answered
    keys        requests need a key, which somebody else checks
    peers       other processes of the same server
    """

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        dataplane.close()

    routes = [
        *_routes(),
        *declined_routes(),
        *(control_routes() if control else forbidden_routes()),
        *(metrics_routes() if metrics else ()),
    ]
    app = application(dataplane, routes, max_body=max_body, lifespan=lifespan, peers=peers)
    app.state.shown = Shown(control=control, metrics=metrics, keys=keys)
    return app


def _routes() -> list[Route]:
    routes = [
        Route("/", _page),
        Route("/openapi.json", _openapi),
        Route("/v2", _server_metadata),
        Route("/v2/health/live", _live),
        Route("/v2/health/ready", _ready),
        Route("/v2/models/stats", _statistics),
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
    return json_response(openapi.document(dataplane_of(request), request.app.state.shown))


async def _server_metadata(request: Request) -> Response:
    return json_response(dataplane_of(request).metadata())


async def _live(_: Request) -> Response:
    return json_response({"live": True})


async def _ready(request: Request) -> Response:
    ready = dataplane_of(request).ready()
    return json_response({"live": True, "ready": ready}, 200 if ready else 503)


async def _model_metadata(request: Request) -> Response:
    answer = dataplane_of(request).model_metadata(*target_of(request))
    return json_response(answer, headers={DIGEST_HEADER: answer["parameters"]["digest"]})


async def _model_ready(request: Request) -> Response:
    info = dataplane_of(request).model(*target_of(request)).predictor.info
    ready = dataplane_of(request).model_ready(*target_of(request))
    return json_response(
        {"name": info.name, "ready": ready}, 200 if ready else 503, headers={DIGEST_HEADER: info.digest}
    )


async def _model_config(request: Request) -> Response:
    return json_response(dataplane_of(request).model_config(*target_of(request)))


async def _statistics(request: Request) -> Response:
    return json_response(dataplane_of(request).statistics(*target_of(request)))


async def _infer(request: Request) -> Response:
    name, version = request.path_params["name"], request.path_params.get("version")
    body = await request.body()
    return wire_response(await dataplane_of(request).infer_wire(name, version, _headers(request), body))


async def _predict(request: Request) -> Response:
    dataplane = dataplane_of(request)
    name, version = request.path_params.get("name"), request.path_params.get("version")
    dataplane.model(name, version)  # before the body is read
    headers = _headers(request)
    if headers.get("content-type", "").partition(";")[0].strip().lower() != "multipart/form-data":
        body = await request.body()
    else:
        encoding = headers.get("content-encoding", "")
        if encoding.lower() not in ("", "identity"):
            raise MediaTypeError(f"Content-Encoding {encoding[:40]!r}: not supported for forms; send it uncompressed")
        body = await _form_file(request)
    wire = await dataplane.predict_wire(name, version, headers, body)
    if front := request.scope.get("extensions", {}).get(EXTENSION):
        front["request"].timing = wire.timing
    return wire_response(wire)


def _headers(request: Request) -> dict[str, str]:
    """Return headers as HTTP reads one that comes several times: as one list; dict() would keep the last."""
    return {key: ", ".join(request.headers.getlist(key)) for key in request.headers}


async def _form_file(request: Request) -> bytes:
    """Return the one file of a form, read into memory: `request.form` would use a disk, which may be read-only."""
    async with aclosing(request.stream()) as stream:
        parser = MultiPartParser(request.headers, stream, max_files=1, max_fields=16)
        parser.spool_max_size = dataplane_of(request).bounds.body
        try:
            form = await parser.parse()
        except MultiPartException as error:
            raise InputError(f"the form: {error.message} Send it as curl -F file=@FILE URL does") from None
    try:
        files = [part for part in form.values() if isinstance(part, UploadFile)]
        if len(files) != 1:
            raise InputError("the form holds no file; send one: curl -F file=@FILE URL")
        return await files[0].read()
    finally:
        await form.close()
