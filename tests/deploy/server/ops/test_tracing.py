import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("starlette", reason="needs the extra 'serve'")
pytest.importorskip("httptools", reason="needs the extra 'serve'")
pytest.importorskip("opentelemetry.sdk", reason="needs OpenTelemetry's SDK")

from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import SpanKind, StatusCode

from deploy.errors import UsageError
from deploy.server.ops import tracing
from deploy.server.options import ServerOptions
from tests.deploy.server.ops.kit import Running, ask, running, tensor_body, warm

INFER = "/v2/models/colours/infer"
TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = f"00-{TRACE}-b7ad6b7169203331-01"
STAGES = ["decode", "queue", "compute", "encode"]


@pytest.fixture(scope="module")
def exporter() -> InMemorySpanExporter:
    """Where spans go: OpenTelemetry takes one provider in the life of a process."""
    memory = InMemorySpanExporter()
    provider = TracerProvider(sampler=ParentBased(TraceIdRatioBased(1.0)))
    provider.add_span_processor(SimpleSpanProcessor(memory))
    trace.set_tracer_provider(provider)
    return memory


@pytest.fixture(scope="module")
def traced(exporter: InMemorySpanExporter, colours: Path) -> Iterator[Running]:
    pytest.importorskip("grpc", reason="needs the extra 'grpc'")
    with running(ServerOptions(grpc_port=0, access_log=False), warm(colours)) as found:
        yield found


@pytest.fixture(autouse=True)
def _empty(exporter: InMemorySpanExporter) -> None:
    exporter.clear()


def spans(exporter: InMemorySpanExporter) -> tuple[ReadableSpan, dict[str, ReadableSpan]]:
    """Return the server span, once it is there, and its children."""
    until = time.monotonic() + 10
    while True:
        found = {one.name: one for one in exporter.get_finished_spans()}
        servers = [one for one in found.values() if one.kind is SpanKind.SERVER]
        if servers:
            break
        assert time.monotonic() < until, "no span came"
        time.sleep(0.001)
    del found[servers[0].name]
    for child in found.values():
        assert child.parent is not None
        assert child.parent.span_id == servers[0].context.span_id
    return servers[0], found


def assert_nested(server: ReadableSpan, children: dict[str, ReadableSpan]) -> None:
    """One after another within the server span, give or take what two clocks differ."""
    assert [*children] == STAGES
    at = server.start_time
    for child in children.values():
        assert child.start_time >= at - 50_000
        assert child.end_time >= child.start_time
        at = child.end_time
    assert server.end_time >= at - 50_000
    assert abs(server.end_time - time.time_ns()) < 60e9


@pytest.mark.parametrize(("path", "route"), [(INFER, "/v2/models/{model}/infer"), ("/predict", "/predict")])
def test_a_request_becomes_a_span_with_its_stages(
    traced: Running, exporter: InMemorySpanExporter, blue_png: bytes, path: str, route: str
) -> None:
    body = blue_png if path == "/predict" else tensor_body(2)
    assert ask(traced.url + path, body, traceparent=PARENT).status == 200
    server, children = spans(exporter)
    assert server.name == f"POST {route}"
    assert f"{server.context.trace_id:032x}" == TRACE
    assert server.parent is not None
    assert f"{server.parent.span_id:016x}" == "b7ad6b7169203331"
    found: dict[str, Any] = dict(server.attributes or {})
    assert (found["http.response.status_code"], found["http.route"]) == (200, route)
    assert (found["onnxway.model.name"], found["onnxway.model.version"]) == ("colours", "1")
    assert found["onnxway.batch_rows"] == found["onnxway.rows"] == (1 if path == "/predict" else 2)
    assert_nested(server, children)


def test_without_a_parent_it_is_the_root(traced: Running, exporter: InMemorySpanExporter) -> None:
    assert ask(traced.url + INFER, tensor_body()).status == 200
    assert spans(exporter)[0].parent is None


def test_a_parent_that_is_not_sampled_is_obeyed(traced: Running, exporter: InMemorySpanExporter) -> None:
    assert ask(traced.url + INFER, tensor_body(), traceparent=f"{PARENT[:-1]}0").status == 200
    assert ask(traced.url + INFER, tensor_body(), traceparent=PARENT).status == 200
    spans(exporter)
    assert {f"{one.context.trace_id:032x}" for one in exporter.get_finished_spans()} == {TRACE}
    assert len(exporter.get_finished_spans()) == 1 + len(STAGES)


def test_errors_of_clients_are_no_errors_of_the_server(traced: Running, exporter: InMemorySpanExporter) -> None:
    assert ask(traced.url + INFER, b"{").status == 400
    server, children = spans(exporter)
    assert (server.attributes or {})["http.response.status_code"] == 400
    assert server.status.status_code is StatusCode.UNSET
    assert not children


def test_errors_of_the_server_are(
    traced: Running, exporter: InMemorySpanExporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("deploy.server.protocol.over_http.write", fail)
    assert ask(traced.url + INFER, tensor_body()).status == 500
    server, children = spans(exporter)
    assert server.status.status_code is StatusCode.ERROR
    assert [*children] == STAGES[:3]


def test_what_is_no_inference_has_none(traced: Running, exporter: InMemorySpanExporter) -> None:
    assert ask(traced.url + "/v2").status == 200
    assert ask(traced.url + INFER, tensor_body()).status == 200
    spans(exporter)
    assert sum(one.kind is SpanKind.SERVER for one in exporter.get_finished_spans()) == 1


def test_names_do_not_grow_with_what_is_asked(traced: Running, exporter: InMemorySpanExporter) -> None:
    assert ask(traced.url + "/v2/models/any/versions/7/infer", tensor_body()).status == 404
    assert spans(exporter)[0].name == "POST /v2/models/{model}/versions/{version}/infer"


def test_grpc_too(traced: Running, exporter: InMemorySpanExporter) -> None:
    client_module = pytest.importorskip("tritonclient.grpc", reason="needs tritonclient[grpc]")
    tensor = client_module.InferInput("image", [1, 4, 4, 3], "UINT8")
    tensor.set_data_from_numpy(np.zeros((1, 4, 4, 3), np.uint8))
    with client_module.InferenceServerClient(traced.grpc) as client:
        client.infer("colours", [tensor], headers={"traceparent": PARENT})
        server, children = spans(exporter)
        assert server.name == "inference.GRPCInferenceService/ModelInfer"
        assert f"{server.context.trace_id:032x}" == TRACE
        assert_nested(server, children)
        exporter.clear()
        with pytest.raises(client_module.InferenceServerException):
            client.infer("none", [tensor])
        assert not spans(exporter)[1]


def test_it_can_be_switched_off(exporter: InMemorySpanExporter) -> None:
    assert tracing.tracer({"OTEL_SDK_DISABLED": "true"}) is None
    assert tracing.tracer({}) is not None


FRESH = "from deploy.server.ops import tracing; import sys; made = tracing.tracer()"


def fresh(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", f"{FRESH}\n{code}"], capture_output=True, text=True, env=environment, timeout=60
    )


def test_nothing_is_imported_where_nobody_set_it_up() -> None:
    code = "print(made, [name for name in sys.modules if name.startswith('opentelemetry')])"
    for environment in ({}, {"OTEL_TRACES_EXPORTER": "none"}):
        assert fresh(code, **environment).stdout == "None []\n"


def test_the_environment_sets_it_up() -> None:
    done = fresh("made.start_span('a').end()", OTEL_TRACES_EXPORTER="console", OTEL_SERVICE_NAME="here")
    span = json.loads(done.stdout)  # written as the process ends
    assert (span["name"], span["resource"]["attributes"]["service.name"]) == ("a", "here")


def test_an_exporter_that_is_not_there_is_told() -> None:
    done = fresh("", OTEL_TRACES_EXPORTER="nope")
    assert done.returncode == 1
    assert f"{UsageError.__name__}: OTEL_TRACES_EXPORTER=nope: no such exporter" in done.stderr
    assert "there is console" in done.stderr
