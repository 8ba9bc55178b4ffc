"""The decision certificate."""

import json
from typing import Any

import numpy as np
import pytest

from deploy.passport import Check
from stages.verify.certify import examine
from stages.verify.checks import decisions, pooled
from stages.verify.examination import Examination
from stages.verify.reference import Feeds, Outputs
from tests.stages.verify.identity import REAL, WHOLE, Identity, examination, faithful

SURE = np.tile(np.float32([0.8, 0.1, 0.2]), (400, 1))


def checks(exam: Examination) -> dict[str, Check]:
    list(pooled.check(exam))
    return {check.name: check for check in decisions.check(exam)}


def flipping(*rows: int) -> Any:
    """Answers right but for these rows, which swap their first two columns."""
    seen = 0

    def answer(feeds: Feeds) -> Outputs:
        nonlocal seen
        x = feeds["x"].copy()
        for number in rows:
            if seen <= number < seen + len(x):
                x[number - seen, :2] = x[number - seen, 1::-1]
        seen += len(x)
        return {"scores": x, "index": x.argmax(axis=1)}

    return answer


def test_no_flip_is_a_bound_in_words() -> None:
    exam = examination(faithful, np.tile(SURE, (25, 1)), max_batch=2000)
    made = checks(exam)
    assert made["decisions"]
    assert made["decisions"].detail.startswith("0 of 10000 test rows decided otherwise, 0 more were ties; rate below ")
    assert "below 0.03 % at 95 %" in made["decisions"].detail
    assert list(made) == ["decisions"]


def test_flips_are_counted_and_listed_by_margin() -> None:
    rows = SURE.copy()
    rows[70] = [0.3, 0.2, 0.1]
    exam = examination(flipping(70, 200), rows)
    made = checks(exam)
    assert not made["decisions"]
    assert made["decisions"].value == 2
    found = exam.findings["decisions"]
    assert [(flip["row"], flip["expected"], flip["found"]) for flip in found["flipped"]] == [(200, 0, 1), (70, 0, 1)]
    assert [flip["margin"] for flip in found["flipped"]] == pytest.approx([0.6, 0.1])
    assert sum(part["rows"] for part in found["margins"]) == found["rows"] == 400
    assert sum(part["flips"] for part in found["margins"]) == found["flips"] == 2
    json.dumps(found, allow_nan=False)


def test_a_tie_is_no_fault_yet_counts_for_the_rate() -> None:
    rows = SURE.copy()
    rows[5, 1] = rows[5, 0] - 1e-6
    exam = examination(flipping(5), rows, max_flip_rate=0.01)
    made = checks(exam)
    assert made["decisions"]
    assert exam.findings["decisions"]["ties"] == 1
    assert exam.findings["decisions"]["flipped"][0]["tie"]
    assert made["flip rate"].value == pytest.approx(exam.findings["decisions"]["rate_bound"])
    assert not made["flip rate"]
    assert "to show 0.01 it takes 473 test rows with no more than 1 of them" in made["flip rate"].detail


def test_a_rate_that_the_rows_show_passes() -> None:
    assert checks(examination(faithful, SURE, max_flip_rate=0.01))["flip rate"]


def test_too_few_rows_for_a_rate_say_how_many_it_takes() -> None:
    made = checks(examination(faithful, SURE[:359], max_flip_rate=0.001))
    assert made["decisions"]
    assert not made["flip rate"]
    assert "it takes 2,995 test rows" in made["flip rate"].detail


def test_accuracies_are_compared_where_targets_are_known() -> None:
    targets = np.zeros(400, np.int64)
    targets[7] = 1
    exam = examination(flipping(7, 8, 9), SURE, targets)
    detail = checks(exam)["decisions"].detail
    accuracy = exam.findings["decisions"]["accuracy"]
    assert (accuracy["gained"], accuracy["lost"]) == (1, 2)
    assert accuracy["difference"] == pytest.approx(-1 / 400)
    low, high = accuracy["interval"]
    assert low < -1 / 400 < high
    assert "accuracy differs by -0.25 %" in detail


def test_without_targets_no_accuracy_is_told() -> None:
    exam = examination(faithful, SURE, None)
    checks(exam)
    assert "accuracy" not in exam.findings["decisions"]


def test_whole_numbers_are_decisions_too() -> None:
    """The scores are right and their output of whole numbers is not: a decision all the same."""

    def answer(feeds: Feeds) -> Outputs:
        return faithful(feeds) | {"index": feeds["x"].argmin(axis=1)}

    assert checks(examination(answer, SURE))["decisions"].value == 400


def test_a_network_of_whole_numbers_only_is_judged_by_them() -> None:
    def answer(feeds: Feeds) -> Outputs:
        return {"index": feeds["x"].argmax(axis=1)}

    def wrong(feeds: Feeds) -> Outputs:
        return {"index": np.where(feeds["x"][:, 2] > 0.5, 0, feeds["x"].argmax(axis=1))}

    rows = np.random.default_rng(0).uniform(size=(300, 3))
    assert checks(examination(answer, rows, reference=Identity(WHOLE)))["decisions"]
    exam = examination(wrong, rows, reference=Identity(WHOLE))
    assert not checks(exam)["decisions"]
    assert exam.findings["decisions"]["flipped"][0]["margin"] is None
    json.dumps(exam.findings, allow_nan=False)


def test_a_network_that_overflows_in_its_arithmetic_is_refused_with_words() -> None:
    class Overflowing(Identity):
        yardstick = "torch rounded to float16"

        def rounded(self, feeds: Feeds) -> Outputs:
            return {name: value + np.inf for name, value in self.truth(feeds).items()}

    exam = examination(lambda feeds: {"scores": feeds["x"]}, SURE, reference=Overflowing(REAL))
    made = {check.name: check for check in examine(exam)}
    assert list(made) == ["noise of scores", "well formed"]
    assert "torch rounded to float16 is not finite" in made["noise of scores"].detail
