"""A server of one model in virtual time: arrivals and lanes are events, the scheduler decides, nobody waits."""

import heapq
import itertools
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from deploy.batching import Batch, Job, Scheduler
from deploy.errors import DeadlineError, OverloadedError


@dataclass
class Outcome:
    """What became of jobs, by job, and when."""

    done: dict[Job, float] = field(default_factory=dict)
    failed: dict[Job, float] = field(default_factory=dict)
    expired: dict[Job, float] = field(default_factory=dict)
    refused: dict[Job, Exception] = field(default_factory=dict)
    cancelled: dict[Job, float] = field(default_factory=dict)
    batches: list[Batch[Job]] = field(default_factory=list)
    idle_with_queue: list[float] = field(default_factory=list)

    def latencies(self) -> list[float]:
        return sorted(end - job.arrived for job, end in self.done.items())

    def throughput(self, since: float, until: float) -> float:
        return sum(job.rows for job, end in self.done.items() if since < end <= until) / (until - since)


def simulate(
    scheduler: Scheduler[Job],
    arrivals: Iterable[tuple[float, Job]],
    *,
    seconds: Callable[[Batch[Job]], float] | None = None,
    bad: frozenset[Job] = frozenset(),
    cancel_at: dict[Job, float] | None = None,
) -> Outcome:
    """Run until everything has left.

    seconds     what a batch really takes; default: what the table says
    bad         a batch that holds one of these fails
    cancel_at   when a client leaves
    """
    outcome, order = Outcome(), itertools.count()
    events: list[tuple[float, int, str, object]] = [(at, next(order), "arrive", job) for at, job in arrivals]
    events += [(at, next(order), "cancel", job) for job, at in (cancel_at or {}).items()]
    heapq.heapify(events)
    cost = seconds or (lambda batch: scheduler.latency.predict(batch.rows))
    while events:
        now, _, what, subject = heapq.heappop(events)
        if isinstance(subject, Batch):
            _end(scheduler, subject, now, bad, outcome)
        elif isinstance(subject, Job) and what == "arrive":
            try:
                scheduler.submit([subject], now)
            except (OverloadedError, DeadlineError) as error:
                outcome.refused[subject] = error
        elif isinstance(subject, Job) and scheduler.cancel(subject):
            outcome.cancelled[subject] = now
        while (batch := scheduler.next(now)) is not None:
            outcome.batches.append(batch)
            heapq.heappush(events, (now + cost(batch), next(order), "end", batch))
        for job in scheduler.expire(now):
            outcome.expired[job] = now
        if scheduler.idle and scheduler.rows:
            outcome.idle_with_queue.append(now)
        if scheduler.wake_at < math.inf:
            heapq.heappush(events, (scheduler.wake_at, next(order), "wake", None))
    return outcome


def _end(scheduler: Scheduler[Job], batch: Batch[Job], now: float, bad: frozenset[Job], outcome: Outcome) -> None:
    if bad & set(batch.jobs):
        for job in scheduler.failed(batch):
            assert job not in outcome.failed
            outcome.failed[job] = now
        return
    scheduler.done(batch, now)
    for job in batch.jobs:
        assert job not in outcome.done
        outcome.done[job] = now
