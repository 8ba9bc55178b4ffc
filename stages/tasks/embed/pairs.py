"""Verification: whether two samples are of one class, told by the cosine of their vectors."""

from dataclasses import dataclass

import numpy as np

from stages.dataset import Array
from stages.tasks.embed.retrieval import unit

_ROWS = 1500


@dataclass(frozen=True)
class Pairs:
    """Cosines of pairs, ascending: of one class, and of two; neither is empty."""

    same: Array
    different: Array

    def accepted(self, thresholds: Array) -> tuple[Array, Array]:
        """Return which shares of different and of same pairs have a cosine of at least each threshold."""
        shares = (1 - np.searchsorted(part, thresholds) / len(part) for part in (self.different, self.same))
        wrongly, rightly = shares
        return wrongly, rightly

    def curve(self) -> tuple[Array, Array]:
        """Return the ROC: shares of different and of same pairs that are accepted, from none to all."""
        values = np.unique(np.concatenate([self.same, self.different]))[::-1]
        wrongly, rightly = self.accepted(values)
        return np.append(0.0, wrongly), np.append(0.0, rightly)

    def area(self) -> float:
        """Return the area under the ROC: how often a same pair is nearer than a different one, ties by half."""
        below, up_to = (np.searchsorted(self.different, self.same, side) for side in ("left", "right"))
        return float((below + up_to).mean() / (2 * len(self.different)))

    def equal_error(self) -> tuple[float, float]:
        """Return the error rate at the threshold where wrong acceptance and wrong refusal are alike, and that one."""
        values = np.unique(np.concatenate([self.same, self.different]))
        wrongly, rightly = self.accepted(values)
        place = int(np.abs(wrongly - (1 - rightly)).argmin())
        return float((wrongly[place] + 1 - rightly[place]) / 2), float(values[place])


def pairs(vectors: Array, targets: Array, seed: int = 0) -> Pairs | None:
    """Return all pairs of vectors (N, size) of classes (N,), of 1,500 rows drawn by chance where there are more.

    None where no two are of one class, or none of two.
    """
    rows = np.random.default_rng(seed).permutation(len(vectors))[:_ROWS]
    kept, classes = unit(vectors[rows])[0], targets[rows]
    first, second = np.triu_indices(len(rows), 1)
    cosines, same = (kept @ kept.T)[first, second], classes[first] == classes[second]
    return Pairs(np.sort(cosines[same]), np.sort(cosines[~same])) if same.any() and not same.all() else None
