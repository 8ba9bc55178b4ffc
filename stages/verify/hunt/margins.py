"""Inputs on the border between two decisions: it runs somewhere between any two rows that are decided differently.

Bisection needs decisions only: no gradient, no knowledge of what a margin is made of, and it lands where the border
is, not where a slope points. It ends at two inputs that differ in a few values; evolution takes what margin is left.
"""

import numpy as np

from deploy.bundle import Signature
from stages.dataset import Array
from stages.verify.hunt.budget import Budget
from stages.verify.hunt.evolve import evolve
from stages.verify.hunt.found import Found, bounds, chosen, settle, symbols
from stages.verify.material import count
from stages.verify.places import by_row
from stages.verify.reference import Feeds, Reference

_HALVINGS = 16


def narrow(
    reference: Reference,
    signature: Signature,
    seeds: Feeds,
    least: float,
    budget: Budget,
    steps: int,
    generator: np.random.Generator,
) -> Found:
    """Return a row for each seed, with a margin as small as was found, but not below `least`; scores are -margin.

    Below `least` rounding alone may decide, and nothing is learnt.
    """

    def scored(feeds: Feeds) -> tuple[Array, Array]:
        decisions, margins = by_row(*reference.decide(reference.rounded(feeds)))  # noise is far below `least`
        margins = np.asarray(margins, np.float64)
        return np.asarray(decisions), -np.maximum(np.where(np.isfinite(margins), margins, np.inf), least)

    decisions, before = scored(seeds)
    best, reached, halved = seeds, before, 0
    near, far = seeds, _partners(seeds, decisions)
    for _ in budget.part(0.4).steps(_HALVINGS):
        middle = _between(near, far, signature)
        found, scores = scored(middle)
        near, far = chosen(found == decisions, middle, near), chosen(found == decisions, far, middle)
        best, reached = chosen(scores > reached, middle, best), np.maximum(scores, reached)
        halved += 1
    best, _, reached, taken = evolve(lambda feeds: scored(feeds)[1], best, signature, budget.steps(steps), generator)
    what = ("least margin between two decisions",) * count(seeds)
    return Found("margins", best, what, before, reached, halved + taken)


def _partners(seeds: Feeds, decisions: Array) -> Feeds:
    """Return for each row the next one that is decided differently; the row itself when there is none."""
    size = len(decisions)
    order = (np.arange(size)[:, None] + np.arange(size)) % size
    other = decisions[order] != decisions[:, None]
    return {name: array[order[np.arange(size), other.argmax(1)]] for name, array in seeds.items()}


def _crossed(near: Array, far: Array) -> Array:
    """Return rows of symbols with the first half of what differs, and one at least, from `far`."""
    differs = (near != far).reshape(len(near), -1)
    first = differs.cumsum(axis=1) <= (differs.sum(axis=1, keepdims=True) + 1) // 2
    return np.where((differs & first).reshape(near.shape), far, near)


def _between(near: Feeds, far: Feeds, signature: Signature) -> Feeds:
    """Return the rows half-way, as the inputs can hold them."""
    made = {}
    for spec in signature.tensors:
        one, two = near[spec.name], far[spec.name]
        if symbols(one):
            made[spec.name] = _crossed(one, two)
            continue
        low, high = bounds(spec, np.concatenate([one, two]))
        made[spec.name] = settle((one.astype(np.float64) + two) / 2, spec, low, high)
    return made
