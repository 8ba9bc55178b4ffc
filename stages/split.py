"""Splitting and digesting data: what every source needs once."""

import hashlib

import numpy as np

from stages.dataset import Array, Split


def stratified(targets: Array, fractions: tuple[float, ...], seed: int) -> tuple[Array, ...]:
    """Return row numbers for each fraction, each class shared out in the same proportions, rows in file order.

    Fractions must sum to 1; the last part takes what rounding leaves.
    """
    generator = np.random.default_rng(seed)
    parts: list[list[Array]] = [[] for _ in fractions]
    for label in np.unique(targets):
        rows = generator.permutation(np.flatnonzero(targets == label))
        ends = np.cumsum(shares(len(rows), fractions))[:-1]
        for part, piece in zip(parts, np.split(rows, ends), strict=True):
            part.append(piece)
    return tuple(np.sort(np.concatenate(part)) for part in parts)


def shares(count: int, fractions: tuple[float, ...]) -> tuple[int, ...]:
    """Return how many of `count` rows each fraction gets; they sum to `count`."""
    ends = np.round(np.cumsum(fractions) * count).astype(int)
    return tuple(np.diff(ends, prepend=0).tolist())


def digest(*splits: Split) -> str:
    """Return the SHA-256 over all samples and targets of the splits, with their shapes, dtypes and order."""
    total = hashlib.sha256()
    for split in splits:
        whole = isinstance(split.inputs, np.ndarray)
        for array in (*([split.inputs] if whole else split.inputs), split.targets):
            total.update(f"{array.dtype.str}{array.shape};".encode())
            total.update(np.ascontiguousarray(array).data)
        total.update(b"|")
    return total.hexdigest()
