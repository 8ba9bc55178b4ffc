"""OpenTelemetry spans of inference requests, where an application or the environment has set it up.

It is set up when a tracer provider was (by the application, or by `opentelemetry-instrument`), or when the variable
OTEL_TRACES_EXPORTER names an exporter that is installed, such as otlp or console; its other variables are the SDK's
(https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/). Else nothing of it is imported.

Spans are made after the answer, from the times that are taken anyway: a server span, whose parent is the request's
`traceparent` (W3C), and below it decode, queue, compute and encode. Names of attributes are OpenTelemetry's for HTTP
and RPC; those that begin with `onnxway.` are this server's.
"""

import os
import sys
import time
from collections.abc import Callable, Mapping
from importlib import import_module, metadata
from typing import TYPE_CHECKING, Any

from deploy.errors import UsageError
from deploy.server.http.request import Request
from deploy.server.statistics import Timing

if TYPE_CHECKING:
    from opentelemetry.trace import Tracer

VARIABLE = "OTEL_TRACES_EXPORTER"
SERVICE = "inference.GRPCInferenceService"


def tracer(environment: Mapping[str, str] = os.environ) -> "Tracer | None":
    """Return where spans go; None when OpenTelemetry is not set up. `UsageError` for an exporter that is not there."""
    exporter = environment.get(VARIABLE, "").strip()
    provided = _provided()
    if not provided and exporter not in ("", "none"):
        _provide(exporter)
        provided = True
    if not provided or environment.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return None
    found: Tracer = import_module("opentelemetry.trace").get_tracer("onnxway", metadata.version("onnxway"))
    return found


class HttpTrace:
    """Makes the spans of requests over HTTP, as an observer of the front."""

    def __init__(self, tracer: "Tracer") -> None:
        self._tracer = tracer

    def add(self, request: Request, client: str, status: int, sent: int) -> None:
        """Make the spans of a request that was answered, if it was one for inference."""
        timing = request.timing
        if timing is None:
            return
        route = _route(request.path, timing)
        attributes: dict[str, str | int] = {
            "http.request.method": request.method,
            "http.route": route,
            "url.path": request.path,
            "client.address": client,
            "http.response.status_code": status,
            "http.request.body.size": request.body.total,
            "http.response.body.size": sent,
        }
        began = request.started_at or timing.began
        record(self._tracer, f"{request.method} {route}", began, timing, request.headers or {}, attributes, status)


def record(
    tracer: "Tracer",
    name: str,
    began: float,
    timing: Timing,
    carrier: Mapping[str, str],
    attributes: Mapping[str, str | int],
    status: int,
) -> None:
    """Make a server span that ends now, and its children.

    began      of the server span, as `time.perf_counter` has it
    carrier    headers by lower-case names, in which the parent is looked for
    status     HTTP's; 500 and above is an error
    """
    trace, context = import_module("opentelemetry.trace"), import_module("opentelemetry.propagate").extract(carrier)
    clock = _Clock()
    span = tracer.start_span(
        name, context, trace.SpanKind.SERVER, {**attributes, **_model(timing)}, start_time=clock.precise(began)
    )
    if span.is_recording():
        if status >= 500:
            span.set_status(trace.StatusCode.ERROR)
        parent = trace.set_span_in_context(span, context)
        for stage, start, end in _stages(timing, clock):
            tracer.start_span(stage, parent, start_time=start).end(end)
    span.end(clock.now_ns)


def _provided() -> bool:
    """Tell whether somebody has set a tracer provider: who has, has imported the module."""
    trace: Any = sys.modules.get("opentelemetry.trace")
    return trace is not None and not isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider)


def _provide(exporter: str) -> None:
    points = {point.name: point for point in metadata.entry_points(group="opentelemetry_traces_exporter")}
    name = "otlp_proto_grpc" if exporter == "otlp" and "otlp" not in points else exporter
    if name not in points:
        there = ", ".join(sorted(points)) or "none: pip install opentelemetry-sdk opentelemetry-exporter-otlp"
        raise UsageError(
            f"{VARIABLE}={exporter[:40]}: no such exporter of OpenTelemetry is installed; there is {there}"
        )
    sdk, export = import_module("opentelemetry.sdk.trace"), import_module("opentelemetry.sdk.trace.export")
    resource = import_module("opentelemetry.sdk.resources").Resource.create(
        {"service.name": os.environ.get("OTEL_SERVICE_NAME", "onnxway")}
    )
    provider = sdk.TracerProvider(resource=resource)
    provider.add_span_processor(export.BatchSpanProcessor(points[name].load()()))
    import_module("opentelemetry.trace").set_tracer_provider(provider)


class _Clock:
    """Times of two clocks as nanoseconds since 1970, by what all of them say at one moment."""

    def __init__(self) -> None:
        self.now_ns = time.time_ns()
        self._precise, self._monotonic = time.perf_counter(), time.monotonic()

    def precise(self, at: float) -> int:
        """Return a time of `time.perf_counter`."""
        return self.now_ns - int((self._precise - at) * 1e9)

    def monotonic(self, at: float) -> int:
        """Return a time of `time.monotonic`."""
        return self.now_ns - int((self._monotonic - at) * 1e9)


def _stages(timing: Timing, clock: _Clock) -> list[tuple[str, int, int]]:
    """Return name, start and end of what a request went through; `compute` ends with the last of its runs."""
    laps, passage = timing.laps, timing.passage
    decoded = timing.began + laps.get("decode", 0.0)
    inferred = decoded + laps.get("infer", 0.0)
    stages = []
    if "decode" in laps:
        stages.append(("decode", clock.precise(timing.began), clock.precise(decoded)))
    if passage.batch_rows:
        stages.append(("queue", clock.monotonic(passage.arrived), clock.monotonic(passage.began)))
        stages.append(("compute", clock.monotonic(passage.began), clock.monotonic(passage.ended)))
    elif "infer" in laps:
        stages.append(("compute", clock.precise(decoded), clock.precise(inferred)))
    if "encode" in laps:
        stages.append(("encode", clock.precise(inferred), clock.precise(inferred + laps["encode"])))
    return stages


def _model(timing: Timing) -> dict[str, str | int]:
    info = timing.info
    if info is None:
        return {}
    return {
        "onnxway.model.name": info.name,
        "onnxway.model.version": info.version,
        "onnxway.model.digest": info.digest,
        "onnxway.rows": timing.rows,
        "onnxway.batch_rows": timing.passage.batch_rows,
        "onnxway.runs": timing.passage.runs,
    }


def _route(path: str, timing: Timing) -> str:
    """Return the path with places for what differs between models: few names of spans, whatever clients ask for."""
    end = path.rpartition("/")[2]
    if not path.startswith("/v2/models/"):
        return path
    return f"/v2/models/{{model}}/versions/{{version}}/{end}" if "/versions/" in path else f"/v2/models/{{model}}/{end}"


def grpc_trace(tracer: "Tracer") -> "Callable[[Timing, Any, int], None]":
    """Return what makes the spans of calls over gRPC."""

    def trace(timing: Timing, context: Any, status: int) -> None:
        carrier = {name: value for name, value in context.invocation_metadata() or () if isinstance(value, str)}
        attributes: dict[str, str | int] = {"rpc.system": "grpc", "rpc.service": SERVICE, "rpc.method": "ModelInfer"}
        record(tracer, f"{SERVICE}/ModelInfer", timing.began, timing, carrier, attributes, status)

    return trace
