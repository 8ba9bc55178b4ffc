"""A first idea of speed for the model card: medians on the CPU of the machine that packaged it."""

import statistics
import time
from pathlib import Path

import numpy as np

from deploy.bundle import Signature
from stages.dataset import Dataset
from stages.verify.session import open_model

_SIZES = (1, 8)
_REPEATS = 20


def median_latency_ms(model: Path, signature: Signature, dataset: Dataset) -> dict[str, float]:
    """Return the median milliseconds for a batch of 1 and of 8 rows, by batch size as text; whole graph, CPU."""
    answer = open_model(model, "cpu")
    name, row = signature.tensors[0].name, np.asarray(dataset.test.inputs[0])[None]
    found = {}
    for size in _SIZES:
        feeds = {name: np.repeat(row, size, axis=0)}
        answer(feeds)  # the first run allocates
        times = []
        for _ in range(_REPEATS):
            started = time.perf_counter()
            answer(feeds)
            times.append((time.perf_counter() - started) * 1000)
        found[str(size)] = round(statistics.median(times), 3)
    return found
