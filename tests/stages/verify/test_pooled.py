"""Noise over all rows: what the mean square sees, and what only the largest error does."""

import json
from collections.abc import Callable

import numpy as np
import pytest

from deploy.passport import Check
from stages.task import Matched
from stages.verify.checks import pooled, witness
from stages.verify.examination import Examination
from stages.verify.reference import Feeds, Outputs
from tests.stages.verify.identity import NOISE, Identity, examination, faithful

ROWS = np.random.default_rng(0).uniform(size=(10_000, 3))


def checks(exam: Examination) -> dict[str, Check]:
    return {check.name: check for check in pooled.check(exam)}


def test_each_real_output_is_judged_by_mean_square_and_by_the_largest_error() -> None:
    exam = examination(faithful, ROWS)
    made = checks(exam)
    assert list(made) == ["noise of scores", "largest error of scores", "something compared"]
    assert all(made.values())
    assert "noise of one millionth: 1.00e-06" in made["noise of scores"].detail
    assert exam.noise == {"scores": exam.findings["noise"]["scores"]["rms_yardstick"]}
    assert exam.findings["noise"]["scores"]["ulps"] == [[0, 30_000]]
    json.dumps(exam.findings, allow_nan=False)


def test_one_wrong_row_in_ten_thousand_is_refused() -> None:
    target = np.float32(ROWS[4321, 0])

    def answer(feeds: Feeds) -> Outputs:
        scores = np.where(feeds["x"] == target, feeds["x"] + 500 * np.float32(NOISE), feeds["x"])
        return {"scores": scores, "index": feeds["x"].argmax(axis=1)}

    made = checks(examination(answer, ROWS))
    assert made["noise of scores"]
    assert not made["largest error of scores"]


def test_small_test_sets_are_filled_up() -> None:
    exam = examination(faithful, ROWS[:30], rows=200)
    checks(exam)
    assert exam.findings["rows"] == 200
    assert exam.test is not None
    assert exam.test.rows == len(exam.answers["index"]) == 30


def exact_rows(answer: Callable[[Feeds], Outputs], rows: int = 1000) -> tuple[dict[str, Check], Examination]:
    """Checks of a network so large that only its first 128 rows are compared with float64 throughout."""
    exam = examination(answer, ROWS[:rows], rows=rows)
    exam.row_flops = 10**12
    return checks(exam), exam


def test_of_a_large_network_most_rows_are_screened() -> None:
    made, exam = exact_rows(faithful)
    assert all(made.values())
    assert exam.test is not None
    decisions = exam.test.decisions()
    assert sorted(decisions.rows) == list(range(1000))
    assert exam.findings["rows"] == 1000
    near = int((decisions.margins[np.argsort(decisions.rows)][128:] <= 32 * NOISE).sum())
    assert exam.findings["screened"] == 1000 - 128 - near
    assert f"{128 + near} rows and {872 - near} screened" in made["largest error of scores"].detail


def test_where_the_truth_is_slow_fewer_rows_are_compared_with_it() -> None:
    class Numpy(Identity):
        slowness = 4

    exam = examination(faithful, ROWS[:1000], reference=Numpy(), max_batch=32)
    exam.row_flops = 10**12
    made = checks(exam)
    assert all(made.values())
    assert 1000 - 128 < exam.findings["screened"] <= 1000 - 32


@pytest.mark.parametrize("wrong", [5, 500])
def test_one_wrong_row_is_found_among_the_screened_as_among_the_others(wrong: int) -> None:
    target = np.float32(ROWS[wrong, 0])

    def answer(feeds: Feeds) -> Outputs:
        scores = np.where(feeds["x"] == target, feeds["x"] + 500 * np.float32(NOISE), feeds["x"])
        return {"scores": scores, "index": feeds["x"].argmax(axis=1)}

    made, exam = exact_rows(answer)
    assert not made["largest error of scores"]
    assert exam.findings["screened"] < 1000 - 128


def test_a_flip_or_nan_among_the_screened_is_found() -> None:
    target = np.float32(ROWS[700, 0])

    def flipped(feeds: Feeds) -> Outputs:
        index = feeds["x"].argmax(axis=1)
        return {"scores": feeds["x"].copy(), "index": np.where(feeds["x"][:, 0] == target, (index + 1) % 3, index)}

    _, exam = exact_rows(flipped)
    assert exam.test is not None
    assert exam.test.flips(exam.tie_margin) == (1, 0)
    decisions = exam.test.decisions()
    assert decisions.rows[decisions.flipped].tolist() == [700]

    def nowhere(feeds: Feeds) -> Outputs:
        return faithful(feeds) | {"scores": np.where(feeds["x"] == target, np.nan, feeds["x"]).astype(np.float32)}

    _, exam = exact_rows(nowhere)
    assert "NaN" in exam.malformed[0]


class Things(Identity):
    """In a row are as many things as its scores above one half; nothing else of it is compared."""

    def match(self, found: Outputs, truth: Outputs) -> Matched:
        known = (truth["scores"] > 0.5) & (found["scores"] > 0.5)
        aligned = {
            "scores": np.where(known, found["scores"], truth["scores"]).astype(np.float32),
            "index": truth["index"],
        }
        decided = np.zeros(known.shape, np.int64)
        return Matched(aligned, decided, decided, np.where(known, 0.5, np.inf), known.sum(axis=1))


EMPTY, FULL = ROWS[:8] * 0.4, 0.6 + ROWS[:8] * 0.4


@pytest.mark.parametrize("rows", [EMPTY, FULL])
def test_lists_without_a_thing_that_both_have_are_refused(rows: np.ndarray) -> None:
    """Whatever is answered: nothing of it was compared."""

    def nothing(feeds: Feeds) -> Outputs:
        return {"scores": feeds["x"] * np.float32(0.5), "index": feeds["x"].argmax(axis=1)}

    check = checks(examination(nothing, rows, reference=Things()))["something compared"]
    assert not check
    assert check.detail.startswith("nothing was compared in 8 rows of scores: file and network find no thing in common")
    assert "task.score_threshold" in check.detail


def test_zeros_everywhere_are_refused() -> None:
    check = checks(examination(faithful, np.zeros((8, 3))))["something compared"]
    assert not check
    assert "of scores: 0 everywhere; train longer" in check.detail
    assert checks(examination(faithful, np.eye(3)))["something compared"]


def test_all_families_start_from_rows_that_are_answered_with_something(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = np.concatenate([EMPTY, EMPTY, FULL, EMPTY])
    exam = examination(faithful, rows, reference=Things(), max_batch=8)
    assert all(checks(exam).values())
    np.testing.assert_array_equal(exam.sample()["x"], FULL.astype(np.float32))
    assert sorted(exam.unsure()["x"][:, 0]) == sorted(exam.sample()["x"][:, 0])
    assert exam.known is not None
    assert exam.known.get(exam.sample()) is not None
    asked: list[np.ndarray] = []

    def evaluator(feeds: Feeds) -> Outputs:
        asked.append(feeds["x"])
        return faithful(feeds)

    monkeypatch.setattr(witness, "open_witness", lambda *_: evaluator)
    assert all(witness.check(exam))
    assert [one[0, 0] > 0.5 for one in asked] == [True, False, False, False]
    assert sum(map(len, asked)) == len(rows)
