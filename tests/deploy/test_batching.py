"""The scheduler in virtual time: its promises hold for whatever comes, and for what servers are known to suffer."""

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deploy.batching import DEFAULT_PRIORITY, Batch, Job, Limits, Scheduler
from deploy.errors import DeadlineError, OverloadedError
from deploy.latency import LatencyTable
from tests.deploy.simulator import Outcome, simulate

STEADY = {1: 0.010, 2: 0.012, 4: 0.016, 8: 0.024}  # 0.008 s a batch and 0.002 s a row: 333 rows/s at most
PEAK = 8 / 0.024


def job(rows: int = 1, key: str = "k", deadline: float = math.inf, priority: int = 0, nbytes: int = 0) -> Job:
    return Job(key, rows, nbytes, deadline, priority)


def scheduler(seconds: dict[int, float] = STEADY, **options: Any) -> Scheduler[Job]:
    fixed = options.pop("fixed", False)
    return Scheduler(LatencyTable(seconds, fixed=fixed), **options)


def queue(s: Scheduler[Job], *jobs: Job, now: float = 0.0) -> None:
    for one in jobs:
        s.submit([one], now)


@st.composite
def traffic(draw: st.DrawFn) -> list[tuple[float, Job]]:
    arrivals, now = [], 0.0
    for _ in range(draw(st.integers(1, 40))):
        now += draw(st.sampled_from([0.0, 0.001, 0.01, 0.05]))
        patience = draw(st.sampled_from([math.inf, 0.011, 0.03, 0.1]))
        one = job(
            draw(st.integers(1, 8)),
            draw(st.sampled_from("abc")),
            now + patience,
            draw(st.sampled_from([0, 1, 2, 200])),
            draw(st.integers(0, 100)),
        )
        arrivals.append((now, one))
    return arrivals


servers = st.builds(
    scheduler,
    st.dictionaries(st.integers(1, 8), st.floats(0.001, 0.05), min_size=1).map(lambda seconds: seconds | {8: 0.02}),
    lanes=st.integers(1, 3),
    fixed=st.booleans(),
    patient=st.booleans(),
    limits=st.sampled_from([None, Limits(rows=20), Limits(nbytes=200), Limits(wait_s=0.05)]),
)


@settings(max_examples=150, deadline=None)
@given(servers, traffic(), st.data())
def test_every_job_leaves_exactly_once_and_where_it_belongs(
    server: Scheduler[Job], arrivals: list[tuple[float, Job]], data: st.DataObject
) -> None:
    jobs = [one for _, one in arrivals]
    bad = frozenset(data.draw(st.lists(st.sampled_from(jobs), max_size=3)))
    leaving = data.draw(st.dictionaries(st.sampled_from(jobs), st.floats(0, 1), max_size=5))
    slowness = data.draw(st.lists(st.floats(0.3, 3), min_size=1, max_size=5))
    taken = iter(slowness * 1000)
    outcome = simulate(
        server,
        arrivals,
        seconds=lambda batch: server.latency.predict(batch.rows) * next(taken),
        bad=bad,
        cancel_at={one: max(at, next(when for when, there in arrivals if there is one)) for one, at in leaving.items()},
    )
    ends = [*outcome.done, *outcome.failed, *outcome.expired, *outcome.refused, *outcome.cancelled]
    assert sorted(map(id, ends)) == sorted(map(id, jobs))
    assert set(outcome.failed) <= bad
    assert not set(outcome.done) & bad
    assert set(outcome.cancelled) <= set(leaving)
    assert (server.rows, server.nbytes, server.busy, server.idle) == (0, 0, False, server.lanes)
    for batch in outcome.batches:
        assert len({one.key for one in batch.jobs}) == 1
        assert batch.rows == sum(one.rows for one in batch.jobs) <= server.latency.max_rows
        assert len(set(map(id, batch.jobs))) == len(batch.jobs)
    if not server.patient:
        assert not outcome.idle_with_queue


@settings(deadline=None)
@given(servers, traffic())
def test_nothing_is_computed_that_is_known_to_be_late(
    server: Scheduler[Job], arrivals: list[tuple[float, Job]]
) -> None:
    """With a table that tells the truth, what is admitted and run is in time, and what expires cost nothing."""
    outcome = simulate(server, arrivals)
    ran = {one for batch in outcome.batches for one in batch.jobs}
    assert not ran & {*outcome.expired, *outcome.refused}
    assert all(end <= one.deadline + 1e-9 for one, end in outcome.done.items())


def test_an_idle_lane_takes_a_job_at_once() -> None:
    outcome = simulate(scheduler(), [(1.0, job())])
    assert list(outcome.done.values()) == [pytest.approx(1.010)]


def test_what_queues_while_a_lane_is_busy_goes_out_together() -> None:
    outcome = simulate(scheduler(), [(0.0, job()), *((0.001, job()) for _ in range(4))])
    assert [batch.rows for batch in outcome.batches] == [1, 4]


def test_idle_lanes_share_a_short_queue() -> None:
    s = scheduler(lanes=2)
    queue(s, *(job() for _ in range(8)))
    assert [batch.rows for batch in (s.next(0.0), s.next(0.0)) if batch] == [4, 4]
    alone = scheduler(lanes=2)
    queue(alone, *(job() for _ in range(8)))
    batch = alone.next(0.0, alone=True)
    assert batch is not None
    assert batch.rows == 8


def test_rows_count_and_not_requests() -> None:
    s = scheduler()
    queue(s, job(5), job(4), job(3), job(1))
    batch = s.next(0.0)
    assert batch is not None
    assert [one.rows for one in batch.jobs] == [5, 3]  # the 4 does not fit, the 3 fills up
    s.done(batch, 0.024)
    batch = s.next(0.024)
    assert batch is not None
    assert [one.rows for one in batch.jobs] == [4, 1]


def test_other_shapes_wait_for_their_own_batch() -> None:
    outcome = simulate(scheduler(), [(0.0, job(key=key)) for key in "abab"])
    assert [[one.key for one in batch.jobs] for batch in outcome.batches] == [["a"], ["b", "b"], ["a"]] or [
        [one.key for one in batch.jobs] for batch in outcome.batches
    ] == [["a"], ["b"], ["a"], ["b"]]
    s = scheduler()
    queue(s, job(key="a"), job(key="b"), job(key="a"), job(key="b"))
    keys = []
    while (batch := s.next(0.0)) is not None:
        keys.append([one.key for one in batch.jobs])
        s.done(batch, 0.012)
    assert keys == [["a", "a"], ["b", "b"]]


def test_order_is_priority_then_deadline_then_arrival() -> None:
    s = scheduler({1: 0.010})
    first, late, early, low, high = (
        job(),
        job(deadline=9.0),
        job(deadline=8.0),
        job(priority=DEFAULT_PRIORITY + 1),
        job(priority=1),
    )
    queue(s, first, late, early, low, high, job())
    order = []
    while (batch := s.next(0.0)) is not None:
        order += batch.jobs
        s.done(batch, 0.010)
    assert order[:4] == [high, early, late, first]
    assert order[-1] is low


def test_a_tight_deadline_makes_a_batch_smaller() -> None:
    s = scheduler()
    queue(s, *(job() for _ in range(7)))
    queue(s, urgent := job(deadline=0.0125))
    batch = s.next(0.0)
    assert batch is not None
    assert batch.jobs[0] is urgent
    assert batch.rows == 2


def test_pads_or_splits_by_measured_latency() -> None:
    pad = scheduler({4: 0.010, 8: 0.011}, fixed=True)
    queue(pad, *(job() for _ in range(5)))
    batch = pad.next(0.0)
    assert batch is not None
    assert batch.rows == 5
    split = scheduler({1: 0.001, 4: 0.010, 8: 0.030}, fixed=True)
    queue(split, *(job() for _ in range(5)))
    batch = split.next(0.0)
    assert batch is not None
    assert batch.rows == 1  # five times one is 0.005 s


def test_a_full_queue_refuses_at_once_and_says_when_to_return() -> None:
    s = scheduler(limits=Limits(rows=10, nbytes=1000))
    queue(s, *(job() for _ in range(10)))
    with pytest.raises(OverloadedError, match=r"queue is full \(10 rows, .* it may hold 10 rows") as caught:
        s.submit([job()], 0.0)
    assert 0 < caught.value.retry_after_s < 0.1
    heavy = scheduler(limits=Limits(nbytes=1000))
    queue(heavy, job(nbytes=600))
    with pytest.raises(OverloadedError, match="queue is full"):
        heavy.submit([job(nbytes=600)], 0.0)
    assert heavy.rows == 1


def test_a_long_queue_refuses_what_would_wait_too_long() -> None:
    s = scheduler(limits=Limits(wait_s=0.1))
    with pytest.raises(OverloadedError, match=r"0\.1 s at most"):
        queue(s, *(job() for _ in range(100)))
    assert s.rows == pytest.approx(0.1 * PEAK, abs=8)


def test_a_deadline_that_nobody_could_meet_is_told_apart_from_overload() -> None:
    s = scheduler()
    with pytest.raises(DeadlineError, match=r"deadline is in 0.005 s, and this takes 0.01 s"):
        s.submit([job(deadline=0.005)], 0.0)
    queue(s, *(job(priority=1) for _ in range(16)))
    with pytest.raises(OverloadedError, match=r"with what is queued this takes .* come back in") as caught:
        s.submit([job(deadline=0.015)], 0.0)
    assert caught.value.retry_after_s == pytest.approx(0.048 + 0.024 - 0.015)
    assert s.rows == 16


def test_admission_counts_only_what_comes_before() -> None:
    s = scheduler()
    queue(s, *(job() for _ in range(16)))
    queue(s, urgent := job(deadline=0.025))  # jumps the queue, and the full batch that it leads is done in time
    with pytest.raises(OverloadedError):
        s.submit([job(deadline=0.023)], 0.0)
    batch = s.next(0.0)
    assert batch is not None
    assert batch.jobs[0] is urgent
    assert batch.rows == 8


def test_admission_knows_what_runs_and_all_lanes() -> None:
    s = scheduler(lanes=2)
    queue(s, *(job(8) for _ in range(2)))
    for _ in range(2):
        assert s.next(0.0)
    with pytest.raises(OverloadedError):
        s.submit([job(deadline=0.033)], 0.0)
    queue(s, job(deadline=0.035))  # 0.024 until a lane is free, 0.010 of its own
    assert s.forecast(job(), 1, 0.0)[0] == pytest.approx(0.024)


def test_all_parts_of_a_request_are_admitted_or_none() -> None:
    s = scheduler(limits=Limits(rows=10))
    with pytest.raises(OverloadedError):
        s.submit([job(8), job(8)], 0.0)
    assert not s.busy
    with pytest.raises(ValueError, match="a job of 9 rows: expected 1 to 8"):
        s.submit([job(9)], 0.0)


def test_what_expires_in_the_queue_costs_nothing() -> None:
    s = scheduler()
    queue(s, job(8))
    running = s.next(0.0)
    assert running is not None
    queue(s, waiting := job(deadline=0.040), other := job(deadline=0.050, priority=1))
    assert s.expire(0.039) == []
    assert set(s.expire(0.050)) == {waiting, other}  # the batch took longer than the table said
    s.done(running, 0.050)
    assert s.next(0.050) is None
    assert not s.busy


def test_a_job_that_can_only_be_late_is_not_run() -> None:
    s = scheduler()
    queue(s, job(8))
    running = s.next(0.0)
    assert running is not None
    queue(s, late := job(deadline=0.040), fine := job())
    s.done(running, 0.035)
    batch = s.next(0.035)
    assert batch is not None
    assert batch.jobs == [fine]
    assert s.expire(0.035) == [late]


def test_cancelled_jobs_leave_the_queue_and_running_ones_do_not() -> None:
    s = scheduler()
    queue(s, running := job(), *(waiting := [job() for _ in range(3)]))
    s.next(0.0)
    queue(s, last := job())
    assert not s.cancel(running)
    assert s.cancel(last)
    assert not s.cancel(last)
    assert s.rows == 0
    assert not any(map(s.cancel, waiting))  # they run beside it


def test_only_the_bad_job_of_a_batch_fails() -> None:
    jobs = [job() for _ in range(8)]
    outcome = simulate(scheduler(), [(0.0, job(8)), *((0.0, one) for one in jobs)], bad=frozenset({jobs[5]}))
    assert list(outcome.failed) == [jobs[5]]
    assert len(outcome.done) == 8
    assert len(outcome.batches) == 2 + 2 * 3  # log2(8) halvings, two runs each


def test_a_failed_batch_teaches_nothing_about_time() -> None:
    s = scheduler()
    queue(s, job())
    batch = s.next(0.0)
    assert batch is not None
    assert s.failed(batch) == batch.jobs
    assert s.latency.seconds == STEADY


def test_halves_can_be_cancelled() -> None:
    s = scheduler()
    queue(s, *(jobs := [job(), job()]))
    batch = s.next(0.0)
    assert batch is not None
    assert s.failed(batch) == []
    assert s.cancel(jobs[0])
    assert s.busy
    retried = s.next(0.0)
    assert retried is not None
    assert retried.jobs == [jobs[1]]


def test_patience_pays_or_is_not_shown() -> None:
    """Rows every 0.004 s and a batch that costs 0.010 s and nearly nothing a row: two together wait less in all."""
    table = {1: 0.0100, 2: 0.0101, 8: 0.0105}
    times = [0.004 * n for n in range(200)]
    greedy = simulate(scheduler(table), [(at, job()) for at in times])
    patient = simulate(scheduler(table, patient=True), [(at, job()) for at in times])
    assert not greedy.idle_with_queue
    assert patient.idle_with_queue
    assert len(patient.batches) < len(greedy.batches)
    linear = simulate(scheduler({1: 0.010, 8: 0.080}, patient=True), [(0.02 * n, job()) for n in range(50)])
    assert not linear.idle_with_queue


def overload(times: float, seconds: float, patience: float = math.inf, **options: Any) -> Outcome:
    count = int(times * PEAK * seconds)
    arrivals = [(n / (times * PEAK), n) for n in range(count)]
    return simulate(scheduler(**options), [(at, job(deadline=at + patience)) for at, _ in arrivals])


@pytest.mark.parametrize("lanes", [1, 2])
def test_at_twice_the_capacity_throughput_stays_and_p99_is_bounded(lanes: int) -> None:
    outcome = overload(2 * lanes, 5, patience=0.2, lanes=lanes)
    assert outcome.throughput(1, 5) >= 0.95 * PEAK * lanes
    latencies = outcome.latencies()
    assert latencies[int(0.99 * len(latencies))] <= 0.2
    assert len(outcome.expired) <= 0.01 * len(outcome.done)  # refused at once, not after waiting in vain
    assert all(isinstance(error, OverloadedError) for error in outcome.refused.values())


def test_without_deadlines_the_queue_bounds_the_wait() -> None:
    outcome = overload(2, 5, limits=Limits(rows=64))
    assert outcome.throughput(1, 5) >= 0.95 * PEAK
    assert max(outcome.latencies()) <= (64 + 8) / PEAK + 0.024


def test_after_an_overload_it_is_as_before() -> None:
    calm = [3.5 + 0.1 * n for n in range(50)]
    flood = [(n / (4 * PEAK), 0.2) for n in range(int(4 * PEAK * 3))]
    arrivals = [(at, job(deadline=at + wait)) for at, wait in flood] + [(at, job()) for at in calm]
    outcome = simulate(scheduler(), arrivals)
    after = [end - one.arrived for one, end in outcome.done.items() if one.arrived > 3.4]
    assert len(after) == len(calm)
    assert max(after) == pytest.approx(0.010)


def test_it_adapts_to_a_machine_that_became_slower() -> None:
    """The table says 0.024 s, the truth is twice that: after a few batches no deadline is missed any more."""
    count = int(2 * PEAK * 5)
    arrivals = [(n / (2 * PEAK), n) for n in range(count)]
    jobs = [(at, job(deadline=at + 0.3)) for at, _ in arrivals]
    outcome = simulate(scheduler(), jobs, seconds=lambda batch: 2 * (0.008 + 0.002 * batch.rows))
    late = [one for one, end in outcome.done.items() if end > one.deadline + 1e-9 and one.arrived > 1]
    assert len(late) <= 0.01 * len(outcome.done)
    assert outcome.throughput(1, 5) >= 0.95 * PEAK / 2


def test_batches_are_told_apart_by_identity() -> None:
    first, second = (Batch([job()], 1, 0.0, 0.1) for _ in range(2))
    assert len({first, second}) == 2
