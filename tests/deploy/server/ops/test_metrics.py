import asyncio
import json
import os
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("starlette", reason="needs the extra 'serve'")
pytest.importorskip("httptools", reason="needs the extra 'serve'")
pytest.importorskip("prometheus_client", reason="reads what is written here")

from prometheus_client import parser

from deploy import Predictor
from deploy.arrays import Array
from deploy.batcher import Batcher
from deploy.batching import Limits
from deploy.errors import DeadlineError, OverloadedError
from deploy.lanes import Runner
from deploy.latency import LatencyTable
from deploy.server.dataplane import DataPlane
from deploy.server.lifecycle.routing import Share
from deploy.server.ops.exposition import Page
from deploy.server.ops.metrics import scrape
from deploy.server.options import ServerOptions
from tests.deploy.server.ops.kit import Running, ask, running, tensor_body, warm

INFER = "/v2/models/colours/infer"
MODEL = {"model": "colours", "version": "1"}


class Metrics:
    """A page, read as Prometheus reads it."""

    def __init__(self, text: str) -> None:
        self.families = {family.name: family for family in parser.text_string_to_metric_families(text)}
        samples = [sample for family in self.families.values() for sample in family.samples]
        self.values = {(one.name, *sorted(one.labels.items())): one.value for one in samples}
        assert len(self.values) == len(samples), "a sample is there twice"

    def __call__(self, name: str, **labels: object) -> float:
        """Return a value; the parser gives counters the end that only OpenMetrics asks for."""
        named = sorted((key, str(value)) for key, value in labels.items())
        ended = (f"{name}_total", *named)
        return float(self.values[ended if ended in self.values else (name, *named)])


@pytest.fixture(scope="module")
def watched(colours: Path) -> Iterator[Running]:
    with running(ServerOptions(access_log=False), warm(colours)) as found:
        yield found


def read(server: Running) -> Metrics:
    answer = ask(f"{server.url}/metrics")
    assert answer.status == 200
    return Metrics(answer.body.decode())


def test_requests_are_counted(watched: Running, blue_png: bytes) -> None:
    before = read(watched)
    for _ in range(3):
        assert ask(watched.url + INFER, tensor_body(2)).status == 200
    assert ask(watched.url + "/predict", blue_png).status == 200
    assert ask(watched.url + INFER, b"{}").status == 400
    after = read(watched)

    def grown(name: str, **labels: str) -> float:
        return after(name, **MODEL, **labels) - before(name, **MODEL, **labels)

    assert grown("onnxway_inference_request_success") == 4
    assert grown("onnxway_inference_request_failure", reason="request") == 1
    assert grown("onnxway_inference_request_failure", reason="internal") == 0
    assert grown("onnxway_inference_count") == 7
    assert grown("onnxway_inference_exec_count") == grown("onnxway_inference_batch_rows_count") == 4
    assert grown("onnxway_inference_batch_rows_sum") == 7
    assert grown("onnxway_inference_batch_rows_bucket", le="1") == 1
    assert grown("onnxway_inference_batch_rows_bucket", le="2") == 4
    assert grown("onnxway_inference_request_duration_seconds_count") == 4
    assert grown("onnxway_inference_queue_duration_seconds_bucket", le="+Inf") == 4
    assert after("onnxway_inference_pending_rows", **MODEL) == 0
    assert after("onnxway_inference_active_requests", **MODEL) == 0
    assert after("onnxway_ready") == 1


def test_the_stages_of_a_request_are_within_its_duration(watched: Running) -> None:
    assert ask(watched.url + INFER, tensor_body()).status == 200
    found = read(watched)
    stages = [
        found(f"onnxway_inference_{stage}_duration_us", **MODEL)
        for stage in ("queue", "compute_input", "compute_infer", "compute_output")
    ]
    assert all(stage > 0 for stage in stages)
    assert sum(stages) <= found("onnxway_inference_request_duration_us", **MODEL) + len(stages)


def test_what_is_served_is_named(watched: Running) -> None:
    info = next(iter(watched.dataplane.models)).predictor.info  # type: ignore[union-attr]
    about = {"digest": info.digest, "variant": "fp32", "provider": "cpu", "threads": 1}
    assert read(watched)("onnxway_model_info", **MODEL, **about, passport="passed", precision="fp32") == 1


def test_the_process_is_shown(watched: Running) -> None:
    found = read(watched)
    now = time.time()
    assert found("process_cpu_seconds_total") > 0
    if Path("/proc/self").exists():
        assert found("onnxway_process_threads") >= threading.active_count() - 1
        assert 0 < found("process_open_fds") < found("process_max_fds")
        assert 10e6 < found("process_resident_memory_bytes") < found("process_virtual_memory_bytes")
        assert now - 86400 < found("process_start_time_seconds") < now
        stat = os.stat(f"/proc/{os.getpid()}")  # noqa: PTH116
        assert abs(found("process_start_time_seconds") - stat.st_ctime) < 3600


def test_every_family_is_named_and_explained(watched: Running) -> None:
    for name, family in read(watched).families.items():
        assert name.startswith(("onnxway_", "process_"))
        assert family.documentation.endswith(".")
        assert family.type in ("counter", "gauge", "histogram")


class Slow:
    """A batcher's runner that waits for leave."""

    def __init__(self) -> None:
        self.begun, self.go = threading.Event(), threading.Event()

    def __call__(self, arrays: Mapping[str, Array]) -> dict[str, Array]:
        self.begun.set()
        assert self.go.wait(30)
        return {"y": next(iter(arrays.values()))}


def test_queues_and_refusals(predictor: Predictor) -> None:
    slow = Slow()
    batcher = Batcher(Runner(slow), LatencyTable({1: 0.5, 2: 0.9}), limits=Limits(rows=3))
    dataplane = DataPlane(workers=1)
    dataplane.add(predictor, batcher)
    arrays = {"x": np.zeros((1, 3), np.float32)}

    async def work() -> tuple[Metrics, Metrics]:
        first = asyncio.ensure_future(batcher.run(arrays))
        await asyncio.to_thread(slow.begun.wait, 30)
        queued = [asyncio.ensure_future(batcher.run(arrays)) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(DeadlineError):
            await batcher.run(arrays, deadline=0.1)
        queued.append(asyncio.ensure_future(batcher.run(arrays)))
        await asyncio.sleep(0)
        with pytest.raises(OverloadedError):
            await batcher.run(arrays)
        full = Metrics(await scrape(dataplane))
        queued[2].cancel()
        await asyncio.wait(queued[2:])
        slow.go.set()
        await asyncio.gather(first, *queued[:2])
        return full, Metrics(await scrape(dataplane))

    full, after = asyncio.run(work())
    assert full("onnxway_inference_pending_rows", **MODEL) == 3
    assert full("onnxway_inference_pending_bytes", **MODEL) == 36
    assert after("onnxway_inference_pending_rows", **MODEL) == 0
    for reason, count in {"overloaded": 1, "deadline": 1, "expired": 0}.items():
        assert after("onnxway_inference_refused_total", **MODEL, reason=reason) == count
    assert after("onnxway_inference_cancelled_total", **MODEL) == 1
    assert after("onnxway_inference_exec_count", **MODEL) == 2
    assert after("onnxway_batch_latency_seconds", **MODEL, rows=1) > 0
    batcher.close()


def test_canaries_are_shown(colours: Path, predictor: Predictor) -> None:
    dataplane = DataPlane(workers=1)
    dataplane.add(predictor, share=Share(0.25))
    assert Metrics(asyncio.run(scrape(dataplane)))("onnxway_canary_share", **MODEL) == 0.25


def test_shadows_are_shown(colours: Path, predictor: Predictor) -> None:
    dataplane = DataPlane(workers=1)
    dataplane.add(predictor)
    with Predictor.load(colours, threads=1) as other:
        shadow = dataplane.shadow(other, Share(1.0))
        shadow.counts.rows, shadow.counts.disagreed = 10, 3
        found = Metrics(asyncio.run(scrape(dataplane)))
        shadow.close()
    digest = predictor.info.digest
    assert found("onnxway_shadow_rows_total", **MODEL, digest=digest) == 10
    assert found("onnxway_shadow_disagreed_total", **MODEL, digest=digest) == 3


def test_server_timing_tells_queue_and_compute(watched: Running) -> None:
    answer = ask(watched.url + INFER, tensor_body())
    entries = [entry.partition(";dur=") for entry in answer.headers["Server-Timing"].split(", ")]
    found = {name: float(milliseconds) for name, _, milliseconds in entries}
    assert [*found] == ["decode", "infer", "encode", "queue", "compute"]
    assert 0 < found["compute"] <= found["infer"]
    assert found["queue"] + found["compute"] <= found["infer"] + 0.002


def test_statistics_hold_the_times_of_batches(watched: Running) -> None:
    assert ask(watched.url + INFER, tensor_body(3)).status == 200
    stats = ask(f"{watched.url}/v2/models/colours/stats").json["model_stats"][0]
    batch = next(one for one in stats["batch_stats"] if one["batch_size"] == 3)
    assert batch["compute_infer"]["ns"] > 0
    assert stats["inference_stats"]["queue"]["count"] == stats["inference_stats"]["success"]["count"]
    assert stats["inference_stats"]["queue"]["ns"] > 0


@pytest.mark.parametrize("text", ['a"b', "a\\b", "a\nb", "ü", 'end\\"'])
def test_labels_are_escaped(text: str) -> None:
    page = Page()
    page.add("a_b", "gauge", "Words.", [({"x": text}, 1.5)])
    assert Metrics(page.text())("a_b", x=text) == 1.5


def test_the_access_log_tells_what_was_computed(
    colours: Path, blue_png: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    with running(ServerOptions(), warm(colours)) as server:
        digest = next(iter(server.dataplane.models)).predictor.info.digest  # type: ignore[union-attr]
        assert ask(server.url + INFER, tensor_body(2)).status == 200
        assert ask(server.url + "/predict", blue_png).status == 200
        assert ask(server.url + INFER, b"{").status == 400
        assert ask(server.url + "/v2/models/none/infer", b"{}").status == 404
        assert ask(server.url + "/v2").status == 200
    lines: list[dict[str, Any]] = [json.loads(line) for line in capfd.readouterr().err.splitlines()]
    assert [(line.get("model"), line.get("version"), line.get("rows")) for line in lines] == [
        ("colours", "1", 2),
        ("colours", "1", 1),
        ("colours", "1", None),
        (None, None, None),
        (None, None, None),
    ]
    assert {line["digest"] for line in lines[:3]} == {digest[:12]}
    for line in lines[:2]:
        assert 0 <= line["queue_ms"] <= line["ms"]
        assert 0 < line["compute_ms"] <= line["ms"]
