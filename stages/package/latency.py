"""A first idea of speed for the model card: medians on the CPU of the machine that packaged it."""

import statistics
import time
from pathlib import Path

from stages.verify.material import repeated
from stages.verify.reference import Feeds
from stages.verify.session import open_model

_SIZES = (1, 8)
_REPEATS = 20


def median_latency_ms(model: Path, row: Feeds) -> dict[str, float]:
    """Return the median milliseconds for a row once and 8 times, by batch size as text; whole graph, CPU."""
    answer = open_model(model, "cpu")
    found = {}
    for size in _SIZES:
        feeds = repeated(row, size)
        answer(feeds)  # the first run allocates
        times = []
        for _ in range(_REPEATS):
            started = time.perf_counter()
            answer(feeds)
            times.append((time.perf_counter() - started) * 1000)
        found[str(size)] = round(statistics.median(times), 3)
    return found
