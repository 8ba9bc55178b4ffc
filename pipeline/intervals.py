"""Intervals of a metric measured on a test split."""

import math
import time
from collections.abc import Callable, Mapping

import numpy as np

from stages.dataset import Array

_Z = 1.959964  # 97.5 % quantile of the normal distribution
_RESAMPLES = 300
_LEAST_RESAMPLES = 40
_SECONDS = 20.0  # for all resamples of one metric: some are slow, as mean average precision


def wilson(rate: float, trials: int) -> tuple[float, float]:
    """Return the 95 % interval of a rate seen in `trials` independent rows (Wilson 1927); (0, 1) without any."""
    if not trials:
        return 0.0, 1.0
    shrink = 1 + _Z**2 / trials
    centre = (rate + _Z**2 / (2 * trials)) / shrink
    half = _Z / shrink * math.sqrt(rate * (1 - rate) / trials + _Z**2 / (4 * trials**2))
    return max(0.0, centre - half), min(1.0, centre + half)


def bootstrap(
    metric: Callable[[Mapping[str, Array], Array], float], outputs: Mapping[str, Array], targets: Array, seed: int = 0
) -> tuple[float, float]:
    """Return the 95 % percentile interval of any metric over rows drawn with replacement (Efron 1979); seeded.

    Of a slow metric fewer resamples are drawn.
    """
    generator = np.random.default_rng(seed)
    rows = len(targets)
    values: list[float] = []
    begun = time.monotonic()
    while len(values) < _RESAMPLES and (len(values) < _LEAST_RESAMPLES or time.monotonic() - begun < _SECONDS):
        pick = generator.integers(0, rows, rows)
        values.append(metric({name: array[pick] for name, array in outputs.items()}, targets[pick]))
    low, high = np.nanquantile(values, [0.025, 0.975])
    return float(low), float(high)
