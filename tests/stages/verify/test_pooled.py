"""Noise over all rows: what the mean square sees, and what only the largest error does."""

import json

import numpy as np

from deploy.passport import Check
from stages.verify.checks import pooled
from stages.verify.examination import Examination
from stages.verify.reference import Feeds, Outputs
from tests.stages.verify.identity import NOISE, examination, faithful

ROWS = np.random.default_rng(0).uniform(size=(10_000, 3))


def checks(exam: Examination) -> dict[str, Check]:
    return {check.name: check for check in pooled.check(exam)}


def test_each_real_output_is_judged_by_mean_square_and_by_the_largest_error() -> None:
    exam = examination(faithful, ROWS)
    made = checks(exam)
    assert list(made) == ["noise of scores", "largest error of scores"]
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
