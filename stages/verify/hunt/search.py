"""All searches on one model, each with its share of the time."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from stages.verify.hunt.activations import drive
from stages.verify.hunt.budget import Budget, seconds_of
from stages.verify.hunt.evolve import Score, evolve
from stages.verify.hunt.found import Found, joined
from stages.verify.hunt.margins import narrow
from stages.verify.hunt.scores import divergence, noise_ratio
from stages.verify.material import count, head
from stages.verify.reference import Answer, Feeds, Reference, Transparent


@dataclass(frozen=True)
class Effort:
    """How far the searches go when time does not end them.

    seeds      evaluation rows that the searches start from
    starts     of these, from which each end of each layer is sought
    steps      of gradients, for each layer
    rounds     of evolution, in each search that evolves
    batch      rows that go through the network at once
    """

    seeds: int = 32
    starts: int = 2
    steps: int = 40
    rounds: int = 40
    batch: int = 32

    def fitted(self, seconds: float, row_s: float) -> "Effort":
        """Return the effort with fewer seeds where a row takes long: three evolutions of a dozen rounds should fit."""
        return replace(self, seeds=max(2, min(self.seeds, int(seconds / max(row_s, 1e-9) / 36))))


@dataclass(frozen=True)
class Quarry:
    """What is hunted on: the reference, the model's answers, and the yardsticks of its examination.

    seeds           evaluation rows of one shape
    noise           pooled rounding noise by output: no row's ratio is taken against less
    least_margin    a margin below which rounding decides, and nothing is learnt
    """

    reference: Reference
    answer: Answer
    seeds: Feeds
    noise: dict[str, float]
    least_margin: float


def search(quarry: Quarry, budget: Budget, effort: Effort, seed: int = 0) -> Iterator[Found]:
    """Yield what each search found: the same for the same arguments, unless the time ends first.

    Activations take half of the time, when the reference shows its inside; margins, divergence and answers share the
    rest. The last one starts from the best that the others found; it chooses rows by the model's own error, as the one
    before it does by torch float32's, so what that reached is its yardstick.
    """
    reference, generator = quarry.reference, np.random.default_rng(seed)
    effort = effort.fitted(budget.left() / 2, _row_seconds(quarry))
    seeds = head(quarry.seeds, effort.seeds)
    found: list[Found] = []
    if isinstance(reference, Transparent):
        part = budget.part(0.5)
        found += drive(
            reference, reference.input, quarry.seeds, part, effort.steps, each=effort.starts, batch=effort.batch
        )
        yield from found
    narrowed = narrow(
        reference, reference.input, seeds, quarry.least_margin, budget.part(1 / 3), effort.rounds, generator
    )
    yield narrowed
    apart = _evolved(
        "divergence", divergence(reference, quarry.noise), seeds, quarry, budget.part(0.5), effort.rounds, generator
    )
    yield apart
    best = joined([part.best(max(1, effort.seeds // 4)).feeds for part in (*found[:2], narrowed, apart)])
    ratio = noise_ratio(reference, quarry.answer, quarry.noise)
    yield _evolved("answers", ratio, best, quarry, budget, effort.rounds, generator)


def _row_seconds(quarry: Quarry) -> float:
    """Return what one row costs: truth, rounding and answer."""
    score = noise_ratio(quarry.reference, quarry.answer, quarry.noise)
    return seconds_of(lambda: score(head(quarry.seeds, 1)))


def _evolved(
    kind: str,
    score: Score,
    start: Feeds,
    quarry: Quarry,
    budget: Budget,
    rounds: int,
    generator: np.random.Generator,
) -> Found:
    feeds, before, after, taken = evolve(score, start, quarry.reference.input, budget.steps(rounds), generator)
    return Found(kind, feeds, (_SOUGHT[kind],) * count(feeds), before, after, taken)


_SOUGHT = {
    "divergence": "torch float32 furthest from float64",
    "answers": "the model furthest from float64, in units of noise",
}
