"""Memory stays bounded: what is held at a time does not grow with the number of rows."""

import weakref
from typing import Any

import numpy as np

from stages.verify.checks import pooled
from stages.verify.reference import Feeds, Outputs
from tests.stages.verify.identity import Identity, examination


class Counted(Identity):
    """Counts how many of the batches that it answered are still held by anybody."""

    def __init__(self) -> None:
        super().__init__()
        self.alive = self.most = 0

    def truth(self, feeds: Feeds) -> Outputs:
        return self.counted(super().truth(feeds))

    def counted(self, outputs: Outputs) -> Outputs:
        self.alive += 1
        self.most = max(self.most, self.alive)
        weakref.finalize(outputs["scores"], self.gone)
        return outputs

    def gone(self) -> None:
        self.alive -= 1


def held(batches: int) -> int:
    """Return the most true answers that were alive at once while so many batches were compared."""
    reference = Counted()
    rows: Any = np.random.default_rng(0).uniform(size=(8 * batches, 3))

    def answer(feeds: Feeds) -> Outputs:
        return {"scores": feeds["x"].copy(), "index": feeds["x"].argmax(axis=1)}

    checks = list(pooled.check(examination(answer, rows, reference=reference, max_batch=8)))
    assert all(checks)
    return reference.most


def test_no_more_batches_are_held_of_many_rows_than_of_few() -> None:
    assert held(batches=200) == held(batches=20) < 20
