"""Drives the scheduler: jobs come from threads (`submit`) and event loops (`run`), batches run on lanes.

A lane is a thread, and runs one batch at a time. What comes to an event loop in one of its turns is looked at once, at
the turn's end; a batch that is done sooner than a thread could take it over runs right there, on the loop.
"""

import asyncio
import contextlib
import math
import os
import queue
import threading
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from concurrent.futures import Future
from enum import Enum
from functools import partial
from typing import Any

import numpy as np

from deploy.accounts import Passage, Ran, Stats
from deploy.arrays import Array
from deploy.batching import Batch, Job, Limits, Scheduler
from deploy.errors import DeadlineError, NotReadyError, OnnxwayError
from deploy.lanes import Runner
from deploy.latency import LatencyTable

Arrays = Mapping[str, Array]
Told = Callable[[Arrays | OnnxwayError], object]
"""Is called with an answer, or with what went wrong."""

Reply = Any
"""An asyncio future, a `Told`, or a `_Whole` that waits for all parts of a large request."""

INLINE_S = 1e-3
"""A batch that took no longer when it was measured runs on the event loop that asked: a thread would cost it more."""

_SLOWEST_INLINE_S = 3e-3  # what it may take by now: a machine shared with others is slow on any thread

_LATE = "the deadline passed, or cannot be met any more, while the request was queued; allow more time"
_clock = time.monotonic


class _Word(Enum):
    """What is said to a lane besides batches."""

    STOP = "end the thread"
    LOOK = "see until when to wait"


class _Task(Job):
    """A job with what it runs, and who waits for it."""

    __slots__ = ("arrays", "part", "ran", "reply")

    ran: Ran  # set when its batch begins

    def __init__(
        self, key: Hashable, rows: int, nbytes: int, deadline: float, priority: int, arrays: Arrays, reply: Reply
    ) -> None:
        super().__init__(key, rows, nbytes, deadline, priority)
        self.arrays = arrays
        self.reply = reply
        self.part = 0


class _Whole:
    """A request with more rows than a batch: the parts' answers, until all are there or one failed."""

    def __init__(self, reply: Reply, parts: int) -> None:
        self.reply = reply
        self.jobs: list[_Task] = []
        self._answers: list[Arrays | None] = [None] * parts
        self._missing = parts
        self._lock = threading.Lock()

    def add(self, part: int, answer: Arrays | OnnxwayError) -> Arrays | OnnxwayError | None:
        """Take in one answer; returns what to say to the client, once."""
        with self._lock:
            if isinstance(answer, Exception):
                first, self._missing = self._missing > 0, 0
                return answer if first else None
            self._answers[part] = answer
            self._missing -= 1
            if self._missing:
                return None
        answers = [one for one in self._answers if one is not None]
        return {name: np.concatenate([one[name] for one in answers]) for name in answers[0]}


class Batcher:
    """Batches for one model. Threads and event loops may share it; after a fork, make a new one. `close` it.

    runner      runs one batch
    latency     what batches cost, measured with all lanes at work
    lanes       threads that run batches
    mixed       rows of all shapes may share a batch (the runner has a cut)
    alone       no two jobs may share a batch
    inline      short batches may run on the event loop; not where they might wait for others on their device
    limits, patient     see `deploy.batching`
    """

    def __init__(
        self,
        runner: Runner,
        latency: LatencyTable,
        *,
        lanes: int = 1,
        mixed: bool = False,
        alone: bool = False,
        inline: bool = True,
        limits: Limits | None = None,
        patient: bool = False,
    ) -> None:
        self.stats = Stats()
        self.lanes = lanes
        self._runner = runner
        self._latency = latency
        self._scheduler: Scheduler[_Task] = Scheduler(latency, lanes, limits, patient=patient)
        self._mixed = mixed
        self._alone = alone
        self._lock = threading.Lock()
        self._quiet = threading.Condition(self._lock)
        self._work: queue.SimpleQueue[Batch[_Task] | _Word] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._turns: set[asyncio.AbstractEventLoop] = set()
        self._process = os.getpid()
        self._closed = False
        short = [rows for rows in range(1, latency.max_rows + 1) if inline and latency.total(rows) <= INLINE_S]
        self._inline_rows = max(short, default=0)

    @property
    def pending_rows(self) -> int:
        """Return the rows that are queued now."""
        return self._scheduler.rows

    @property
    def latency_s(self) -> dict[int, float]:
        """Return the seconds that a batch takes, by rows, as they are tracked."""
        return self._latency.seconds

    @property
    def pending_bytes(self) -> int:
        """Return the bytes of input tensors that are queued now."""
        return self._scheduler.nbytes

    async def run(
        self, arrays: Arrays, deadline: float | None = None, priority: int = 0, passage: Passage | None = None
    ) -> Arrays:
        """Return the output tensors, read-only, of checked input tensors. Cancelling the task cancels the job.

        deadline    seconds from now by which the answer is of use
        priority    1 is the highest, 0 the default
        passage     is told how long the request was queued and computed

        Raises `OverloadedError` at once for what cannot be served in time, `DeadlineError` for what can no longer, and
        `OnnxwayError` for what the model cannot run.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Arrays] = loop.create_future()
        jobs = self._queue(arrays, future, deadline, priority)
        if loop not in self._turns:
            self._turns.add(loop)
            loop.call_soon(self._turn, loop)
        try:
            answer = await future
        except asyncio.CancelledError:
            self._cancel(jobs)
            raise
        if passage is not None:
            passage.note(jobs)
        return answer

    def submit(self, arrays: Arrays, deadline: float | None = None, priority: int = 0) -> "Future[Arrays]":
        """Do what `run` does for callers on threads; cancelling the future cancels the job."""
        future: Future[Arrays] = Future()
        cancel = self.ask(arrays, partial(_settle_one, future), deadline, priority)
        future.add_done_callback(lambda done: cancel() if done.cancelled() else None)
        return future

    def ask(self, arrays: Arrays, told: Told, deadline: float | None = None, priority: int = 0) -> Callable[[], object]:
        """Do what `submit` does, without a future; return what cancels the job.

        told    is called once, on the thread that ran the batch, and must not raise; not for a job that was cancelled
        """
        jobs = self._queue(arrays, told, deadline, priority)
        self._dispatch()
        return partial(self._cancel, jobs)

    def close(self) -> None:
        """Refuse what comes, finish what is queued and running, and end the lanes."""
        with self._lock:
            self._closed = True
        self._dispatch()
        with self._quiet:
            self._quiet.wait_for(lambda: not self._scheduler.busy)
        for _ in self._threads:
            self._work.put(_Word.STOP)
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join()
        self._threads.clear()

    def _queue(self, arrays: Arrays, reply: Reply, deadline: float | None, priority: int) -> list[_Task]:
        now = _clock()
        until = math.inf if deadline is None else now + deadline
        jobs = self._jobs(arrays, reply, until, priority)
        with self._lock:
            if self._closed or os.getpid() != self._process:
                raise NotReadyError("the model is closed, or was loaded before this process was forked; load it again")
            try:
                self._scheduler.submit(jobs, now)
            except OnnxwayError as error:
                self.stats.refused += 1
                self.stats.refused_late += isinstance(error, DeadlineError)
                raise
        return jobs

    def _jobs(self, arrays: Arrays, reply: Reply, until: float, priority: int) -> list[_Task]:
        rows, most = len(next(iter(arrays.values()))), self._latency.max_rows
        if rows <= most or self._alone:
            return [self._job(arrays, rows, until, priority, reply)]
        starts = range(0, rows, most)
        whole = _Whole(reply, len(starts))
        whole.jobs = jobs = []
        for part, start in enumerate(starts):
            piece = {name: array[start : start + most] for name, array in arrays.items()}
            jobs.append(self._job(piece, min(most, rows - start), until, priority, whole))
            jobs[-1].part = part
        return jobs

    def _job(self, arrays: Arrays, rows: int, until: float, priority: int, reply: Reply) -> _Task:
        nbytes = 0
        key: list[Hashable] = []
        for name, array in arrays.items():
            nbytes += array.nbytes
            key += (name, array.dtype)
            if not self._mixed:
                key.append(array.shape[1:])
        if self._alone:
            key.append(object())
            rows = min(rows, self._latency.max_rows)
        return _Task(tuple(key), rows, nbytes, until, priority, arrays, reply)

    def _cancel(self, jobs: Sequence[_Task]) -> None:
        with self._lock:
            cancelled = sum(map(self._scheduler.cancel, jobs))
            self.stats.cancelled += cancelled > 0
            self._quiet.notify_all()

    def _turn(self, loop: asyncio.AbstractEventLoop) -> None:
        """Look at what came to the loop in this turn: run it here when that is quicker, else on the lanes."""
        self._turns.discard(loop)
        rows = self._scheduler.rows
        if rows > self._inline_rows or self._latency.total(rows) > _SLOWEST_INLINE_S:
            self._dispatch()
            return
        batch = self._next(alone=True)
        if batch is None:
            self._dispatch()
            return
        self._execute(batch, loop)
        if self._scheduler.waiting and loop not in self._turns:
            self._turns.add(loop)
            loop.call_soon(self._turn, loop)  # other clients' sockets get their turn in between

    def _dispatch(self) -> None:
        """Give every idle lane something to do."""
        while (batch := self._next()) is not None:
            if len(self._threads) < self.lanes:
                self._start_threads()
            self._work.put(batch)
        if self._scheduler.wake_at < math.inf:
            self._start_threads()
            self._work.put(_Word.LOOK)  # a lane that sleeps does not know yet until when

    def _next(self, *, alone: bool = False) -> Batch[_Task] | None:
        with self._lock:
            now = _clock()
            batch = self._scheduler.next(now, alone=alone)
            late = self._scheduler.expire(now)
            if batch is not None:
                ran, waited = Ran(now, batch.rows), 0.0
                for job in batch.jobs:
                    job.ran = ran
                    waited += now - job.arrived
                self.stats.queue_s += waited
            self.stats.expired += len(late)
        if late:
            self._deliver([(task, DeadlineError(_LATE)) for task in late])
        return batch

    def _start_threads(self) -> None:
        with self._lock:
            while len(self._threads) < self.lanes:
                thread = threading.Thread(target=self._lane, name=f"onnxway-lane-{len(self._threads)}", daemon=True)
                self._threads.append(thread)
                thread.start()

    def _lane(self) -> None:
        while True:
            with contextlib.suppress(queue.Empty):
                work = self._work.get(timeout=self._patience())
                if work is _Word.STOP:
                    return
                if isinstance(work, Batch):
                    self._execute(work)
            while (batch := self._next()) is not None:
                self._execute(batch)

    def _patience(self) -> float | None:
        wake_at = self._scheduler.wake_at
        return None if wake_at == math.inf else max(0.0, wake_at - _clock())

    def _execute(self, batch: Batch[_Task], loop: asyncio.AbstractEventLoop | None = None) -> None:
        tasks = batch.jobs
        outcomes: list[tuple[_Task, Arrays | OnnxwayError]]
        try:
            answers = self._runner([task.arrays for task in tasks])
            outcomes = list(zip(tasks, answers, strict=True))
        except Exception as error:  # whatever it is, only the job that causes it is to fail
            known = error if isinstance(error, OnnxwayError) else OnnxwayError(f"the model failed: {error!r}")
            with self._lock:
                outcomes = [(task, known) for task in self._scheduler.failed(batch)]
                self.stats.failed += len(outcomes)
                self._quiet.notify_all()
        else:
            self._done(batch)
        self._deliver(outcomes, loop)

    def _done(self, batch: Batch[_Task]) -> None:
        now = _clock()
        with self._lock:
            self._scheduler.done(batch, now)
            stats = self.stats
            batch.jobs[0].ran.ended = now
            rows, seconds = batch.rows, now - batch.began
            stats.done += len(batch.jobs)
            stats.rows += rows
            stats.batches[rows] = stats.batches.get(rows, 0) + 1
            stats.batches_s[rows] = stats.batches_s.get(rows, 0.0) + seconds
            stats.compute_s += seconds
            if self._closed:
                self._quiet.notify_all()

    def _deliver(
        self, outcomes: Sequence[tuple[_Task, Arrays | OnnxwayError]], here: asyncio.AbstractEventLoop | None = None
    ) -> None:
        """Answer: threads at once, futures of an event loop in one wake-up of it (now, when on it)."""
        loops: dict[asyncio.AbstractEventLoop, list[tuple[Reply, Arrays | OnnxwayError]]] = {}
        for task, outcome in outcomes:
            reply, answer = task.reply, outcome
            if type(reply) is _Whole:
                whole = reply.add(task.part, outcome)
                if whole is None:
                    continue
                if isinstance(whole, Exception):
                    self._cancel(reply.jobs)
                reply, answer = reply.reply, whole
            if callable(reply):
                reply(answer)
            else:
                loops.setdefault(reply.get_loop(), []).append((reply, answer))
        for loop, answers in loops.items():
            if loop is here:
                _settle(answers)
            else:
                with contextlib.suppress(RuntimeError):  # the loop was closed: nobody waits any more
                    loop.call_soon_threadsafe(_settle, answers)


def _settle(answers: Sequence[tuple[Reply, Arrays | OnnxwayError]]) -> None:
    for future, answer in answers:
        if not future.done():
            if isinstance(answer, Exception):
                future.set_exception(answer)
            else:
                future.set_result(answer)


def _settle_one(future: "Future[Arrays]", answer: Arrays | OnnxwayError) -> None:
    if not future.set_running_or_notify_cancel():
        return
    if isinstance(answer, Exception):
        future.set_exception(answer)
    else:
        future.set_result(answer)
