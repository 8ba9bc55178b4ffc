"""Search without gradients: every row has a child a step, and the better of the two lives on."""

from collections.abc import Callable, Iterable

import numpy as np

from deploy.bundle import Signature
from stages.dataset import Array
from stages.verify.hunt.found import bounds, chosen, exchanged, settle, symbols
from stages.verify.reference import Feeds

Score = Callable[[Feeds], Array]  # one batch -> (N,), larger is what is sought


def evolve(
    score: Score, start: Feeds, signature: Signature, steps: Iterable[int], generator: np.random.Generator
) -> tuple[Feeds, Array, Array, int]:
    """Return (rows, scores of the start, scores reached, steps taken); no row's score ever falls.

    Children differ from their row in a random part of the values, in a box that is filled, or in one that comes from
    another row. How much is learnt row by row: half as much again after a success, a tenth less after a failure
    (about one success in five: Rechenberg's rule).
    """
    best = start
    before = reached = score(best)
    strength = np.full(len(reached), 0.3)
    taken = 0
    for step in steps:
        children = _children(best, signature, strength, step, generator)
        scores = score(children)
        better = scores > reached
        best = chosen(better, children, best)
        reached = np.where(better, scores, reached)
        strength = np.clip(np.where(better, strength * 1.5, strength * 0.9), 1e-3, 1)
        taken += 1
    return best, before, reached, taken


def _children(feeds: Feeds, signature: Signature, strength: Array, step: int, generator: np.random.Generator) -> Feeds:
    made = {}
    for spec in signature.tensors:
        parents = feeds[spec.name]
        if symbols(parents):
            made[spec.name] = _rewritten(parents, strength, step, generator)
            continue
        low, high = bounds(spec, parents)
        children = parents.astype(np.float64)
        least = 1.0 if parents.dtype.kind in "iu" else 0.0  # what moves a whole number at all
        for number, child in enumerate(children):
            mate = parents[generator.integers(len(parents))]
            power = float(strength[number])
            if (step + number) % 3 == 0 or not child.ndim:
                _sprinkle(child, max(power * (high - low), least), power, generator)
            else:
                source = (
                    mate if (step + number) % 3 == 1 else generator.choice([low, high, generator.uniform(low, high)])
                )
                _fill(child, source, power, generator)
        made[spec.name] = settle(children, spec, low, high)
    return made


def _rewritten(parents: Array, strength: Array, step: int, generator: np.random.Generator) -> Array:
    """Return children of rows of symbols: some exchanged for others, or a box of another row's, or of one symbol."""
    children = parents.copy()
    for number, child in enumerate(children):
        power = float(strength[number])
        way = (step + number) % 3
        if way == 0 or not child.ndim:
            children[number] = exchanged(child, power, parents, generator)
        else:
            mate = parents[generator.integers(len(parents))]
            _fill(child, mate if way == 1 else generator.choice(parents.reshape(-1)), power, generator)
    return children


def _sprinkle(child: Array, reach: float, part: float, generator: np.random.Generator) -> None:
    """Move a part of the values in place, each by up to `reach`."""
    moved = generator.random(child.shape) < max(part, 1 / child.size)
    child += np.where(moved, generator.uniform(-reach, reach, child.shape), 0)


def _fill(child: Array, source: Array | float, part: float, generator: np.random.Generator) -> None:
    """Overwrite a box of this part of the values in place, with one value or with what another row has there."""
    box = tuple(_span(size, part ** (1 / child.ndim), generator) for size in child.shape)
    child[box] = source[box] if isinstance(source, np.ndarray) else source


def _span(size: int, part: float, generator: np.random.Generator) -> slice:
    length = max(1, round(size * part))
    begin = int(generator.integers(size - length + 1))
    return slice(begin, begin + length)
