"""How well vectors find their like: every row asks for the others of its split, by cosine."""

import numpy as np

from stages.dataset import Array

_BLOCK = 1024


def nearest(vectors: Array, count: int) -> tuple[Array, Array]:
    """Return each row's `count` nearest others, nearest first: their rows (N, count) and cosines (N, count).

    vectors    of any length (N, size); one of length 0 has the cosine 0 with all

    A row of the very same values is no other one: a sample that is there twice tells nothing, and a network that always
    answers the same would look perfect. Where others are too few, the row is -1, the cosine -inf.
    """
    identity = np.unique(vectors, axis=0, return_inverse=True)[1].reshape(-1)
    units = unit(vectors)[0]
    rows = np.full((len(units), count), -1)
    cosines = np.full((len(units), count), -np.inf, units.dtype)
    for start in range(0, len(units), _BLOCK):
        block = slice(start, start + _BLOCK)
        found = units[block] @ units.T
        found[identity[block, None] == identity] = -np.inf
        chosen = np.argpartition(-found, min(count, len(units) - 1), axis=1)[:, :count]
        values = np.take_along_axis(found, chosen, axis=1)
        order = np.argsort(-values, axis=1, kind="stable")
        rows[block, : chosen.shape[1]] = np.take_along_axis(chosen, order, axis=1)
        cosines[block, : chosen.shape[1]] = np.take_along_axis(values, order, axis=1)
    rows[np.isneginf(cosines)] = -1
    return rows, cosines


def recall(vectors: Array, targets: Array, ranks: tuple[int, ...] = (1, 5)) -> dict[str, float]:
    """Return the share of rows that find one of their class among the first 1, 5, ... others, as `recall_at_<rank>`.

    targets    classes (N,)

    Rows whose class nobody else has do not ask; where none asks, it is 0.
    """
    found = nearest(vectors, max(ranks))[0]
    hits = (targets[found] == targets[:, None]) & (found >= 0)
    asking = np.bincount(targets)[targets] > 1
    return {f"recall_at_{k}": float(hits[asking, :k].any(axis=1).mean()) if asking.any() else 0.0 for k in ranks}


def directions(vectors: Array) -> float:
    """Return in how many directions vectors (N, size) are spread: 0 when all are equal, `size` when in all alike.

    The participation ratio of the eigenvalues of their covariance, (sum of them)^2 / sum of their squares.
    """
    centred = vectors.astype(np.float64) - vectors.mean(axis=0)
    covariance = centred.T @ centred
    squares = float(np.square(covariance).sum())
    return float(np.trace(covariance) ** 2 / squares) if squares else 0.0


def decide(vectors: Array) -> tuple[Array, Array]:
    """Return each row's nearest other (N,), by cosine, and its margin (N,) in units of the vectors' values.

    The margin is how much smaller the cosine with the second nearest is, times the shortest of the three lengths (by
    which rounding of the values counts less or more for cosines); of unit vectors, these are 1. A row without a choice,
    in a batch of one or two, has an infinite margin.
    """
    count = len(vectors)
    if count < 3:
        return np.arange(count)[::-1].copy(), np.full(count, np.inf)
    units, lengths = unit(vectors.astype(np.float64))
    cosines = units @ units.T
    np.fill_diagonal(cosines, -np.inf)
    first = cosines.argmax(axis=1)
    best = cosines[np.arange(count), first]
    cosines[np.arange(count), first] = -np.inf
    second = cosines.argmax(axis=1)
    shortest = np.minimum(lengths, np.minimum(lengths[first], lengths[second]))
    return first, (best - cosines[np.arange(count), second]) * shortest


def unit(vectors: Array) -> tuple[Array, Array]:
    """Return vectors of length 1 (or 0) and the lengths that they had."""
    lengths = np.linalg.norm(vectors, axis=1)
    return vectors / np.where(lengths > 0, lengths, 1)[:, None], lengths
