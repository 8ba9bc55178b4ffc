"""One model's answers against the reference's, added up over many batches."""

import math
from dataclasses import dataclass, field

import numpy as np

from deploy.bundle import Signature
from stages.verify.material import count
from stages.verify.noise import Pool
from stages.verify.reference import Feeds, Outputs, Reference


@dataclass
class Comparison:
    """Differences, decisions and malformed answers over all batches that were added.

    flip_margins   the reference's margin of every row that was decided otherwise
    malformed      what was wrong with answers that could not be compared at all
    """

    reference: Reference
    pools: dict[str, Pool] = field(default_factory=dict)
    flip_margins: list[float] = field(default_factory=list)
    malformed: list[str] = field(default_factory=list)
    rows: int = 0

    def add(self, feeds: Feeds, found: Outputs, where: str) -> None:
        """Compare the answers to one batch; `where` names it in messages."""
        truth = self.reference.truth(feeds)
        self.rows += count(feeds)
        wrong = malformations(self.reference.output, found, truth)
        if wrong:
            self.malformed += [f"{where}: {text}" for text in wrong]
            return
        rounded = self.reference.rounded(feeds)
        for name, exact in truth.items():
            if exact.dtype.kind == "f":
                self.pools.setdefault(name, Pool()).add(found[name], rounded[name], exact)
        expected, margins = self.reference.decide(truth)
        decided, _ = self.reference.decide(found)
        self.flip_margins += [float(margin) for margin in margins[decided != expected]]

    def merge(self, other: "Comparison") -> None:
        """Add all that another comparison has seen."""
        for name, pool in other.pools.items():
            self.pools.setdefault(name, Pool()).merge(pool)
        self.flip_margins += other.flip_margins
        self.malformed += other.malformed
        self.rows += other.rows

    def noise(self) -> dict[str, float]:
        """Return the pooled rounding noise of torch float32, by output."""
        return {name: pool.rms_noise() for name, pool in self.pools.items()}

    def worst_ratio(self, least_noise: dict[str, float]) -> float:
        """Return the largest noise ratio of all outputs; NaN when nothing could be compared."""
        ratios = [pool.ratio(least_noise[name]) for name, pool in self.pools.items()]
        return max(ratios) if ratios and not any(map(math.isnan, ratios)) else math.nan

    def flips(self, tie_margin: float) -> tuple[int, int]:
        """Return (flips, ties): a row whose margin is within the noise is a tie, which rounding alone may decide."""
        ties = sum(margin <= tie_margin for margin in self.flip_margins)
        return len(self.flip_margins) - ties, ties


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
