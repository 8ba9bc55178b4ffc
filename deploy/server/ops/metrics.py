"""`/metrics`: what the server has done and has before it, for Prometheus.

Names, units and labels of `onnxway_inference_*` are Triton's `nv_inference_*`, so that its dashboards need another
prefix only (https://github.com/triton-inference-server/server/blob/main/docs/user_guide/metrics.md). What it has no
names for follows Prometheus' customs. All is read from books that are kept anyway: nothing is counted twice, and a
request costs the same whether anybody looks.
"""

import asyncio
from bisect import bisect_left
from collections.abc import Iterable
from typing import TYPE_CHECKING

from deploy.server.models import Served
from deploy.server.ops.exposition import Labels, Page, Sample
from deploy.server.ops.process import add_process
from deploy.server.statistics import BOUNDS_S

if TYPE_CHECKING:
    from deploy.batcher import Batcher
    from deploy.server.dataplane import DataPlane

ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
"""Upper bounds of the histogram of batch sizes."""

Books = list[tuple[Labels, Served]]
Queues = list[tuple[Labels, "Batcher"]]

_STAGES = {
    "queue": "in the queue",
    "compute_input": "reading the request",
    "compute_infer": "in its batch, while it ran",
    "compute_output": "writing the answer",
}


async def scrape(dataplane: "DataPlane") -> str:
    """Return the page. The operating system is asked on a thread: with many connections it takes milliseconds."""
    page = Page()
    books: Books = [(_labels(served), served) for served in dataplane.models]
    _server(page, dataplane)
    _requests(page, books)
    _histograms(page, books)
    _queues(page, [(labels, served.batcher) for labels, served in books if served.batcher is not None])
    _shadows(page, dataplane)
    for show in dataplane.pages:
        show(page)
    await asyncio.get_running_loop().run_in_executor(None, add_process, page)
    return page.text()


def _labels(served: Served) -> Labels:
    info = served.predictor.info
    return {"model": info.name, "version": info.version}


def _server(page: Page, dataplane: "DataPlane") -> None:
    page.add("onnxway_ready", "gauge", "1 while inference requests are answered.", [({}, dataplane.ready())])
    infos: list[Sample] = []
    canaries: list[Sample] = []
    for served in dataplane.models:
        info = served.predictor.info
        passport = info.passport
        about = {"digest": info.digest, "variant": info.variant, "provider": info.provider, "threads": info.threads}
        proof = {"passport": passport.verdict, "precision": passport.precision}
        infos.append(({**_labels(served), **about, **proof}, 1))
        if served.share is not None:
            canaries.append((_labels(served), served.share.weight))
    page.add("onnxway_model_info", "gauge", "What is served, on what, and what its passport says.", infos)
    page.add("onnxway_canary_share", "gauge", "Share of the model's requests that a canary gets.", canaries)


def _requests(page: Page, books: Books) -> None:
    stats = [(labels, served.statistics) for labels, served in books]
    page.add(
        "onnxway_inference_request_success",
        "counter",
        "Requests that were answered.",
        [(labels, one.success.count) for labels, one in stats],
    )
    page.add(
        "onnxway_inference_request_failure",
        "counter",
        "Requests that were answered with an error.",
        [({**labels, "reason": reason}, count) for labels, one in stats for reason, count in one.failures.items()],
    )
    page.add("onnxway_inference_count", "counter", "Rows answered.", [(labels, one.rows) for labels, one in stats])
    page.add(
        "onnxway_inference_request_duration_us",
        "counter",
        "Microseconds of all answered requests together.",
        [(labels, one.success.ns // 1000) for labels, one in stats],
    )
    for stage, words in _STAGES.items():
        page.add(
            f"onnxway_inference_{stage}_duration_us",
            "counter",
            f"Microseconds that requests spent {words}.",
            [(labels, getattr(one, stage).ns // 1000) for labels, one in stats],
        )
    page.add(
        "onnxway_inference_active_requests",
        "gauge",
        "Requests that are queued or computed now.",
        [(labels, served.active) for labels, served in books],
    )


def _histograms(page: Page, books: Books) -> None:
    stats = [(labels, served.statistics) for labels, served in books]
    page.histogram(
        "onnxway_inference_request_duration_seconds",
        "From a request to its answer.",
        BOUNDS_S,
        [(labels, one.success_s.counts, one.success.ns / 1e9) for labels, one in stats],
    )
    page.histogram(
        "onnxway_inference_queue_duration_seconds",
        "In the queue.",
        BOUNDS_S,
        [(labels, one.queue_s.counts, one.queue.ns / 1e9) for labels, one in stats],
    )


def _queues(page: Page, queues: Queues) -> None:
    rows = [(labels, batcher.stats.batches.copy()) for labels, batcher in queues]  # lanes add to it meanwhile
    page.add(
        "onnxway_inference_exec_count",
        "counter",
        "Batches that ran.",
        [(labels, sum(batches.values())) for labels, batches in rows],
    )
    page.histogram(
        "onnxway_inference_batch_rows",
        "Rows of the batches that ran.",
        ROWS,
        [
            (labels, _counts(batches.items()), sum(n * count for n, count in batches.items()))
            for labels, batches in rows
        ],
    )
    refused: list[Sample] = []
    for labels, batcher in queues:
        stats = batcher.stats
        refused += [
            ({**labels, "reason": "overloaded"}, stats.refused - stats.refused_late),
            ({**labels, "reason": "deadline"}, stats.refused_late),
            ({**labels, "reason": "expired"}, stats.expired),
        ]
    page.add(
        "onnxway_inference_refused_total", "counter", "Requests refused as they came, or late in the queue.", refused
    )
    page.add(
        "onnxway_inference_cancelled_total",
        "counter",
        "Requests whose clients left while they were queued.",
        [(labels, batcher.stats.cancelled) for labels, batcher in queues],
    )
    page.add(
        "onnxway_inference_pending_rows",
        "gauge",
        "Rows that are queued now.",
        [(labels, batcher.pending_rows) for labels, batcher in queues],
    )
    page.add(
        "onnxway_inference_pending_bytes",
        "gauge",
        "Bytes that are queued now.",
        [(labels, batcher.pending_bytes) for labels, batcher in queues],
    )
    page.add(
        "onnxway_batch_latency_seconds",
        "gauge",
        "What a batch of so many rows takes, as it is tracked.",
        [({**labels, "rows": n}, taken) for labels, batcher in queues for n, taken in batcher.latency_s.items()],
    )


def _counts(batches: Iterable[tuple[int, int]]) -> list[int]:
    counts = [0] * (len(ROWS) + 1)
    for rows, count in batches:
        counts[bisect_left(ROWS, rows)] += count
    return counts


_SHADOWED = {
    "compared": "Requests that a shadow answered too",
    "failed": "Requests that a shadow could not answer",
    "dropped": "Requests that a shadow was too slow for",
    "rows": "Rows compared with a shadow's",
    "disagreed": "Rows on which a shadow decided otherwise",
}


def _shadows(page: Page, dataplane: "DataPlane") -> None:
    shadows = [shadow.snapshot() for several in dataplane.shadows.values() for shadow in several]
    for what, words in _SHADOWED.items():
        samples: list[Sample] = [
            ({"model": one["name"], "version": one["version"], "digest": one["digest"]}, one[what]) for one in shadows
        ]
        page.add(f"onnxway_shadow_{what}_total", "counter", f"{words}.", samples)
