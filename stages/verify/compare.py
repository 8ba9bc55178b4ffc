"""One model's answers against the reference's, added up over many batches."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import partial

import numpy as np

from deploy.bundle import Signature
from stages.dataset import Array
from stages.verify.material import count
from stages.verify.noise import Pool
from stages.verify.places import aligned, held, worst_places
from stages.verify.reference import Feeds, Outputs, Perturbable, Reference, deciding_noise
from stages.verify.worst import Worst

_DRAWS = 4
_NEAR_TIE = 32
_KEPT_ROWS = 64


@dataclass(frozen=True)
class Decisions:
    """What was decided on some rows; each array is (N,).

    rows                their numbers
    expected, found     the reference's decision and the model's; of many in a row those at `worst_places`
    margins             the reference's
    flipped             where these differ, or any output of whole numbers does: they are decisions too
    """

    rows: Array
    expected: Array
    found: Array
    margins: Array
    flipped: Array

    def where(self, chosen: Array) -> "Decisions":
        """Return the chosen rows."""
        return Decisions(*(getattr(self, f.name)[chosen] for f in fields(self)))

    @classmethod
    def joined(cls, parts: Sequence["Decisions"]) -> "Decisions":
        """Return the rows of all parts, in order."""
        return cls(*(np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(cls)))


@dataclass
class Comparison:
    """Differences, decisions and malformed answers over all batches that were added.

    decided        by batch, the decisions; rows are counted from the first one that was added
    malformed      what was wrong with answers that could not be compared at all
    worst          the batches that were answered worst
    kept           the first batches and their truths, some 64 rows, for `redraw`
    things         rows that were compared; of answers that are lists, things that both have
    screened       rows that were held against the yardstick only, see `screen`
    """

    reference: Reference
    pools: dict[str, Pool] = field(default_factory=dict)
    decided: list[Decisions] = field(default_factory=list)
    malformed: list[str] = field(default_factory=list)
    worst: Worst = field(default_factory=Worst)
    kept: list[tuple[Feeds, Outputs]] = field(default_factory=list)
    rows: int = 0
    things: int = 0
    screened: int = 0

    def add(self, feeds: Feeds, found: Outputs, where: str, known: tuple[Outputs, Outputs] | None = None) -> None:
        """Compare the answers to one batch; `where` names it in messages.

        known    the reference's true and rounded answers, where they need not be computed
        """
        self._add(feeds, found, where, self._count(feeds), known)

    def screen(self, feeds: Feeds, found: Outputs, where: str) -> None:
        """Compare answers with the yardstick's, and only those rows with the truth that are suspect.

        A row is not suspect when no value is further from the yardstick's than twice the yardstick's own largest error
        so far, and both decide the same by a margin beyond the noise: then it cannot be far from the truth either.
        """
        rows = self._count(feeds)
        rounded = self.reference.rounded(feeds)
        if malformations(self.reference.output, found, rounded):
            self._add(feeds, found, where, rows)
            return
        matched = held(self.reference, found, rounded)
        answers = matched.aligned
        expected, decided, margins = worst_places(matched)
        suspect = np.asarray(decided != expected) | _unequal(answers, rounded, len(rows))
        for name, pool in self.pools.items():
            apart = np.abs(answers[name].astype(np.float64) - rounded[name]).reshape(len(rows), -1).max(axis=1)
            suspect |= ~(apart <= 2 * pool.worst_noise())
            suspect |= margins <= _NEAR_TIE * pool.worst_noise()
        clear = ~suspect
        self.screened += int(clear.sum())
        self.things += int(matched.things[clear].sum())
        self.decided.append(Decisions(rows[clear], expected[clear], decided[clear], margins[clear], suspect[clear]))
        if suspect.any():
            asked, answered = ({name: value[suspect] for name, value in one.items()} for one in (feeds, found))
            self._add(asked, answered, where, rows[suspect])

    def _count(self, feeds: Feeds) -> Array:
        rows = np.arange(self.rows, self.rows + count(feeds))
        self.rows += len(rows)
        return rows

    def _add(
        self, feeds: Feeds, found: Outputs, where: str, rows: Array, known: tuple[Outputs, Outputs] | None = None
    ) -> None:
        truth, rounded = known or (self.reference.truth(feeds), self.reference.rounded(feeds))
        wrong = malformations(self.reference.output, found, truth)
        if wrong:
            self.malformed += [f"{where}: {text}" for text in wrong]
            self.worst.add(math.inf, feeds, where)
            return
        if isinstance(self.reference, Perturbable):
            self._keep([(feeds, truth)])
        matched = held(self.reference, found, truth)
        answers = matched.aligned
        self.things += int(matched.things.sum())
        yardstick = aligned(self.reference, rounded, truth)
        ratios = [0.0]
        for name, exact in truth.items():
            if exact.dtype.kind == "f":
                batch, pool = Pool(), self.pools.setdefault(name, Pool())
                batch.add(answers[name], yardstick[name], exact)
                pool.merge(batch)
                ratios.append(batch.ratio(pool.rms_noise()))
        expected, decided, margins = worst_places(matched)
        flipped = np.asarray(decided != expected) | _unequal(answers, truth, len(rows))
        self.decided.append(Decisions(rows, expected, decided, margins, flipped))
        tie = deciding_noise(self.reference, self.noise()) or 1.0
        self.worst.add(max(np.nanmax(ratios), (margins[flipped] / tie).max(initial=0.0)), feeds, where)

    def merge(self, other: "Comparison") -> None:
        """Add all that another comparison has seen."""
        for name, pool in other.pools.items():
            self.pools.setdefault(name, Pool()).merge(pool)
        self.decided += [replace(part, rows=part.rows + self.rows) for part in other.decided]
        self.malformed += other.malformed
        self.worst.merge(other.worst)
        self._keep(other.kept)
        self.rows += other.rows
        self.things += other.things
        self.screened += other.screened

    def redraw(self, scales: Mapping[str, float]) -> None:
        """Draw rounding errors anew on the rows that were kept, and count them for the yardstick.

        Of few rows, or of rows that are alike within, like stripes, the errors of one implementation are small by luck
        now and then. Where every value is moved by about a rounding, it shows how much these rows make of it; `scales`
        says by output how much of such a move an implementation errs by.
        """
        if isinstance(self.reference, Perturbable):
            self._redraw(partial(self.reference.perturbed, alike=True), scales)

    def reorder(self) -> None:
        """Draw the errors of adding in another order, on the rows that were kept, and count them for the yardstick."""
        if isinstance(self.reference, Perturbable):
            self._redraw(self.reference.reordered, {})

    def scales(self) -> dict[str, float]:
        """Return by output the yardstick's error as a part of what moving every value on its own makes, at most 1."""
        if not isinstance(self.reference, Perturbable):
            return {}
        some = Comparison(self.reference)
        for feeds, truth in self.kept:
            rounded = self.reference.rounded(feeds)
            some.add(feeds, rounded, "the yardstick", (truth, rounded))
        own = some.noise()
        some._redraw(partial(self.reference.perturbed, alike=False), {})
        return {name: min(1.0, own[name] / drawn) for name, drawn in some.noise().items() if drawn}

    def _redraw(self, draw: Callable[[Feeds, int], Outputs], scales: Mapping[str, float]) -> None:
        for seed in range(_DRAWS):
            for feeds, truth in self.kept:
                drawn = aligned(self.reference, draw(feeds, seed), truth)
                for name, pool in self.pools.items():
                    pool.redraw(drawn[name], truth[name], scales.get(name, 1.0))

    def _keep(self, batches: Sequence[tuple[Feeds, Outputs]]) -> None:
        for feeds, truth in batches:
            if sum(count(kept) for kept, _ in self.kept) < _KEPT_ROWS:
                self.kept.append((feeds, truth))

    def noise(self) -> dict[str, float]:
        """Return the pooled rounding noise of the yardstick, by output."""
        return {name: pool.rms_noise() for name, pool in self.pools.items()}

    def blank(self) -> list[str]:
        """Return the outputs of real numbers of which nothing was compared: no thing, or nothing but zeros."""
        return [name for name, pool in self.pools.items() if not self.things or pool.blank]

    def worst_ratio(self, least_noise: dict[str, float]) -> float:
        """Return the largest noise ratio of all outputs: 0.0 where none is real, NaN when nothing was compared."""
        ratios = [pool.ratio(least_noise[name]) for name, pool in self.pools.items()]
        return max(ratios, default=0.0) if self.decided and not any(map(math.isnan, ratios)) else math.nan

    def flips(self, tie_margin: float) -> tuple[int, int]:
        """Return (flips, ties): a row whose margin is within the noise is a tie, which rounding alone may decide."""
        margins = [part.margins[part.flipped] for part in self.decided]
        ties = sum(int((margin <= tie_margin).sum()) for margin in margins)
        return sum(map(len, margins)) - ties, ties

    def decisions(self) -> Decisions:
        """Return the decisions on all rows that could be compared."""
        return Decisions.joined(self.decided)


def _unequal(found: Mapping[str, Array], truth: Outputs, rows: int) -> Array:
    """Return which rows (N,) differ in an output of whole numbers; all of them where outputs are not by row."""
    unequal = np.zeros(rows, bool)
    for name, exact in truth.items():
        if exact.dtype.kind == "f":
            continue
        differs = found[name] != exact
        unequal |= differs.reshape(rows, -1).any(axis=1) if exact.shape[:1] == (rows,) else bool(differs.any())
    return unequal


def malformations(signature: Signature, found: Outputs, truth: Outputs) -> list[str]:
    """Return what makes answers incomparable: names, dtype, shape, NaN or infinity where the truth is finite."""
    wrong = []
    names = [tensor.name for tensor in signature.tensors]
    if list(found) != names:
        return [f"outputs are {list(found)}, expected {names}"]
    for tensor in signature.tensors:
        value, exact = found[tensor.name], truth[tensor.name]
        if str(value.dtype) != tensor.dtype or value.shape != exact.shape:
            wrong.append(f"{tensor.name} is {value.dtype} {value.shape}, expected {tensor.dtype} {exact.shape}")
        elif not np.isfinite(value).all() and np.isfinite(exact).all():
            wrong.append(f"{tensor.name} holds NaN or infinity where the truth is finite")
    return wrong
