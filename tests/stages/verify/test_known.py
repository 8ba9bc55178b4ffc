"""Answers that are known are found by their rows, and never for others."""

from typing import Any

import numpy as np
import pytest

from deploy.bundle import TensorSpec
from stages.verify.known import Known
from stages.verify.reference import Feeds, Outputs
from tests.stages.verify.identity import Identity

ROWS = np.random.default_rng(0).uniform(size=(9, 3)).astype(np.float32)


class Counting(Identity):
    asked = 0

    def truth(self, feeds: Feeds) -> Outputs:
        self.asked += 1
        return super().truth(feeds)


@pytest.mark.parametrize("wanted", [[0], [8, 0, 3], list(range(9)), [4] * 20])
def test_known_rows_are_found_in_any_company(wanted: list[int]) -> None:
    reference = Counting()
    known = Known(reference, {"x": ROWS})
    before = reference.asked
    answers = known.get({"x": ROWS[wanted]})
    assert answers is not None
    assert reference.asked == before
    for found, expected in zip(answers, (reference.truth, reference.rounded), strict=True):
        for name, value in expected({"x": ROWS[wanted]}).items():
            assert np.array_equal(found[name], value)


@pytest.mark.parametrize(
    "rows", [np.zeros((1, 3), np.float32), ROWS[:2] * 2, ROWS[:, :2], ROWS.astype(np.float64), ROWS.reshape(9, 3, 1)]
)
def test_other_rows_are_not(rows: Any) -> None:
    assert Known(Identity(), {"x": ROWS}).get({"x": rows}) is None


def test_answers_that_are_not_by_row_are_not_found() -> None:
    class Whole(Identity):
        def truth(self, feeds: Feeds) -> Outputs:
            return {"scores": feeds["x"].mean(axis=0).astype(np.float64)}

    assert Known(Whole(TensorSpec("scores", "float32", (3,))), {"x": ROWS}).get({"x": ROWS}) is None
