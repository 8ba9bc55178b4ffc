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

    arrived, began, ended    came to the queue, its batch began, its batch ended: seconds of `time.monotonic`
    batch_rows               rows of the batch that it shared; of several batches, the largest
    """

    __slots__ = ("arrived", "batch_rows", "began", "ended")

    def __init__(self) -> None:
        self.arrived = self.began = self.ended = 0.0
        self.batch_rows = 0

    def note(self, jobs: Sequence[Queued]) -> None:
        """Take the times of the jobs that a request became: from the first one's to the last one's."""
        first = jobs[0]
        ran = first.ran
        self.arrived, self.began, self.ended, self.batch_rows = first.arrived, ran.began, ran.ended, ran.rows
        for job in jobs[1:]:
            self.began = min(self.began, job.ran.began)
            self.ended = max(self.ended, job.ran.ended)
            self.batch_rows = max(self.batch_rows, job.ran.rows)

    @property
    def queue_s(self) -> float:
        """Seconds in the queue."""
        return self.began - self.arrived

    @property
    def compute_s(self) -> float:
        """Seconds that its batch ran."""
        return self.ended - self.began
