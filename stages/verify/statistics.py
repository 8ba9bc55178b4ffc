"""What can be said about a rate, and about a difference between two, from the rows that there are.

Bounds are exact: no normal approximation, which says 0 +- 0 when nothing was seen.
"""

import math

import numpy as np
from scipy.special import bdtr, betaincinv

CONFIDENCE = 0.95
_RESAMPLES = 10_000


def rate_bound(events: int, trials: int, confidence: float = CONFIDENCE) -> float:
    """Return the one-sided upper bound of Clopper and Pearson (1934) on a rate.

    The largest rate at which `events` or fewer in `trials` still happen with probability 1 - confidence: the quantile
    of Beta(events + 1, trials - events). 1.0 without trials.
    """
    if not 0 <= events <= trials:
        raise ValueError(f"{events} events in {trials} trials: expected 0 <= events <= trials")
    if events == trials:
        return 1.0
    return float(betaincinv(events + 1, trials - events, confidence))


def rows_needed(rate: float, events: int = 0, confidence: float = CONFIDENCE) -> int:
    """Return the least number of trials in which no more than `events` show a rate below `rate`, in (0, 1).

    Without events ln(1 - confidence) / ln(1 - rate): 299 for 1 %, 2,995 for 0.1 %.
    """
    if not 0 < rate < 1:
        raise ValueError(f"rate {rate}: expected more than 0 and less than 1")
    low, high = events, max(2 * events, math.ceil(math.log1p(-confidence) / math.log1p(-rate)))
    while rate_bound(events, high, confidence) > rate:
        high *= 2
    while high - low > 1:
        middle = (low + high) // 2
        if rate_bound(events, middle, confidence) <= rate:
            high = middle
        else:
            low = middle
    return high


def mcnemar(gained: int, lost: int) -> float:
    """Return the exact two-sided p-value that rows gained and rows lost are equally likely (McNemar 1947)."""
    return min(1.0, 2 * float(bdtr(min(gained, lost), gained + lost, 0.5)))


def paired_interval(
    gained: int, lost: int, rows: int, seed: int = 0, confidence: float = CONFIDENCE
) -> tuple[float, float]:
    """Return an interval of the difference in accuracy, (gained - lost) / rows, from the pairs of right and wrong.

    A percentile bootstrap over the rows, seeded. When no row differs all resamples are alike, and the interval is what
    Clopper and Pearson leave room for, in each direction.
    """
    if not gained + lost:
        bound = rate_bound(0, rows, (1 + confidence) / 2)
        return -bound, bound
    shares = np.array([gained, lost, rows - gained - lost]) / rows
    drawn = np.random.default_rng(seed).multinomial(rows, shares, _RESAMPLES)  # what resampling the rows amounts to
    tail = (1 - confidence) / 2
    low, high = np.quantile((drawn[:, 0] - drawn[:, 1]) / rows, [tail, 1 - tail])
    return float(low), float(high)
