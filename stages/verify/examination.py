"""One model on one provider under examination: what the families of checks share."""

import itertools
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from deploy.passport import Check
from deploy.placement import Placement
from deploy.providers import Provider
from stages.observer import Observer
from stages.recipe import VerifyConfig
from stages.verify.compare import Comparison, Decisions
from stages.verify.known import Known
from stages.verify.material import Material, count
from stages.verify.reference import Answer, Feeds, Outputs, Reference, deciding_noise
from stages.verify.worst import Batch, Worst

_BEYOND_DOUBT = 16.0  # other draws were seen to be up to 5 times the first one


@dataclass
class Examination:
    """The model file, its answers, and what they are held against.

    row_flops    operations of convolutions and matrix products in one test row; 0 where they are not known
    noise        pooled rounding noise of the yardstick by output; the first family of checks measures it
    scales       how much of a random perturbation the yardstick errs by, by output; measured when it is first needed
    malformed    every answer so far that could not be compared at all
    worst        the batches that were answered worst so far
    hunted       the best of what searches found, one row each
    open         no check has failed yet
    findings     figures behind the checks, as JSON values by topic, for the report
    answers      the model's answers on the test rows, by output
    begin        number of the first batch of test rows that is answered with something; as a rule the first
    shown        the decisions on that batch
    known        the reference's answers to that batch
    test         the comparison on the test rows; the first family of checks makes it
    placement    where each node of the session runs
    """

    model: Path
    provider: Provider
    answer: Answer
    reference: Reference
    material: Material
    config: VerifyConfig
    observer: Observer
    row_flops: int = 0
    noise: dict[str, float] = field(default_factory=dict)
    scales: dict[str, float] = field(default_factory=dict)
    malformed: list[str] = field(default_factory=list)
    worst: Worst = field(default_factory=Worst)
    hunted: list[Batch] = field(default_factory=list)
    open: bool = True
    findings: dict[str, Any] = field(default_factory=dict)
    answers: Outputs = field(default_factory=dict)
    begin: int = 0
    shown: Decisions | None = None
    known: Known | None = None
    test: Comparison | None = None
    placement: Placement = field(default_factory=lambda: Placement(()))

    @property
    def tie_margin(self) -> float:
        """Two answers, each limit times the noise away, may differ by twice that; a smaller margin decides nothing."""
        return 2 * self.config.limit * deciding_noise(self.reference, self.noise)

    def tie_margin_of(self, group: Comparison) -> float:
        """Return the tie margin among rows whose own noise may be larger than the pooled one."""
        return max(self.tie_margin, 2 * self.config.limit * deciding_noise(self.reference, group.noise()))

    def sample(self) -> Feeds:
        """Return the first batch of test rows that is answered with something."""
        return next(itertools.islice(self.material.test(self.config.max_batch), self.begin, None))

    def unsure(self) -> Feeds:
        """Return the rows of `sample`, the least sure first: where a soft-max saturates, faults do not show."""
        feeds = self.sample()
        if self.shown is None or len(self.shown.rows) != count(feeds):
            return feeds
        order = np.argsort(self.shown.margins, kind="stable")
        return {name: array[order] for name, array in feeds.items()}

    def others(self) -> Iterator[Feeds]:
        """Yield the batches of test rows beside `sample`."""
        batches = enumerate(self.material.test(self.config.max_batch))
        return (feeds for number, feeds in batches if number != self.begin)

    def compare(self, answered: Iterable[tuple[Feeds, Outputs, str]]) -> Comparison:
        """Compare answers (feeds, outputs, a name for messages) with the reference's."""
        comparison = Comparison(self.reference)
        for feeds, found, where in answered:
            comparison.add(feeds, found, where, self.known.get(feeds) if self.known else None)
        self.malformed += comparison.malformed
        self.worst.merge(comparison.worst)
        return comparison

    def group(self, name: str, groups: list[Comparison], detail: str) -> Check:
        """Check small groups of rows: each by its own noise or the pooled one, whichever is larger, and no flips.

        A group that fails is judged again by more draws of the noise, before that is held against the model; not when
        the verdict is lost already.
        """
        malformed = [text for group in groups for text in group.malformed]
        if malformed:
            return Check(name, False, detail=malformed[0])
        for group in groups if self.open else ():
            if doubtful(group.worst_ratio(self.noise), self.config.limit) or self._flips(group):
                group.redraw(self.scaled())
        ratio = max(group.worst_ratio(self.noise) for group in groups)
        flips = sum(map(self._flips, groups))
        check = limited(name, ratio, self.config.limit, detail)
        return check if not flips else Check(name, False, check.value, check.limit, f"{flips} rows decided otherwise")

    def scaled(self) -> dict[str, float]:
        """Return `scales`, measured on test rows."""
        if not self.scales and self.test is not None:
            self.scales.update(self.test.scales())
        return self.scales

    def _flips(self, group: Comparison) -> int:
        return group.flips(self.tie_margin_of(group))[0]


def doubtful(ratio: float, limit: float) -> bool:
    """Tell whether a ratio is beyond its limit, yet not so far that no draw of the noise could explain it."""
    return limit < ratio <= _BEYOND_DOUBT * limit


def limited(name: str, value: float, limit: float, detail: str) -> Check:
    """Return a check that passes when a finite value does not exceed its limit."""
    if not math.isfinite(value):
        return Check(name, False, None, float(limit), f"not a finite number; {detail}")
    return Check(name, value <= limit, float(value), float(limit), detail)
