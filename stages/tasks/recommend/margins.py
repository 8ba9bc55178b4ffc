"""How far each rank of a list is from another item."""

from collections.abc import Mapping

import numpy as np

from stages.dataset import Array


def margins(outputs: Mapping[str, Array], ids: Array) -> Array:
    """Return (N, k): the gap between each rank's score and the nearer one of the ranks above and below.

    Below the last rank comes the best of all items that are not in the list and no better than it; an item taken before
    may be that one, which makes the margin no larger than it is. Ranks that no item is left for differ by more than any
    two scores do.
    """
    items, scores, every = (outputs[name] for name in ("items", "scores", "all_scores"))
    scores = scores.astype(np.float64)
    left = items != 0
    apart = (every.max(axis=1) - every.min(axis=1) + 1.0).astype(np.float64)[:, None]
    gaps = np.where(left[:, 1:], scores[:, :-1] - scores[:, 1:], apart)
    under = _under(items, scores, every, ids)
    below = np.concatenate([gaps, np.where(np.isfinite(under), scores[:, -1:] - under, apart)], axis=1)
    above = np.concatenate([apart, gaps], axis=1)
    found: Array = np.where(left, np.minimum(above, below), apart)
    return np.maximum(found, 0.0)


def _under(items: Array, scores: Array, every: Array, ids: Array) -> Array:
    """Return the best score (N, 1) that is no better than the last rank's and in no rank; -inf where there is none."""
    others = np.where(every <= scores[:, -1:], every, -np.inf)
    rows, ranks = np.nonzero(items)
    others[rows, np.searchsorted(ids, items[rows, ranks])] = -np.inf
    best: Array = others.max(axis=1, keepdims=True)
    return best
