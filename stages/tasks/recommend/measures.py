"""How good lists are: hit rate and normalised discounted cumulative gain, with one right item a row."""

import numpy as np

from stages.dataset import Array


def listed(items: Array, right: Array) -> Array:
    """Return the rank (N,) of the right id in lists of ids (N, k), from 0; infinity where it is not in it."""
    found = items == right[:, None]
    return np.where(found.any(axis=1), found.argmax(axis=1), np.inf)


def ranks(scores: Array, targets: Array) -> Array:
    """Return the rank (N,) of the first of `targets` (N, M) among them by `scores` (N, items), from 0.

    Of equal scores half count as better, which is what a random order gives on average.
    """
    asked = np.take_along_axis(scores, targets, axis=1)
    right, others = asked[:, :1], asked[:, 1:]
    rank: Array = (others > right).sum(axis=1) + 0.5 * (others == right).sum(axis=1)
    return rank


def gains(rank: Array, k: int) -> Array:
    """Return 1 / log2(rank + 2) below rank k, else 0: the NDCG of rows with one right item (He et al. 2017)."""
    return np.where(rank < k, 1 / np.log2(np.minimum(rank, k) + 2), 0.0)


def summary(rank: Array, k: int, words: str) -> dict[str, float]:
    """Return hit rate and NDCG at k by name."""
    return {f"hr_{words}": float((rank < k).mean()), f"ndcg_{words}": float(gains(rank, k).mean())}
