"""How often, and for how long: what a model's requests cost, under the names that Triton gives them."""

import time
from bisect import bisect_left
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

from deploy.accounts import Passage
from deploy.errors import DeadlineError, OnnxwayError, OverloadedError

if TYPE_CHECKING:
    from deploy.accounts import Stats as BatchStats
    from deploy.predictor import Info

BOUNDS_S = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper bounds of the histograms' buckets."""

REASONS = ("overloaded", "deadline", "request", "internal")
"""Why a request failed: refused as too much, too late, at fault itself, or the server's fault."""


class Timing:
    """The stages of one request, each timed from the end of the one before it, and what it was about.

    began      when it began, as `time.perf_counter` has it
    passage    its times in the queue and in its batches, where a scheduler runs it
    info       the model that it was for, once known; `rows`: how many it asked about
    """

    __slots__ = ("_last", "began", "info", "laps", "passage", "rows")

    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self.passage = Passage()
        self.info: Info | None = None
        self.rows = 0
        self.began = self._last = time.perf_counter()

    def lap(self, stage: str) -> None:
        """End a stage."""
        now = time.perf_counter()
        self.laps[stage] = now - self._last
        self._last = now

    @property
    def total_s(self) -> float:
        """Seconds from the beginning to now."""
        return time.perf_counter() - self.began

    @property
    def compute_s(self) -> float:
        """Seconds that the model ran for it: its batch's, or without a scheduler all of `infer`."""
        return self.passage.compute_s if self.passage.batch_rows else self.laps.get("infer", 0.0)

    def header(self) -> str:
        """Return the value of a `Server-Timing` header, in milliseconds; queue and compute are parts of infer."""
        passage, times = self.passage, [seconds * 1e3 for seconds in self.laps.values()]
        batched = passage.batch_rows > 0
        if batched:
            times += (passage.queue_s * 1e3, passage.compute_s * 1e3)
        return _server_timing(tuple(self.laps), batched) % tuple(times)


@cache
def _server_timing(stages: tuple[str, ...], batched: bool) -> str:
    """Return the header for these stages, with a place for the milliseconds of each."""
    return ", ".join([f"{stage};dur=%.3f" for stage in (*stages, *(("queue", "compute") if batched else ()))])


@dataclass
class Duration:
    """A number of events and their time together, in nanoseconds."""

    count: int = 0
    ns: int = 0

    def add(self, seconds: float) -> None:
        """Count one event."""
        self.count += 1
        self.ns += int(seconds * 1e9)

    def to_dict(self) -> dict[str, int]:
        """Return both as JSON values."""
        return {"count": self.count, "ns": self.ns}


class Histogram:
    """How many seconds fell below each of `BOUNDS_S`, the last bucket taking what is above all of them."""

    __slots__ = ("counts",)

    def __init__(self) -> None:
        self.counts = [0] * (len(BOUNDS_S) + 1)

    def add(self, seconds: float) -> None:
        """Count one event."""
        self.counts[bisect_left(BOUNDS_S, seconds)] += 1


@dataclass
class Statistics:
    """What a model has done since it was loaded; used from one thread, the event loop's.

    All are of requests: those that share a batch are each computed as long as it ran, those of many steps as long as
    all of theirs ran. What a scheduler did, in batches, it counts itself; without one, nothing is queued, and each
    request is an execution.
    """

    success: Duration = field(default_factory=Duration)
    fail: Duration = field(default_factory=Duration)
    queue: Duration = field(default_factory=Duration)
    compute_input: Duration = field(default_factory=Duration)
    compute_infer: Duration = field(default_factory=Duration)
    compute_output: Duration = field(default_factory=Duration)
    success_s: Histogram = field(default_factory=Histogram)
    queue_s: Histogram = field(default_factory=Histogram)
    failures: dict[str, int] = field(default_factory=lambda: dict.fromkeys(REASONS, 0))
    rows: int = 0
    last_ms: int = 0

    def succeeded(self, rows: int, timing: Timing) -> None:
        """Count a request that was answered, with the stages `decode`, `infer` and `encode`."""
        total, laps, passage = timing.total_s, timing.laps, timing.passage
        self.success.add(total)
        self.success_s.add(total)
        self.compute_input.add(laps.get("decode", 0.0))
        self.compute_output.add(laps.get("encode", 0.0))
        if passage.batch_rows:
            self.queue.add(passage.queue_s)
            self.queue_s.add(passage.queue_s)
            self.compute_infer.add(passage.compute_s)
        else:
            self.compute_infer.add(laps.get("infer", 0.0))
        self.rows += rows
        self.last_ms = time.time_ns() // 1_000_000

    def failed(self, timing: Timing, error: Exception) -> None:
        """Count a request that was answered with an error."""
        self.fail.add(timing.total_s)
        self.failures[_reason(error)] += 1

    def to_dict(self, name: str, version: str, batches: "BatchStats | None" = None) -> dict[str, Any]:
        """Return the entry of the protocol's statistics extension for a model; `batches` is the scheduler's part."""
        zero = Duration().to_dict()
        return {
            "name": name,
            "version": version,
            "last_inference": self.last_ms,
            "inference_count": self.rows,
            "execution_count": self.success.count if batches is None else sum(batches.batches.values()),
            "inference_stats": {
                "success": self.success.to_dict(),
                "fail": self.fail.to_dict(),
                "queue": self.queue.to_dict(),
                "compute_input": self.compute_input.to_dict(),
                "compute_infer": self.compute_infer.to_dict(),
                "compute_output": self.compute_output.to_dict(),
                "cache_hit": zero,
                "cache_miss": zero,
            },
            "batch_stats": [] if batches is None else _batch_stats(batches),
        }


def _reason(error: Exception) -> str:
    if isinstance(error, OverloadedError):
        return "overloaded"
    if isinstance(error, DeadlineError):
        return "deadline"
    return "request" if isinstance(error, OnnxwayError) and error.status < 500 else "internal"


def _batch_stats(batches: "BatchStats") -> list[dict[str, Any]]:
    """Return how many batches of each size ran, and how long; reading and writing are done by request."""
    zero = Duration().to_dict()
    return [
        {
            "batch_size": rows,
            "compute_input": zero,
            "compute_infer": Duration(count, int(batches.batches_s[rows] * 1e9)).to_dict(),
            "compute_output": zero,
        }
        for rows, count in sorted(batches.batches.items())
    ]
