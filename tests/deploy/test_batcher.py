"""The batcher with real threads and event loops, and models made of numpy that say what they were given."""

import asyncio
import gc
import os
import queue
import threading
import weakref
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from deploy import batcher as module
from deploy.arrays import Array
from deploy.batcher import Batcher
from deploy.batching import Limits
from deploy.errors import DeadlineError, NotReadyError, OnnxwayError, OverloadedError
from deploy.lanes import Runner
from deploy.latency import LatencyTable
from deploy.providers import open_session

Arrays = Mapping[str, Array]
SLOW = {1: 0.5, 8: 0.5}
"""Far above `INLINE_S`: batches run on lanes, whatever they really take."""
TINY = {1: 1e-6, 8: 1e-6}


def double(arrays: Arrays) -> dict[str, Array]:
    """Return y = 2 x; a row of -1 fails, whoever is in the batch beside it."""
    x = arrays["x"]
    if (x == -1).any():
        raise OnnxwayError("minus one")
    return {"y": x * 2}


class Gate:
    """A model that runs nothing until it is let; `entered` says that a batch has come."""

    def __init__(self) -> None:
        self.entered, self.open, self.sizes = threading.Semaphore(0), threading.Event(), list[int]()

    def __call__(self, arrays: Arrays) -> dict[str, Array]:
        self.sizes.append(len(arrays["x"]))
        self.entered.release()
        assert self.open.wait(10)
        return double(arrays)


Make = Callable[..., Batcher]


@pytest.fixture
def make() -> Iterator[Make]:
    made: list[Batcher] = []

    def build(run: Callable[[Arrays], Arrays] = double, seconds: dict[int, float] = SLOW, **options: Any) -> Batcher:
        made.append(Batcher(Runner(run), LatencyTable(seconds, fixed=options.pop("fixed", False)), **options))
        return made[-1]

    yield build
    for one in made:
        one.close()


def x(value: float, rows: int = 1, width: int = 2) -> dict[str, Array]:
    return {"x": np.full((rows, width), value, np.float32)}


@pytest.mark.parametrize("seconds", [SLOW, TINY], ids=["lanes", "inline"])
def test_answers_of_a_loop_reach_who_asked(make: Make, seconds: dict[int, float]) -> None:
    server = make(seconds=seconds, lanes=2)

    async def client(value: int) -> None:
        for turn in range(20):
            answer = await server.run(x(value * 1000 + turn, rows=1 + value % 4))
            assert answer["y"].shape == (1 + value % 4, 2)
            assert (answer["y"] == 2 * (value * 1000 + turn)).all()

    async def main() -> None:
        await asyncio.gather(*(client(value) for value in range(30)))

    asyncio.run(main())
    assert server.stats.done == 600
    assert max(server.stats.batches) > 1


def test_answers_of_threads_reach_who_asked(make: Make) -> None:
    server = make(lanes=3)

    def client(value: int) -> None:
        for turn in range(50):
            answer = server.submit(x(value * 1000 + turn, width=1 + value % 2)).result(10)
            assert (answer["y"] == 2 * (value * 1000 + turn)).all()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(client, range(8)))
    assert server.stats.rows == 400


@pytest.mark.parametrize("seconds", [SLOW, TINY], ids=["lanes", "inline"])
def test_threads_and_loops_at_once_with_bad_jobs_and_leavers(make: Make, seconds: dict[int, float]) -> None:
    server = make(seconds=seconds, lanes=2)

    async def task(value: int) -> None:
        for turn in range(30):
            number = -1 if (value + turn) % 11 == 0 else value * 1000 + turn
            asked = asyncio.ensure_future(server.run(x(number, rows=1 + turn % 10)))
            if (value + turn) % 7 == 0:
                await asyncio.sleep(0)
                asked.cancel()
            (answer,) = await asyncio.gather(asked, return_exceptions=True)
            if isinstance(answer, BaseException):
                assert isinstance(answer, asyncio.CancelledError) or number == -1
            else:
                assert answer["y"].shape == (1 + turn % 10, 2)
                assert (answer["y"] == 2 * number).all()

    async def tasks() -> None:
        await asyncio.gather(*(task(value) for value in range(10)))

    def thread(value: int) -> None:
        for turn in range(30):
            assert (server.submit(x(value + turn)).result(10)["y"] == 2 * (value + turn)).all()

    with ThreadPoolExecutor(4) as pool:
        loops = [pool.submit(asyncio.run, tasks()) for _ in range(2)]
        list(pool.map(thread, range(100, 104)))
        for loop in loops:
            loop.result(30)
    server.close()
    assert server.pending_rows == 0


def test_one_turn_of_a_loop_is_one_batch(make: Make) -> None:
    server = make(seconds=TINY)

    async def main() -> None:
        await asyncio.gather(*(server.run(x(value)) for value in range(8)))

    asyncio.run(main())
    assert server.stats.batches == {8: 1}


def test_tiny_batches_need_no_thread_and_slow_ones_leave_the_loop_free(make: Make) -> None:
    ran_on: list[int] = []

    def where(arrays: Arrays) -> dict[str, Array]:
        ran_on.append(threading.get_ident())
        return double(arrays)

    asyncio.run(make(where, TINY).run(x(1)))  # type: ignore[arg-type]
    asyncio.run(make(where, SLOW).run(x(1)))  # type: ignore[arg-type]
    assert ran_on[0] == threading.get_ident() != ran_on[1]


def test_large_requests_are_cut_and_put_together(make: Make) -> None:
    server = make()
    rows = np.arange(50, dtype=np.float32).reshape(25, 2)
    assert np.array_equal(server.submit({"x": rows}).result(10)["y"], rows * 2)
    assert sum(size * count for size, count in server.stats.batches.items()) == 25
    assert max(server.stats.batches) <= 8
    rows[13] = -1
    with pytest.raises(OnnxwayError, match="minus one"):
        server.submit({"x": rows}).result(10)
    assert np.array_equal(server.submit({"x": rows[:3]}).result(10)["y"], rows[:3] * 2)


def test_one_bad_job_fails_alone(make: Make) -> None:
    gate = Gate()
    server = make(gate)
    first = server.submit(x(0))
    assert gate.entered.acquire(timeout=10)
    others = [server.submit(x(value)) for value in (1, 2, -1, 4, 5)]
    gate.open.set()
    assert first.result(10)
    for value, future in zip((1, 2, -1, 4, 5), others, strict=True):
        if value == -1:
            with pytest.raises(OnnxwayError, match="minus one"):
                future.result(10)
        else:
            assert (future.result(10)["y"] == 2 * value).all()
    assert server.stats.failed == 1


def test_any_exception_of_a_model_is_an_answer(make: Make) -> None:
    def broken(_: Arrays) -> dict[str, Array]:
        raise MemoryError("no room")

    with pytest.raises(OnnxwayError, match=r"the model failed: MemoryError\('no room'\)"):
        make(broken).submit(x(1)).result(10)
    with pytest.raises(OnnxwayError, match="the model failed"):
        asyncio.run(make(broken, TINY).run(x(1)))  # type: ignore[arg-type]


def test_a_full_queue_is_refused_at_once(make: Make) -> None:
    gate = Gate()
    server = make(gate, limits=Limits(rows=2))
    running = server.submit(x(0))
    assert gate.entered.acquire(timeout=10)
    waiting = [server.submit(x(1)), server.submit(x(2))]
    assert server.pending_rows == 2
    with pytest.raises(OverloadedError) as caught:
        server.submit(x(3))
    assert caught.value.retry_after_s > 0
    gate.open.set()
    assert [future.result(10)["y"][0, 0] for future in (running, *waiting)] == [0, 2, 4]
    assert server.stats.refused == 1


def test_deadlines_that_cannot_be_met_are_refused_or_expire(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(module, "_clock", lambda: now)
    gate = Gate()
    server = make(gate)
    with pytest.raises(DeadlineError, match=r"deadline is in 0\.1 s"):
        server.submit(x(1), deadline=0.1)
    running = server.submit(x(0))
    assert gate.entered.acquire(timeout=10)
    waiting = server.submit(x(1), deadline=2.0)
    now = 103.0
    gate.open.set()
    assert running.result(10)
    with pytest.raises(DeadlineError, match="while the request was queued"):
        waiting.result(10)
    assert gate.sizes == [1]
    assert server.stats.expired == 1


@pytest.mark.parametrize("kind", ["thread", "task"])
def test_who_leaves_is_not_computed_for(make: Make, kind: str) -> None:
    gate = Gate()
    server = make(gate)
    running = server.submit(x(0))
    assert gate.entered.acquire(timeout=10)

    async def leave() -> None:
        task = asyncio.create_task(server.run(x(1)))  # type: ignore[arg-type]
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    if kind == "thread":
        assert server.submit(x(1)).cancel()
    else:
        asyncio.run(leave())
    assert server.pending_rows == 0
    gate.open.set()
    assert running.result(10)
    server.close()
    assert gate.sizes == [1]
    assert server.stats.cancelled == 1


def test_who_leaves_while_running_is_forgotten(make: Make) -> None:
    gate = Gate()
    server = make(gate)
    future = server.submit(x(0))
    assert gate.entered.acquire(timeout=10)
    assert future.cancel()
    gate.open.set()
    assert server.submit(x(2)).result(10)["y"][0, 0] == 4


def test_an_answer_for_a_closed_loop_harms_nobody(make: Make) -> None:
    gate = Gate()
    server = make(gate)
    loop = asyncio.new_event_loop()
    task = loop.create_task(server.run(x(1)))  # type: ignore[arg-type]
    loop.run_until_complete(asyncio.sleep(0))
    loop.run_until_complete(asyncio.sleep(0))
    assert gate.entered.acquire(timeout=10)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        loop.run_until_complete(task)
    loop.close()
    gate.open.set()
    assert server.submit(x(2)).result(10)["y"][0, 0] == 4


def test_close_finishes_what_was_asked_and_refuses_the_rest(make: Make) -> None:
    gate = Gate()
    server = make(gate, lanes=2)
    futures = [server.submit(x(value)) for value in range(20)]
    assert gate.entered.acquire(timeout=10)
    closing = threading.Thread(target=server.close)
    closing.start()
    gate.open.set()
    closing.join(10)
    assert [future.result(0)["y"][0, 0] for future in futures] == [2 * value for value in range(20)]
    with pytest.raises(NotReadyError, match="closed"):
        server.submit(x(1))
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("onnxway-lane")]


def test_priority_goes_first(make: Make) -> None:
    gate, order = Gate(), list[str]()
    server = make(gate, {1: 0.5})
    running = server.submit(x(0))
    assert gate.entered.acquire(timeout=10)
    futures = {name: server.submit(x(1), priority=level) for name, level in (("low", 200), ("default", 0), ("top", 1))}
    for name, future in futures.items():
        future.add_done_callback(lambda _, name=name: order.append(name))  # type: ignore[misc]
    gate.open.set()
    server.close()
    assert running.done()
    assert order == ["top", "default", "low"]


def test_no_answer_can_change_another(make: Make) -> None:
    server = make(seconds=TINY)

    async def main() -> list[Arrays]:
        return await asyncio.gather(*(server.run(x(value)) for value in range(4)))

    answers = asyncio.run(main())
    for answer in answers:
        with pytest.raises(ValueError, match="read-only"):
            answer["y"][:] = 7
        with pytest.raises(ValueError, match="cannot set WRITEABLE"):
            answer["y"].flags.writeable = True


def test_input_stays_the_callers(make: Make) -> None:
    """A graph that hands its input back: ONNX Runtime copies it, so the caller may write to his own array again."""
    helper = pytest.importorskip("onnx.helper")
    value = [helper.make_tensor_value_info(name, 1, ["batch", 2]) for name in "xy"]
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "same", value[:1], value[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    arrays = x(1)
    answer = make(open_session(model.SerializeToString()).run).submit(arrays).result(10)
    arrays["x"][:] = 5
    assert (answer["y"] == 1).all()


def test_nothing_holds_on_to_what_was_answered(make: Make) -> None:
    server = make(seconds=TINY)
    arrays = x(1)
    asyncio.run(server.run(arrays, deadline=1000))  # type: ignore[arg-type]
    watched = weakref.ref(arrays["x"])
    del arrays
    gc.collect()
    assert watched() is None


def test_patience_ends_by_itself(make: Make) -> None:
    """One row a lane would wait for never comes: the row that waits is answered all the same."""
    server = make(seconds={1: 0.1, 8: 0.1}, patient=True)
    futures = [server.submit(x(value)) for value in range(3)]
    assert [future.result(10)["y"][0, 0] for future in futures] == [0, 2, 4]
    for value in range(3):  # nobody else comes, and the lane sleeps
        assert server.submit(x(value)).result(10)["y"][0, 0] == 2 * value


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_after_a_fork_it_says_so(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    server = make()
    monkeypatch.setattr(os, "getpid", lambda: -1)
    with pytest.raises(NotReadyError, match="forked; load it again"):
        server.submit(x(1))
    monkeypatch.undo()


def test_who_asks_is_told_the_answer_or_what_went_wrong(make: Make) -> None:
    server = make()
    told: queue.SimpleQueue[Any] = queue.SimpleQueue()
    server.ask(x(3), told.put)
    assert told.get(timeout=30)["y"].tolist() == [[6, 6]]
    server.ask(x(-1), told.put)
    assert isinstance(told.get(timeout=30), OnnxwayError)
