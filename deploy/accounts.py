"""What became of jobs and batches: sums over all of them, and the times of one request."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol


@dataclass
class Stats:
    """What happened since the start, in jobs, rows and seconds; read it whenever you like.

    refused           at once; `refused_late` of them because not even an idle lane could have met their deadline
    expired           while they were queued
    batches           how many ran, by their rows; `batches_s`: the seconds that these took
    """

    done: int = 0
    failed: int = 0
    refused: int = 0
    refused_late: int = 0
    expired: int = 0
    cancelled: int = 0
    rows: int = 0
    batches: dict[int, int] = field(default_factory=dict)
    batches_s: dict[int, float] = field(default_factory=dict)
    queue_s: float = 0.0
    compute_s: float = 0.0


class Ran:
    """One batch, as its jobs remember it: when it began and ended (`time.monotonic`), and its rows."""

    __slots__ = ("began", "ended", "rows")

    def __init__(self, began: float, rows: int) -> None:
        self.began = self.ended = began
        self.rows = rows


class Queued(Protocol):
    """A job that has run."""

    arrived: float
    ran: Ran


class Passage:
    """Where one request was, for whoever hands this to `Batcher.run`; all 0 until it has been answered.

    A request of many steps, like a poem, is many runs, one after the other, and hands this to all of them.

    arrived, began, ended    came to the queue, its first batch began, its last batch ended: seconds of `time.monotonic`
    queue_s, compute_s       seconds in the queue, and that its batches ran: sums over its runs
    batch_rows               rows of the batch that it shared; of several batches, the largest
    runs                     how many it took
    """

    __slots__ = ("arrived", "batch_rows", "began", "compute_s", "ended", "queue_s", "runs")

    def __init__(self) -> None:
        self.arrived = self.began = self.ended = self.queue_s = self.compute_s = 0.0
        self.batch_rows = self.runs = 0

    def note(self, jobs: Sequence[Queued]) -> None:
        """Take the times of the jobs that a run became: from the first one's to the last one's."""
        first = jobs[0]
        ran = first.ran
        began, ended, rows = ran.began, ran.ended, ran.rows
        for job in jobs[1:]:
            began = min(began, job.ran.began)
            ended = max(ended, job.ran.ended)
            rows = max(rows, job.ran.rows)
        if not self.runs:
            self.arrived, self.began = first.arrived, began
        self.ended = ended
        self.queue_s += began - first.arrived
        self.compute_s += ended - began
        self.batch_rows = max(self.batch_rows, rows)
        self.runs += 1
