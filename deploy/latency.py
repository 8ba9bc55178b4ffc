"""What a batch costs: seconds by rows, measured at a few sizes and tracked while serving; the best way to cut a queue.

All predictions of the scheduler come from here: Clockwork (Gujarati et al., OSDI 2020) showed that a table by model and
batch size is enough to predict when a request will be done.
"""

from bisect import bisect_left
from collections.abc import Mapping
from itertools import accumulate

WEIGHT = 0.2  # of a new observation
STEP = 0.5  # an observation further than this share from what was predicted counts as this far: a stall is no trend
FORGET = 0.02  # of what a size is believed to be worse than at first, by each batch of another size
STALE = 0.2  # plans, which cost as much as a small batch, are made anew when a latency moved by more than this share
MARGIN = 0.05  # a batch is split only if that saves more than this share: less is noise


class LatencyTable:
    """Seconds that a batch takes on one lane, known at some sizes ("buckets"); more rows never take less.

    seconds     by rows; measured with all lanes at work
    fixed       batches run in the sizes of the buckets only, padded; else in any size, interpolated
    """

    def __init__(self, seconds: Mapping[int, float], *, fixed: bool = False) -> None:
        if not seconds or min(seconds) < 1 or min(seconds.values()) <= 0:
            raise ValueError(f"latencies {dict(seconds)}: expected seconds above 0 for batches of 1 row and more")
        self.fixed = fixed
        self._sizes = sorted(seconds)
        self._seconds = list(accumulate((seconds[size] for size in self._sizes), max))
        self._first_seconds = tuple(self._seconds)
        self.max_rows = self._sizes[-1]
        self._plan()

    @property
    def seconds(self) -> dict[int, float]:
        """Return the seconds by bucket as they are now."""
        return dict(zip(self._sizes, self._seconds, strict=True))

    def padded(self, rows: int) -> int:
        """Return the rows that really run for a batch of `rows`."""
        return self._sizes[bisect_left(self._sizes, rows)] if self.fixed else rows

    def predict(self, rows: int) -> float:
        """Return the seconds of one batch of `rows`, at most `max_rows`."""
        at = bisect_left(self._sizes, rows)
        if self.fixed or at == 0 or self._sizes[at] == rows:
            return self._seconds[at]
        low, high = self._sizes[at - 1], self._sizes[at]
        share = (rows - low) / (high - low)
        return self._seconds[at - 1] * (1 - share) + self._seconds[at] * share

    def best(self, rows: int) -> int:
        """Return the size of the first batch of the fastest way to run `rows` on one lane: padded, whole or split."""
        return self._first[min(rows, self.max_rows)]

    def total(self, rows: int) -> float:
        """Return the seconds of the fastest way to run `rows`, any number, on one lane."""
        full, rest = divmod(rows, self.max_rows)
        return full * self._cost[self.max_rows] + self._cost[rest]

    def observe(self, rows: int, seconds: float) -> None:
        """Take in what a batch of `rows` really took; the buckets on both sides of it move, and push others along.

        A size that looked slow is not used, and nothing more would be heard of it: what it was believed to be slower
        than in proportion to the first measurement is slowly forgotten, so that it is tried again.
        """
        known, first = self._seconds, self._first_seconds
        change = min(max(seconds / self.predict(rows) - 1, -STEP), STEP)
        high = bisect_left(self._sizes, rows)
        low = high if self.fixed or high == 0 or self._sizes[high] == rows else high - 1
        known[high] *= 1 + WEIGHT * change
        if low != high:
            known[low] *= 1 + WEIGHT * change
        pace = known[high] / first[high]
        for at in (*range(low), *range(high + 1, len(known))):
            if known[at] > pace * first[at]:
                known[at] -= FORGET * (known[at] - pace * first[at])
        for at in range(low, 0, -1):
            if known[at - 1] > known[at]:
                known[at - 1] = known[at]
        for at in range(high + 1, len(known)):
            if known[at] < known[at - 1]:
                known[at] = known[at - 1]
        for now, then in zip(known, self._planned, strict=True):
            if abs(now - then) > STALE * then:
                self._plan()
                break

    def _plan(self) -> None:
        """Fill in, for 1 to `max_rows` rows, the least total seconds and the first batch that leads there.

        cost[n] = min(predict(n), min over buckets b < n of predict(b) + cost[n - b]), the latter if it saves `MARGIN`
        """
        self._planned = list(self._seconds)
        largest_first = list(zip(self._sizes, self._seconds, strict=True))[::-1]
        cost, first = [0.0], [0]
        for rows in range(1, self.max_rows + 1):
            least, size = self.predict(rows) * (1 - MARGIN), rows
            for bucket, seconds in largest_first:
                if bucket < rows and seconds + cost[rows - bucket] < least:
                    least, size = seconds + cost[rows - bucket], bucket
            if size == rows:
                least = self.predict(rows)
            cost.append(least)
            first.append(size)
        self._cost, self._first = cost, first
