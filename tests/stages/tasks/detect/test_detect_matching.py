import numpy as np
import pytest

from stages.dataset import Array
from stages.tasks.detect import matching

DEPTH = 5
Outputs = dict[str, Array]


def answer(*things: tuple[float, float, int, int, float], place: int = 0) -> Outputs:
    """One picture with boxes of 10 x 10 px at (x, y), of a class, seen by a place, with a score."""
    outputs = {
        "boxes": np.zeros((1, DEPTH, 4), np.float32),
        "scores": np.zeros((1, DEPTH), np.float32),
        "class_index": np.zeros((1, DEPTH), np.int64),
        "count": np.array([len(things)]),
        "place": np.zeros((1, DEPTH), np.int64),
    }
    for rank, (x, y, label, seen, score) in enumerate(sorted(things, key=lambda thing: -thing[4])):
        outputs["boxes"][0, rank] = (x, y, x + 10, y + 10)
        outputs["scores"][0, rank] = score
        outputs["class_index"][0, rank] = label
        outputs["place"][0, rank] = seen
    return outputs


def match(found: Outputs, truth: Outputs) -> matching.Matched:
    return matching.match(found, truth, 0.3, 0.5)


def flips(found: Outputs, truth: Outputs) -> list[float]:
    """Margins of the decisions that differ."""
    matched = match(found, truth)
    assert matched.expected.shape == matched.decided.shape == matched.margins.shape == (1, 2 * DEPTH)
    for name, value in truth.items():
        assert matched.aligned[name].shape == value.shape
        assert matched.aligned[name].dtype == found[name].dtype
        if value.dtype.kind != "f":
            np.testing.assert_array_equal(matched.aligned[name], value)
    return sorted(matched.margins[matched.expected != matched.decided].tolist())


A, B, C = (5, 5, 0, 7, 0.9), (40, 5, 1, 9, 0.8), (5, 40, 2, 30, 0.7)


def test_equal_lists_agree() -> None:
    assert flips(answer(A, B, C), answer(A, B, C)) == []


def test_another_order_is_no_difference_and_numbers_are_compared_box_by_box() -> None:
    truth = answer(A, B)
    found = answer((5.25, 5, 0, 7, 0.79), (40, 5, 1, 9, 0.8))
    assert flips(found, truth) == []
    aligned = match(found, truth).aligned
    assert np.abs(aligned["boxes"] - truth["boxes"]).max() == 0.25
    assert aligned["scores"][0, :2].tolist() == pytest.approx([0.79, 0.8])


def test_a_lost_box_far_from_any_threshold_is_a_fault() -> None:
    assert flips(answer(A), answer(A, B)) == pytest.approx([0.5])


def test_a_new_box_far_from_any_threshold_is_a_fault() -> None:
    assert flips(answer(A, B), answer(A)) == pytest.approx([0.5])


def test_a_box_of_another_class_at_the_same_place_is_a_fault() -> None:
    """Classes in another order leave all else as it is."""
    assert min(flips(answer((5, 5, 3, 7, 0.9)), answer(A))) > 0.5


@pytest.mark.parametrize("swapped", [False, True])
def test_a_box_at_the_score_threshold_is_a_tie(swapped: bool) -> None:
    lists = answer(A), answer(A, (40, 5, 1, 9, 0.3000002))
    assert flips(*(reversed(lists) if swapped else lists)) == pytest.approx([2e-7], rel=0.2)


def test_two_that_suppress_each_other_with_about_the_same_score_are_ties() -> None:
    truth, found = answer((5, 5, 0, 7, 0.9), C), answer((7, 5, 0, 8, 0.900001), C)
    assert flips(found, truth) == pytest.approx([1e-6, 1e-6], rel=0.1)


def test_two_that_suppress_each_other_with_other_scores_are_a_fault() -> None:
    truth, found = answer((5, 5, 0, 7, 0.9), C), answer((7, 5, 0, 8, 0.8), C)
    assert flips(found, truth) == pytest.approx([0.1, 0.1])


@pytest.mark.parametrize("swapped", [False, True])
def test_an_overlap_at_the_threshold_is_a_tie(swapped: bool) -> None:
    """10 x 10 px, moved by a third of that, overlap by 0.5; margins are in px."""
    near = (5 + 10 / 3, 5, 0, 9, 0.8)
    lists = answer(A), answer(A, near)
    (margin,) = flips(*(reversed(lists) if swapped else lists))
    assert margin < 1e-5


def test_what_a_tie_lets_in_is_a_tie_too() -> None:
    """The truth has A, at the threshold of scores nothing; found lost it, and has what A suppressed."""
    weak = (5, 5, 0, 7, 0.3000002)
    hidden = (6, 5, 0, 8, 0.3000001)
    assert max(flips(answer(hidden), answer(weak))) < 1e-6
    chained = answer((5, 5, 0, 7, 0.9), (22, 5, 0, 3, 0.6)), answer((7, 5, 0, 8, 0.900001), (20, 5, 0, 4, 0.7))
    assert max(flips(*chained)) > 0.09  # another pair of boxes, and no tie explains it


def test_what_falls_off_the_end_of_a_full_list_is_a_tie_with_its_last() -> None:
    full = [(12 * rank, 40, 1, 100 + rank, 0.9 - rank / 100) for rank in range(DEPTH - 1)]
    truth, found = answer(*full, (5, 5, 0, 7, 0.5)), answer(*full, (40, 5, 0, 8, 0.500001))
    assert flips(found, truth) == pytest.approx([1e-6, 1e-6], rel=0.1)


def test_what_a_tie_pushes_off_the_end_of_a_full_list_is_a_tie() -> None:
    full = [(12 * rank, 40, 1, 100 + rank, 0.29 + rank / 10) for rank in range(1, DEPTH)]
    truth = answer(*full, (5, 5, 0, 7, 0.35))
    found = answer(*full, (40, 5 + 10 / 3, 1, 8, 0.6))  # overlaps nothing by about the threshold: a fault
    assert max(flips(found, truth)) > 0.2


def test_decisions_are_classes_by_rank_and_margins_those_of_boxes() -> None:
    decisions, margins = matching.decide(answer(A, B), 0.3, 0.5)
    assert decisions.tolist() == [[0, 1, -1, -1, -1]]
    assert margins[0].tolist() == pytest.approx([0.1, 0.1, np.inf, np.inf, np.inf])  # they may change places
    assert matching.decide(answer(A), 0.3, 0.5)[1][0].tolist() == pytest.approx([0.6, *[np.inf] * 4])


def test_empty_lists_agree() -> None:
    assert flips(answer(), answer()) == []
    decisions, margins = matching.decide(answer(), 0.3, 0.5)
    assert (decisions == -1).all()
    assert np.isinf(margins).all()


def test_overlap_of_boxes_without_area_is_none() -> None:
    assert matching.overlaps(np.zeros((1, 4)), np.zeros((1, 4))).tolist() == [[0.0]]
