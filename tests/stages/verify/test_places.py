from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from stages.task import Matched
from stages.verify.places import aligned, by_row, held, worst_places


class Masks:
    """A reference that decides at every pixel whether it is above a half."""

    def decide(self, outputs: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        return outputs["p"] > 0.5, np.abs(outputs["p"] - 0.5)


@dataclass
class Boxes:
    """A reference whose answers have an order by chance."""

    def match(self, found: dict[str, Any], truth: dict[str, Any]) -> Matched:
        order = np.argsort(found["x"], axis=1)
        sorted_x = np.take_along_axis(found["x"], order, axis=1)
        zeros = np.zeros(truth["x"].shape)
        return Matched({"x": sorted_x}, zeros, zeros, zeros + 1, (sorted_x == truth["x"]).sum(axis=1))


def placed(expected: np.ndarray, decided: np.ndarray, margins: np.ndarray) -> Matched:
    return Matched({}, expected, decided, margins, np.ones(len(expected)))


def test_one_decision_a_row_stays_as_it_is() -> None:
    expected, decided, margins = np.array([1, 2]), np.array([1, 3]), np.array([0.1, 0.2])
    for found, given in zip(
        worst_places(placed(expected, decided, margins)), (expected, decided, margins), strict=True
    ):
        assert found is given


def test_a_row_is_as_bad_as_its_gravest_place() -> None:
    expected = np.array([[[1, 1], [1, 1]], [[1, 1], [1, 1]]])
    decided = np.array([[[1, 0], [0, 1]], [[1, 1], [1, 1]]])
    margins = np.array([[[0.01, 0.2], [0.6, 0.9]], [[0.3, 0.2], [0.4, 0.5]]])
    one, other, margin = worst_places(placed(expected, decided, margins))
    assert margin.tolist() == [0.6, 0.2]
    assert (one != other).tolist() == [True, False]


def test_rows_without_a_place_decide_nothing() -> None:
    nothing = np.zeros((3, 0))
    one, other, margin = worst_places(placed(nothing, nothing, nothing))
    assert (one == other).all()
    assert np.isinf(margin).all()
    assert np.isinf(by_row(nothing, nothing)[1]).all()


def test_rows_are_numbered_by_all_their_decisions() -> None:
    decisions = np.array([[1, 0], [1, 1], [1, 0]])
    numbers, margins = by_row(decisions, np.array([[0.5, 0.1], [0.2, 0.3], [0.4, 0.4]]))
    assert numbers[0] == numbers[2] != numbers[1]
    assert margins.tolist() == [0.1, 0.2, 0.4]


def test_answers_are_held_as_they_stand_unless_the_reference_matches_them() -> None:
    truth, found = {"p": np.array([[0.9, 0.2]])}, {"p": np.array([[0.9, 0.7]])}
    matched = held(Masks(), found, truth)  # type: ignore[arg-type]
    assert matched.aligned is found
    assert matched.expected.tolist() == [[True, False]]
    assert matched.decided.tolist() == [[True, True]]
    assert matched.margins[0] == pytest.approx([0.4, 0.3])
    assert matched.things.tolist() == [1]
    assert aligned(Masks(), found, truth) is found  # type: ignore[arg-type]


def test_a_matching_reference_brings_answers_into_order() -> None:
    truth, found = {"x": np.array([[1.0, 2.0]])}, {"x": np.array([[2.0, 1.0]])}
    assert aligned(Boxes(), found, truth)["x"].tolist() == [[1.0, 2.0]]  # type: ignore[arg-type]
    matched = held(Boxes(), found, truth)  # type: ignore[arg-type]
    assert matched.aligned["x"].tolist() == [[1.0, 2.0]]
    assert matched.things.tolist() == [2]
