"""One decision among labels."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from deploy.arrays import Array
from deploy.errors import UsageError
from deploy.outputs.kind import OutputKind, Result


@dataclass(frozen=True)
class Score:
    """One class and its probability in [0, 1]."""

    label: str
    index: int
    probability: float


@dataclass(frozen=True)
class Classification(Result):
    """One decision among labels: the class, its probability in [0, 1], and the probabilities of all (classes,)."""

    label: str
    index: int
    probability: float
    probabilities: Array = field(repr=False, compare=False)
    labels: tuple[str, ...] = field(repr=False)

    def top(self, k: int = 5) -> tuple[Score, ...]:
        """Return the `k` most probable classes (all of them when there are fewer); the first is the decision."""
        if k < 1:
            raise UsageError(f"top({k}): expected 1 or more")
        order = np.argsort(-self.probabilities, kind="stable")[: k + 1].tolist()
        chosen = [self.index, *(i for i in order if i != self.index)][:k]
        return tuple(Score(self.labels[i], i, float(self.probabilities[i])) for i in chosen)

    def to_dict(self, k: int = 5) -> dict[str, Any]:
        """Return label, index, probability and the top `k` as JSON values."""
        top = [vars(score) for score in self.top(k)]
        return {"label": self.label, "index": self.index, "probability": self.probability, "top": top}


class ClassesOutput(OutputKind):
    """Reads `probabilities` float32 (N, classes) and `class_index` int64 (N,)."""

    def read(self, arrays: Mapping[str, Array], inputs: Mapping[str, Array]) -> list[Classification]:
        """Return one `Classification` for each row."""
        # A copy: what results hold must not change when the session reuses its buffers, nor when a caller writes.
        probabilities = arrays["probabilities"].copy()
        probabilities.flags.writeable = False
        labels = self.signature.labels
        return [
            Classification(labels[index], index, float(row[index]), row, labels)
            for row, index in zip(probabilities, arrays["class_index"].tolist(), strict=True)
        ]
