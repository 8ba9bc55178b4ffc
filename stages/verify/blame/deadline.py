"""Blame is bounded in time: whatever takes long asks here whether there is some left."""

import time


class OutOfTimeError(Exception):
    """The time that blame may take is over; what was found so far is kept."""


class Deadline:
    """A moment after which `check` raises."""

    def __init__(self, seconds: float) -> None:
        self.started = time.monotonic()
        self.seconds = seconds

    def check(self) -> None:
        """Raise `OutOfTimeError` when the time is over."""
        if self.elapsed() > self.seconds:
            raise OutOfTimeError

    def elapsed(self) -> float:
        """Return seconds since the start."""
        return time.monotonic() - self.started
