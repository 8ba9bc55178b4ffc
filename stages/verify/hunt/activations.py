"""Inputs that drive the layers to their extremes, where clips and saturations hide: by gradients, layer by layer.

A clip at a value that no test row reaches changes no test answer. The gradient of a layer's largest (or smallest) value
leads far beyond what data reaches; the model is then tried on those inputs.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch

from deploy.bundle import Signature
from stages.dataset import Array
from stages.verify.hunt.ascent import as_tensors, ascend
from stages.verify.hunt.budget import Budget, seconds_of
from stages.verify.hunt.found import Found, bounds
from stages.verify.hunt.levels import Levels
from stages.verify.reference import Feeds, Transparent

_LEAST_STEPS = 8  # with fewer, little is gained


@dataclass(frozen=True)
class Target:
    """One end of one layer's values.

    extreme    what the seeds reach, times `sign`; scale: the furthest from 0 of that end
    seeds      their numbers, the furthest first
    """

    layer: str
    sign: int
    extreme: float
    scale: float
    seeds: Array

    def level(self, levels: Levels) -> torch.Tensor:
        """Return how far each row went in the last forward pass (N,)."""
        return self.sign * levels.seen[self.layer][0 if self.sign > 0 else 1]

    def __str__(self) -> str:
        return f"{'largest' if self.sign > 0 else 'smallest'} value of {self.layer}"


def drive(
    reference: Transparent, signature: Signature, seeds: Feeds, budget: Budget, steps: int, *, each: int, batch: int
) -> list[Found]:
    """Return, in batches, inputs that drive each layer up and down; scores are in units of the seeds' extreme.

    Every end of every layer starts from the `each` seeds that are furthest already. Where time is short it is fewer,
    and then one row serves several layers at once. Empty when no input takes real numbers.
    """
    if not reference.free:
        return []
    with Levels(reference.module) as levels:
        targets = _targets(reference, levels, signature, seeds)
        if not targets:
            return []
        cost = seconds_of(lambda: _climb(reference, levels, signature, seeds, [[(targets[-1], 0)]], budget, 0))
        affordable = max(1, budget.affords(cost * _LEAST_STEPS))
        heaps = _heaps(targets, each, affordable)
        found = []
        for start in range(0, len(heaps), batch):
            some = heaps[start : start + batch]
            share = budget.part(len(some) / (len(heaps) - start))
            found.append(_climb(reference, levels, signature, seeds, some, share, steps))
    return found


Heap = list[tuple[Target, int]]  # what one row is driven to at once, and which of the targets' seeds it starts from


def _heaps(targets: list[Target], each: int, affordable: int) -> list[Heap]:
    starts = max(1, min(each, affordable // len(targets)))
    wanted = [(target, rank) for rank in range(starts) for target in targets]
    rows = min(affordable, len(wanted))
    return [wanted[first::rows] for first in range(rows)]


def _targets(reference: Transparent, levels: Levels, signature: Signature, seeds: Feeds) -> list[Target]:
    """Return both ends of each layer whose values differ between the seeds."""
    with torch.no_grad():
        tensors = as_tensors(seeds)
        reference.module(*(tensors[spec.name] for spec in signature.tensors))
    targets = []
    for layer, ends in levels.seen.items():
        for sign, values in zip((1, -1), ends, strict=True):
            signed = (sign * values).numpy()
            if np.isfinite(signed).all() and signed.max() > signed.min():
                furthest = np.argsort(-signed, kind="stable")
                targets.append(Target(layer, sign, float(signed.max()), float(np.abs(signed).max()), furthest))
    return targets


def _climb(
    reference: Transparent,
    levels: Levels,
    signature: Signature,
    seeds: Feeds,
    heaps: list[Heap],
    budget: Budget,
    steps: int,
) -> Found:
    """Drive one row for each heap."""
    names = [spec.name for spec in signature.tensors]
    begin = np.array([heap[0][0].seeds[heap[0][1] % len(heap[0][0].seeds)] for heap in heaps])

    def objective(tensors: Mapping[str, torch.Tensor]) -> torch.Tensor:
        reference.module(*(tensors[name] for name in names))
        return torch.stack([_mean(levels, heap, number) for number, heap in enumerate(heaps)])

    start = {name: seeds[name][begin] for name in names}
    limits = {spec.name: bounds(spec, seeds[spec.name]) for spec in signature.tensors}
    feeds, before, after, taken = ascend(
        objective, start, signature.tensors, reference.free, limits, budget.steps(steps)
    )
    with torch.no_grad():
        objective(as_tensors(feeds))
    driven = (t for n, heap in enumerate(heaps) for t, _ in heap if float(t.level(levels)[n]) > t.extreme)
    layers = frozenset(target.layer for target in driven)
    return Found("activations", feeds, tuple(map(_words, heaps)), before, after, taken, layers)


def _mean(levels: Levels, heap: Heap, number: int) -> torch.Tensor:
    """Return how far a row drives its targets, on average, in units of the seeds' extremes."""
    return torch.stack([target.level(levels)[number] / target.scale for target, _ in heap]).mean()


def _words(heap: Heap) -> str:
    more = f" and of {len(heap) - 1} others" if len(heap) > 1 else ""
    return f"{heap[0][0]}{more}"
