"""Time for a search, counted in steps: as many as are wanted, fewer when the clock says so."""

import time
from collections.abc import Callable, Iterator


class Budget:
    """Seconds from now on. The first steps measure what a step costs; none is begun that would end too late."""

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._end = clock() + seconds

    def left(self) -> float:
        """Return the seconds that are left, 0 when there are none."""
        return max(0.0, self._end - self._clock())

    def part(self, fraction: float) -> "Budget":
        """Return a budget of a fraction of what is left."""
        return Budget(fraction * self.left(), self._clock)

    def steps(self, most: int) -> Iterator[int]:
        """Yield 0, 1, ... below `most` while a step as long as the longest so far still fits."""
        longest = 0.0
        for number in range(most):
            begun = self._clock()
            if self._end - begun <= longest:
                return
            yield number
            longest = max(longest, self._clock() - begun)

    def affords(self, seconds: float) -> int:
        """Return how many pieces of work of this length fit into what is left."""
        return int(self.left() / max(seconds, 1e-9))


def seconds_of(work: Callable[[], object]) -> float:
    """Return how long a piece of work takes: the quicker of two runs, because the first one warms up."""
    times = []
    for _ in range(2):
        begun = time.monotonic()
        work()
        times.append(time.monotonic() - begun)
    return min(times)
