"""What a search hands back, and the arithmetic of inputs that all searches share."""

from dataclasses import dataclass, replace

import numpy as np

from deploy.bundle import Signature, TensorSpec
from stages.dataset import Array
from stages.verify.reference import Feeds


@dataclass(frozen=True)
class Found:
    """Rows of one search, all of one shape.

    kind       activations, divergence, margins or answers
    what       what was sought in each row, in words
    before, after    each row's score (N,): of its seed, and reached; never lower
    steps      that the search took
    layers     that were driven further than any seed drives them
    """

    kind: str
    feeds: Feeds
    what: tuple[str, ...]
    before: Array
    after: Array
    steps: int
    layers: frozenset[str] = frozenset()

    def best(self, most: int) -> "Found":
        """Return the rows that rose highest, at most so many."""
        chosen = np.argsort(-self.after, kind="stable")[:most]
        feeds = {name: array[chosen] for name, array in self.feeds.items()}
        what = tuple(self.what[number] for number in chosen)
        return replace(self, feeds=feeds, what=what, before=self.before[chosen], after=self.after[chosen])


def bounds(spec: TensorSpec, values: Array) -> tuple[float, float]:
    """Return the smallest and the largest value that an input may have: as promised, else as seen."""
    return spec.range or (float(values.min()), float(values.max()))


def settle(values: Array, spec: TensorSpec, low: float, high: float) -> Array:
    """Return values as the input can hold them: clipped to its range, rounded when they are whole numbers."""
    clipped = np.clip(values, low, high)
    dtype = np.dtype(spec.dtype)
    return (clipped.round() if dtype.kind in "iu" else clipped).astype(dtype)


def symbols(array: Array) -> bool:
    """Tell whether values are symbols (characters, words, categories: signed whole numbers), and not quantities."""
    return array.dtype.kind == "i"


def exchanged(values: Array, part: float, pool: Array, generator: np.random.Generator) -> Array:
    """Return symbols with a part of them, one at least on average, exchanged for others of a pool."""
    chosen = generator.random(values.shape) < max(part, 1 / max(1, values.size))
    return np.where(chosen, generator.choice(pool.reshape(-1), values.shape), values)


def neighbours(feeds: Feeds, signature: Signature, each: int, generator: np.random.Generator) -> Feeds:
    """Return every row of a batch with `each` others a hair beside it behind it: same fault, other rounding.

    A quarter of the values moves: whole numbers by 1, real ones by up to a thousandth of the range. Of symbols a
    sixteenth is exchanged.
    """
    made = {}
    for spec in signature.tensors:
        values = np.repeat(feeds[spec.name], 1 + each, axis=0)
        if symbols(values):
            others = exchanged(values, 1 / 16, feeds[spec.name], generator)
            others[:: 1 + each] = feeds[spec.name]
            made[spec.name] = others
            continue
        low, high = bounds(spec, values)
        step = 1.0 if values.dtype.kind in "iu" else (high - low) / 1000
        moves = generator.choice([-step, step], values.shape) * (generator.random(values.shape) < 0.25)
        moves[:: 1 + each] = 0
        made[spec.name] = settle(values + moves, spec, low, high)
    return made


def chosen(first: Array, one: Feeds, other: Feeds) -> Feeds:
    """Return the rows of `one` where `first` (N,) is true, else those of `other`."""
    return {name: np.where(by_row(first, array), array, other[name]) for name, array in one.items()}


def by_row(values: Array, like: Array) -> Array:
    """Return one value a row (N,), shaped to go with an array of rows."""
    return values.reshape(-1, *[1] * (like.ndim - 1))


def joined(parts: list[Feeds]) -> Feeds:
    """Return batches of one row shape as one batch."""
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
