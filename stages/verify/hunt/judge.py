"""What was found, put to the model: in groups of rows large enough that luck decides nothing."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from stages.verify.compare import Comparison
from stages.verify.examination import Examination
from stages.verify.hunt.budget import Budget, seconds_of
from stages.verify.hunt.found import Found, neighbours
from stages.verify.material import count, row

GROUP = 16
"""Rows whose errors and noise are set against each other. Of one row alone, noise is now and then small by luck, and a
search finds that row. A faithful rewrite may be 2.5 times as rough as torch: of 8 and 8 numbers, one rms is then 8
times the other in 1 of 600 groups (F distribution), which was seen; of 16 and 16 numbers, in 1 of 70,000."""


@dataclass(frozen=True)
class Judged:
    """A found row and the comparison of the group that it is in; `margin` is the reference's."""

    found: Found
    number: int
    group: Comparison
    margin: float


def judge(exam: Examination, found: list[Found], budget: Budget, seed: int = 0) -> Iterator[Judged]:
    """Yield every row that was found, tried on the model with up to 15 neighbours, as many as there is time for.

    When there is time for none, rows of one search form the groups; when not even for that, the best rows do. The
    rows tried are never fewer than one group has.
    """
    found = [part for part in found if count(part.feeds)]
    if not found:
        return
    generator = np.random.default_rng(seed)
    first = row(found[0].feeds, 0)
    cost = seconds_of(lambda: exam.compare([(first, exam.answer(first), "first")]))
    affordable = budget.affords(cost)
    most = max(1, affordable // len(found))
    found = [part.best(most) for part in found]
    total = sum(count(part.feeds) for part in found)
    least = -(-GROUP // total) - 1  # one group at least, even when time is over
    each = min(GROUP - 1, max(least, affordable // total - 1))
    for part in found:
        yield from _judged(exam, part, each, generator)


def _judged(exam: Examination, found: Found, each: int, generator: np.random.Generator) -> Iterator[Judged]:
    rows = count(found.feeds)
    crowd = neighbours(found.feeds, exam.reference.input, each, generator)
    groups = max(1, rows * (1 + each) // GROUP)
    for numbers in np.array_split(np.arange(rows), min(groups, rows)):
        begin, end = numbers[0] * (1 + each), (numbers[-1] + 1) * (1 + each)
        feeds = {name: array[begin:end] for name, array in crowd.items()}
        group = exam.compare([(feeds, exam.answer(feeds), f"hunted for {found.kind}")])
        margins = group.decisions().margins[:: 1 + each] if group.decided else np.zeros(len(numbers))
        for number, margin in zip(numbers, margins, strict=True):
            yield Judged(found, int(number), group, float(margin))
