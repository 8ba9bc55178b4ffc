"""The shape space: what is wrong at some sizes, in some company, in some order or the second time only."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.errors import OnnxwayError
from deploy.passport import Check
from deploy.providers import open_session
from stages.observer import Observer
from stages.recipe import VerifyConfig
from stages.train.weights import load_graph
from stages.verify.checks import pooled, shapes
from stages.verify.examination import Examination
from stages.verify.material import Material
from stages.verify.reference import Answer, Feeds, Outputs
from stages.verify.session import open_model
from stages.verify.twin import Twin
from tests.stages.verify.identity import REAL, WHOLE, Identity, examination, faithful

ROWS = np.sort(np.random.default_rng(0).uniform(size=(90, 3)), axis=0)  # the first column ascends
BRANCH = """<ir_version: 10, opset_import: ["": 20]>
g (float[batch, 3] x) => (float[batch, 3] scores, int64[batch] index) {
    shape = Shape(x)
    first = Constant<value_ints = [0]>()
    rows = Gather(shape, first)
    limit = Constant<value_ints = [%d]>()
    taken = %s(rows, limit)
    switch = Cast<to = 1>(taken)
    error = Constant<value_floats = [0.001]>()
    added = Mul(switch, error)
    scores = Add(x, added)
    index = ArgMax<axis = 1, keepdims = 0>(scores)
}"""


def checks(exam: Examination) -> dict[str, Check]:
    list(pooled.check(exam))
    return {check.name: check for check in shapes.check(exam)}


def failures(exam: Examination) -> list[str]:
    return [name for name, check in checks(exam).items() if not check]


def wrong(values: Any) -> Outputs:
    return {"scores": values.astype(np.float32), "index": values.argmax(axis=1)}


def test_a_faithful_function_passes_and_the_table_says_what_was_tried() -> None:
    exam = examination(faithful, ROWS, max_batch=11)
    assert failures(exam) == []
    assert [line["shape"] for line in exam.findings["shapes"]] == [f"{n}x3" for n in (1, 2, 3, 5, 7, 8, 11)]
    assert all(line["ratio"] <= 1 and not line["note"] for line in exam.findings["shapes"])


@pytest.mark.parametrize(
    ("branch", "batches"),
    [("LessOrEqual limit 2", {1, 2}), ("Greater limit 4", {5, 7, 8, 64}), ("Equal limit 5", {5})],
)
def test_a_branch_that_export_baked_in_is_found(tmp_path: Path, branch: str, batches: set[int]) -> None:
    operator, _, limit = branch.split()
    model = onnx.parser.parse_model(BRANCH % (int(limit), operator))
    onnx.save(model, tmp_path / "model.onnx")
    exam = examination(open_model(tmp_path / "model.onnx", "cpu"), ROWS, max_batch=64)
    found = checks(exam)
    assert not found["batch sizes"]
    assert {int(x["shape"].split("x")[0]) for x in exam.findings["shapes"] if x["ratio"] > 8} == batches


def test_rows_that_look_at_their_neighbours() -> None:
    def answer(feeds: Feeds) -> Outputs:
        return wrong(feeds["x"] + 1e-3 * feeds["x"].mean(axis=0))

    assert "batch invariance" in failures(examination(answer, ROWS))


def test_rows_whose_order_matters() -> None:
    """Rows alone answer rightly; of two orders, one the other way round, one at least shows it."""

    def answer(feeds: Feeds) -> Outputs:
        return wrong(feeds["x"] + 1e-3 * (feeds["x"][0, 0] > feeds["x"][-1, 0]))

    found = checks(examination(answer, ROWS))
    assert not found["order of rows"]


def test_a_state_that_is_not_reset() -> None:
    calls = 0

    def answer(feeds: Feeds) -> Outputs:
        nonlocal calls
        calls += 1
        return wrong(feeds["x"] + np.float32(1e-7) * (calls % 2))

    exam = examination(answer, ROWS)
    assert not checks(exam)["repetition"]


def test_on_a_gpu_repetition_is_within_the_noise() -> None:
    calls = 0

    def answer(feeds: Feeds) -> Outputs:
        nonlocal calls
        calls += 1
        return wrong(feeds["x"] + np.float32(1e-7) * (calls % 2))

    exam = examination(answer, ROWS)
    exam.provider = "cuda"
    assert checks(exam)["repetition"]


@pytest.mark.parametrize(("lead", "passes"), [(1e-6, True), (0.1, False)])
def test_whole_numbers_may_differ_among_others_only_where_the_row_is_a_tie(lead: float, passes: bool) -> None:
    rows = ROWS.copy()
    rows[:, 0] = rows[:, 1:].max(axis=1) + lead

    def answer(feeds: Feeds) -> Outputs:
        right = faithful(feeds)
        return right if len(feeds["x"]) > 1 else right | {"index": np.argsort(feeds["x"], axis=1)[:, -2]}

    assert bool(checks(examination(answer, rows))["batch invariance"]) == passes


def test_an_output_of_another_length_alone() -> None:
    def answer(feeds: Feeds) -> Outputs:
        return faithful(feeds) | {"scores": np.zeros((len(feeds["x"]), 3 if len(feeds["x"]) > 1 else 4), np.float32)}

    exam = examination(answer, ROWS)
    found = checks(exam)
    assert not found["batch sizes"]
    assert "scores is (7, 4) instead of (7, 3)" in found["batch invariance"].detail


def test_a_size_that_only_the_model_cannot_run_is_a_fault() -> None:
    def answer(feeds: Feeds) -> Outputs:
        if len(feeds["x"]) == 5:
            raise OnnxwayError("ONNX Runtime cannot run the model on these tensors: Reshape")
        return faithful(feeds)

    exam = examination(answer, ROWS)
    found = checks(exam)
    assert not found["batch sizes"]
    assert "batch sizes: 5x3: ONNX Runtime cannot run" in found["batch sizes"].detail
    assert [line["shape"] for line in exam.findings["shapes"] if line["note"]] == ["5x3"]


def test_what_the_network_itself_cannot_run_is_no_fault() -> None:
    class Picky(Identity):
        def truth(self, feeds: Feeds) -> Outputs:
            if feeds["x"][0, 0] < 0.5 and len(feeds["x"]) == 1:  # the row that is tried first
                raise RuntimeError("Calculated output size is too small")
            return super().truth(feeds)

    exam = examination(faithful, ROWS, reference=Picky(REAL, WHOLE), max_batch=45)
    check = checks_of_sweep(exam)
    assert not check
    assert "the reference itself cannot run any of 7 shapes" in check.detail


def checks_of_sweep(exam: Examination) -> Check:
    list(pooled.check(exam))
    return next(shapes.check(exam))


@pytest.fixture(scope="module")
def colour_exam(colour_run: Any, colour_data: Any) -> Any:
    exported = colour_run.exported
    twin, material = Twin(load_graph(exported.trained)), Material.of(colour_data, exported.input)
    session = open_session(exported.model)

    def made(answer: Any) -> Examination:
        config = VerifyConfig(rows=400)
        return Examination(
            exported.model, "cpu", lambda feeds: answer(feeds, session.run), twin, material, config, Observer()
        )

    return made


def test_free_sizes_are_swept(colour_exam: Any) -> None:
    exam = colour_exam(lambda feeds, run: run(feeds))
    assert failures(exam) == []
    tried = [line["shape"] for line in exam.findings["shapes"]]
    assert tried[-4:] == ["8x16x16x3", "8x31x47x3", "8x48x33x3", "8x97x64x3"]


def test_a_fault_at_prime_sizes_only(colour_exam: Any) -> None:
    def answer(feeds: Feeds, run: Answer) -> Outputs:
        found = run(feeds)
        if feeds["image"].shape[1] == 31:
            found["probabilities"] = found["probabilities"] + np.float32(1e-3)
        return found

    exam = colour_exam(answer)
    found = checks(exam)
    assert not found["free sizes"]
    assert [line["shape"] for line in exam.findings["shapes"] if line["ratio"] > 8] == ["8x31x47x3"]


@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 30), st.integers(1, 30))
def test_tiles_keep_the_values_of_the_row(height: int, width: int, tall: int, wide: int) -> None:
    rows = np.arange(2 * height * width).reshape(2, height, width)
    tiled = shapes._tiled(rows, {1: tall, 2: wide})
    assert tiled.shape == (2, tall, wide)
    for at in ((0, 0), (tall - 1, wide - 1)):
        assert (tiled[:, at[0], at[1]] == rows[:, at[0] % height, at[1] % width]).all()
