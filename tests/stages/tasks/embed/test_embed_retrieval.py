import numpy as np
import pytest

from stages.tasks.embed import retrieval
from stages.tasks.embed.pairs import Pairs, pairs


def vectors(rows: int, size: int = 4, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(rows, size)).astype(np.float32)


def test_the_nearest_are_those_of_the_largest_cosine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retrieval, "_BLOCK", 7)
    given = vectors(20)
    rows, cosines = retrieval.nearest(given, 3)
    unit = given / np.linalg.norm(given, axis=1, keepdims=True)
    exact = unit @ unit.T
    np.fill_diagonal(exact, -2)
    np.testing.assert_array_equal(rows, np.argsort(-exact, axis=1)[:, :3])
    np.testing.assert_allclose(cosines, -np.sort(-exact, axis=1)[:, :3], rtol=1e-5)


def test_a_row_of_the_same_values_is_no_other_one() -> None:
    given = vectors(6)
    rows, _ = retrieval.nearest(np.concatenate([given, given]), 1)
    once, _ = retrieval.nearest(given, 1)
    np.testing.assert_array_equal(rows[:, 0] % 6, np.tile(once[:, 0], 2))
    nobody, cosines = retrieval.nearest(np.ones((4, 3), np.float32), 2)
    assert (nobody == -1).all()
    assert np.isneginf(cosines).all()


def test_where_others_are_fewer_than_asked_for_the_rest_is_nobody() -> None:
    rows, _ = retrieval.nearest(vectors(3), 5)
    assert (rows[:, :2] >= 0).all()
    assert (rows[:, 2:] == -1).all()
    assert retrieval.nearest(vectors(1), 2)[0].tolist() == [[-1, -1]]


def test_recall_counts_rows_that_can_find_their_like() -> None:
    angles = np.array([0.0, 0.1, 0.25, 2.0, 2.1, 4.0])
    given = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    targets = np.array([0, 1, 0, 2, 2, 3])  # 0 and 2 meet a 1 first, the 1 and the 3 are alone
    assert retrieval.recall(given, targets, (1, 2)) == {"recall_at_1": 0.5, "recall_at_2": 1.0}
    assert retrieval.recall(given, np.arange(6)) == {"recall_at_1": 0.0, "recall_at_5": 0.0}
    assert retrieval.recall(np.ones((4, 2), np.float32), np.zeros(4, np.int64))["recall_at_1"] == 0


def test_directions_are_counted() -> None:
    even = np.concatenate([np.eye(3), -np.eye(3)])
    assert retrieval.directions(even) == pytest.approx(3)
    assert retrieval.directions(even * (1, 0, 0)) == pytest.approx(1)
    assert retrieval.directions(np.ones((4, 3))) == 0


def test_the_margin_is_what_the_second_nearest_lacks() -> None:
    angles = np.array([0.0, 0.1, 0.4, 3.0])
    given = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    decisions, margins = retrieval.decide(given)
    assert decisions.tolist() == [1, 0, 1, 2]
    assert margins[0] == pytest.approx(np.cos(0.1) - np.cos(0.4))
    again, scaled = retrieval.decide(given * np.array([[2.0], [2.0], [0.5], [2.0]]))
    assert again.tolist() == decisions.tolist()
    assert scaled[0] == pytest.approx(0.5 * margins[0])


def test_a_row_without_a_choice_is_decided_for_certain() -> None:
    for rows, expected in ((0, []), (1, [0]), (2, [1, 0])):
        decisions, margins = retrieval.decide(vectors(rows))
        assert decisions.tolist() == expected
        assert np.isposinf(margins).all()


def test_zero_vectors_are_ties() -> None:
    decisions, margins = retrieval.decide(np.zeros((4, 3), np.float32))
    assert decisions.shape == (4,)
    assert (margins == 0).all()


def test_verification_agrees_with_scikit_learn() -> None:
    from sklearn.metrics import roc_auc_score, roc_curve

    targets = np.arange(60) % 4
    given = vectors(60) + 2 * np.eye(4, dtype=np.float32)[targets]
    found = pairs(given, targets)
    assert found is not None
    truth = np.repeat([1, 0], [len(found.same), len(found.different)])
    scores = np.concatenate([found.same, found.different])
    assert found.area() == pytest.approx(roc_auc_score(truth, scores))
    wrongly, rightly, _ = roc_curve(truth, scores, drop_intermediate=False)
    mine = found.curve()
    np.testing.assert_allclose(mine[0], wrongly)
    np.testing.assert_allclose(mine[1], rightly)
    error, threshold = found.equal_error()
    refused, accepted = (found.same < threshold).mean(), (found.different >= threshold).mean()
    assert error == pytest.approx((refused + accepted) / 2)
    assert abs(refused - accepted) < 0.02


def test_there_are_no_pairs_of_one_class_alone() -> None:
    assert pairs(vectors(5), np.zeros(5, np.int64)) is None
    assert pairs(vectors(5), np.arange(5)) is None
    assert Pairs(np.array([0.5]), np.array([0.5])).area() == 0.5
