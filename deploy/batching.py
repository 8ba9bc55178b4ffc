"""The scheduler: which jobs run together, which first, and which are refused; no clock, no threads, no transport.

Whoever drives it (`deploy.batcher`) passes the time in, in seconds of any one clock, and calls

    submit(jobs, now)       queue them, or raise at once what cannot be served
    next(now)               the batch that an idle lane should run, or None
    done(batch, now)        it ran
    failed(batch)           it did not: halves of it will run, until the one bad job is alone; returns whom to tell
    expire(now)             take out the jobs whose deadline has passed
    cancel(job)             its client has left

Rules

- A job is some rows, and runs whole; batches are measured in rows. Jobs of one `key` may share a batch.
- Work-conserving: while a job is queued no lane is idle, unless `patient` and one more row is worth the wait.
- Order: priority (1 first; 0 means `DEFAULT_PRIORITY`), then deadline, then arrival. The first job decides whose key
  runs; smaller ones of its key fill what it leaves free.
- Sizes come from the latency table: padded, whole or split, whichever is fastest for what is queued; several idle lanes
  share a short queue; a batch is made smaller if only so its first job meets its deadline, unless there is a backlog:
  then full batches come first, or an overloaded server would grow slower the more is asked of it.
- Nothing is computed for a job that would be late anyway.
- Every job that was admitted leaves exactly once: with its batch, alone with its failure, expired or cancelled.
"""

import itertools
import math
from bisect import bisect_left, bisect_right, insort
from collections import deque
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, Generic, TypeVar

from deploy.errors import DeadlineError, OverloadedError
from deploy.latency import LatencyTable

DEFAULT_PRIORITY = 100
"""What priority 0 stands for: a client may ask for more (1 is the most) or for less (above 100)."""

_GAP_WEIGHT = 0.1  # of a new interval between rows
_LOOK = 64  # jobs looked at beyond the first one that does not fit

_RANK = attrgetter("rank")


@dataclass(frozen=True)
class Limits:
    """What may wait: rows, bytes, and the seconds until a new job would start; more is refused."""

    rows: int = 4096
    nbytes: int = 512 * 2**20
    wait_s: float = 30.0


class Job:
    """Rows that belong together. The driver's own kind of job adds what it needs to run them and to answer.

    key         jobs with equal keys may share a batch
    deadline    when it must be done, in the driver's clock; infinite for none
    priority    1 is the highest, 0 the default
    """

    __slots__ = ("arrived", "deadline", "key", "nbytes", "queued", "rank", "rows")

    def __init__(
        self, key: Hashable, rows: int, nbytes: int = 0, deadline: float = math.inf, priority: int = 0
    ) -> None:
        self.key = key
        self.rows = rows
        self.nbytes = nbytes
        self.deadline = deadline
        self.rank = (priority or DEFAULT_PRIORITY, deadline, 0)
        self.arrived = 0.0
        self.queued = False


J = TypeVar("J", bound=Job)


@dataclass(eq=False, slots=True)
class Batch(Generic[J]):
    """Jobs to run together: `rows` of theirs, begun at `began`, expected to take `seconds`."""

    jobs: list[J]
    rows: int
    began: float
    seconds: float


class _Line(Generic[J]):
    """The queued jobs of one key, in the order of their ranks."""

    __slots__ = ("jobs", "rows")

    def __init__(self) -> None:
        self.jobs: list[J] = []
        self.rows = 0

    def add(self, job: J) -> None:
        if self.jobs and job.rank < self.jobs[-1].rank:
            insort(self.jobs, job, key=_RANK)
        else:
            self.jobs.append(job)
        self.rows += job.rows

    def remove(self, job: J) -> None:
        del self.jobs[bisect_left(self.jobs, job.rank, key=_RANK)]
        self.rows -= job.rows

    def rows_before(self, rank: tuple[int, float, int]) -> int:
        """Return the rows of the jobs before a rank: counted from the end, where new jobs mostly belong."""
        rows = self.rows
        for job in reversed(self.jobs):
            if job.rank < rank:
                break
            rows -= job.rows
        return rows

    def passed(self, now: float) -> list[J]:
        """Return the jobs whose deadline is not after `now`: the first ones of each priority."""
        found: list[J] = []
        at = 0
        while at < len(self.jobs):
            priority = self.jobs[at].rank[0]
            end = bisect_right(self.jobs, (priority, now, math.inf), lo=at, key=_RANK)
            found += self.jobs[at:end]
            at = bisect_left(self.jobs, (priority + 1,), lo=end, key=_RANK)
        return found


class Scheduler(Generic[J]):
    """Queue and lanes of one model. Not thread-safe: the driver holds a lock.

    latency     what batches cost; `done` tracks it
    lanes       batches that run at the same time
    limits      of the queue
    patient     an idle lane may wait for one more row when the table says that less is waited in all
    """

    def __init__(
        self, latency: LatencyTable, lanes: int = 1, limits: Limits | None = None, *, patient: bool = False
    ) -> None:
        self.latency = latency
        self.lanes = lanes
        self.limits = limits or Limits()
        self.patient = patient
        self.wake_at = math.inf
        self.rows = 0
        self.nbytes = 0
        self._lines: dict[Hashable, _Line[J]] = {}
        self._halves: deque[list[J]] = deque()
        self._running: set[Batch[J]] = set()
        self._late: list[J] = []
        self._timed = 0
        self._count = 0
        self._last_arrival = -math.inf
        self._gap = math.inf

    @property
    def idle(self) -> int:
        """Return the number of lanes that have nothing to do."""
        return self.lanes - len(self._running)

    @property
    def waiting(self) -> bool:
        """Return whether anything is queued, halves of batches that failed included."""
        return bool(self._lines or self._halves)

    @property
    def busy(self) -> bool:
        """Return whether anything is queued or running."""
        return bool(self._running or self.waiting)

    def submit(self, jobs: Sequence[J], now: float) -> None:
        """Queue all of the jobs, or none: each has 1 to `latency.max_rows` rows.

        Raises `DeadlineError` when not even an idle lane could meet the deadline, `OverloadedError` when the queue is
        full or, by the latency table, the deadline would be missed behind what is queued and running.
        """
        self._admit(jobs, now)
        for job in jobs:
            self._count += 1
            job.rank = (job.rank[0], job.deadline, self._count)
            job.arrived = now
            job.queued = True
            line = self._lines.get(job.key)
            if line is None:
                line = self._lines[job.key] = _Line()
            line.add(job)
            self.rows += job.rows
            self.nbytes += job.nbytes
            self._timed += job.deadline != math.inf
        if self.patient:
            self._note_arrival(sum(job.rows for job in jobs), now)

    def next(self, now: float, *, alone: bool = False) -> Batch[J] | None:
        """Return what an idle lane should run now, or None; ask again when something changes, or at `wake_at`.

        alone       do not leave a share of a short queue to other idle lanes
        """
        self.wake_at = math.inf
        idle = self.idle
        if idle < 1:
            return None
        if self._halves:
            jobs = self._halves.popleft()
            return self._start(jobs, sum(job.rows for job in jobs), now)
        while self._lines:
            line = min(self._lines.values(), key=_head_rank)
            head = line.jobs[0]
            size = max(head.rows, self._size(line, 1 if alone else idle, now))
            if now + self.latency.predict(size) > head.deadline:
                self._remove(head)
                self._late.append(head)
            elif idle == 1 and self._waits(line, size, now):
                return None
            else:
                return self._start(*self._take(line, size, now), now)
        return None

    def done(self, batch: Batch[J], now: float) -> None:
        """Free the lane of a batch that ran, and learn from the time that it took."""
        self._running.remove(batch)
        self.latency.observe(batch.rows, now - batch.began)

    def failed(self, batch: Batch[J]) -> list[J]:
        """Free the lane of a batch that failed; returns the job that failed alone, or nobody: its halves run next."""
        self._running.remove(batch)
        if len(batch.jobs) == 1:
            return batch.jobs
        middle = len(batch.jobs) // 2
        self._halves.extendleft((batch.jobs[middle:], batch.jobs[:middle]))
        return []

    def cancel(self, job: J) -> bool:
        """Take a job out; False when it is running or gone, and its answer, if one comes, is to be dropped."""
        if job.queued:
            self._remove(job)
            return True
        for half in self._halves:
            if job in half:
                half.remove(job)
                if not half:
                    self._halves.remove(half)
                return True
        return False

    def expire(self, now: float) -> list[J]:
        """Take out, and return, the jobs whose deadline has passed, or was found by `next` to be out of reach."""
        late, self._late = self._late, []
        if self._timed:
            passed = [job for line in self._lines.values() for job in line.passed(now)]
            for job in passed:
                self._remove(job)
            late += passed
        return late

    def forecast(self, job: J, rows: int, now: float) -> tuple[float, float]:
        """Return when `rows` of a job's kind would begin and be done, behind all that runs or is queued before them."""
        rank, most = (*job.rank[:2], self._count + 1), self.latency.max_rows
        line = self._lines.get(job.key)
        own = line.rows_before(rank) if line else 0
        joined = own % most  # they fill up the last batch of their own key
        ahead = self.latency.total(own - joined)
        ahead += sum(self.latency.total(other.rows_before(rank)) for other in self._lines.values() if other is not line)
        ahead += sum(self.latency.total(sum(job.rows for job in half)) for half in self._halves)
        begin = self._free_at(ahead, now)
        # Without a backlog `_size` keeps the batch small enough; in one, batches are full.
        least = self.latency.predict(joined + rows if self.rows + rows <= most else most)
        return begin, begin + max(least, self.latency.total(joined + rows) / self.lanes)

    def _free_at(self, work: float, now: float) -> float:
        """Return when the first lane is free once `work` seconds are spread over the lanes, the least busy first."""
        ends = sorted(max(now, batch.began + batch.seconds) for batch in self._running)
        ends = [now] * self.idle + ends
        for lanes, (end, later) in enumerate(itertools.pairwise([*ends, math.inf]), start=1):
            room = (later - end) * lanes
            if work <= room:
                return end + work / lanes
            work -= room
        raise AssertionError("the last lane has room for everything")

    def _admit(self, jobs: Sequence[J], now: float) -> None:
        limits, first = self.limits, jobs[0]
        rows = nbytes = 0
        for job in jobs:
            if not 1 <= job.rows <= self.latency.max_rows:
                raise ValueError(f"a job of {job.rows} rows: expected 1 to {self.latency.max_rows}")
            rows += job.rows
            nbytes += job.nbytes
        if self.rows + rows > limits.rows or self.nbytes + nbytes > limits.nbytes:
            wait = max(self.latency.total(min(rows, self.rows)), self.latency.predict(1)) / self.lanes
            raise OverloadedError(
                f"the queue is full ({self.rows} rows, {self.nbytes} bytes; it may hold {limits.rows} rows, "
                f"{limits.nbytes} bytes); come back in {wait:.3g} s",
                wait,
            )
        if first.deadline == math.inf and self.rows < self.latency.max_rows * self.lanes:
            return  # they go out with the next batches
        begin, end = self.forecast(first, rows, now)
        if end > first.deadline:
            least = max(self.latency.predict(first.rows), self.latency.total(rows) / self.lanes)
            left = first.deadline - now
            if least > left:
                raise DeadlineError(f"the deadline is in {left:.3g} s, and this takes {least:.3g} s; allow more time")
            raise OverloadedError(
                f"the deadline is in {left:.3g} s, and with what is queued this takes {end - now:.3g} s; come back in "
                f"{end - first.deadline:.3g} s",
                end - first.deadline,
            )
        if begin - now > limits.wait_s:
            raise OverloadedError(
                f"the queue is {begin - now:.3g} s long, {limits.wait_s:g} s at most; come back in "
                f"{begin - now - limits.wait_s:.3g} s",
                begin - now - limits.wait_s,
            )

    def _size(self, line: _Line[J], lanes: int, now: float) -> int:
        """Return the rows to run at once: the latency table's choice for a lane's share, less for a tight deadline."""
        size = self.latency.best(-(-line.rows // lanes))
        if line.rows <= self.latency.max_rows:
            left = line.jobs[0].deadline - now
            while size > 1 and self.latency.predict(size) > left:
                size //= 2
        return size

    def _take(self, line: _Line[J], size: int, now: float) -> tuple[list[J], int]:
        """Take the first job and those that fit beside it, unless these would be late; returns them and their rows."""
        room, end = self.latency.padded(size), now + self.latency.predict(size)
        taken: list[J] = []
        left: list[J] = []
        rows = 0
        for job in line.jobs:
            if rows + job.rows <= room and end <= job.deadline:
                taken.append(job)
                rows += job.rows
                if rows == room:
                    break
            else:
                left.append(job)
                if len(left) == _LOOK:
                    break
        line.jobs[: len(taken) + len(left)] = left
        line.rows -= rows
        if not line.jobs:
            del self._lines[taken[0].key]
        for job in taken:
            self._leave(job)
        return taken, rows

    def _start(self, jobs: list[J], rows: int, now: float) -> Batch[J]:
        batch = Batch(jobs, rows, now, self.latency.predict(rows))
        self._running.add(batch)
        return batch

    def _remove(self, job: J) -> None:
        line = self._lines[job.key]
        line.remove(job)
        if not line.jobs:
            del self._lines[job.key]
        self._leave(job)

    def _leave(self, job: J) -> None:
        job.queued = False
        self.rows -= job.rows
        self.nbytes -= job.nbytes
        self._timed -= job.deadline != math.inf

    def _note_arrival(self, rows: int, now: float) -> None:
        """Track the seconds between two rows."""
        gap = (now - self._last_arrival) / rows
        self._gap = gap if self._gap == math.inf else self._gap + _GAP_WEIGHT * (gap - self._gap)
        self._last_arrival = now

    def _waits(self, line: _Line[J], size: int, now: float) -> bool:
        """Tell whether the idle lane should wait for one more row, expected in `gap` seconds.

        With L the latency of a batch, n rows that go now and the next row after them wait n L(n) + L(n) - gap + L(1) in
        all; n + 1 rows that go together wait n (gap + L(n + 1)) + L(n + 1).
        """
        rows, predict = line.rows, self.latency.predict
        gap = self._last_arrival + self._gap - now
        if not self.patient or size < rows or rows >= self.latency.max_rows or gap <= 0 or gap >= predict(rows):
            return False
        apart = (rows + 1) * predict(rows) - gap + predict(1)
        together = rows * gap + (rows + 1) * predict(rows + 1)
        if together >= apart or now + gap + predict(rows + 1) > line.jobs[0].deadline:
            return False
        self.wake_at = now + gap
        return True


def _head_rank(line: _Line[Any]) -> tuple[int, float, int]:
    rank: tuple[int, float, int] = line.jobs[0].rank
    return rank
