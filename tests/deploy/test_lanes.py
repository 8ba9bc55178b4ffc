from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deploy.arrays import Array
from deploy.bundle import TensorSpec
from deploy.errors import OnnxwayError
from deploy.lanes import CutRun, Runner, share_rows
from deploy.providers import Session, open_session


@pytest.fixture(scope="module")
def whole(colours: Path) -> Session:
    return open_session(colours / "model.onnx", threads=1)


@pytest.fixture(scope="module")
def runner(colours: Path, whole: Session) -> Runner:
    pre, net = (open_session(colours / name, threads=1) for name in ("pre.onnx", "net.onnx"))
    return Runner(whole.run, CutRun(pre.run, net.run))


def picture(generator: np.random.Generator, rows: int, height: int, width: int) -> dict[str, Array]:
    return {"image": generator.integers(0, 256, (rows, height, width, 3), np.uint8)}


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 3), st.integers(1, 30), st.integers(1, 30)), min_size=1, max_size=6))
def test_each_job_gets_what_it_would_get_alone(
    runner: Runner, whole: Session, sizes: list[tuple[int, int, int]]
) -> None:
    generator = np.random.default_rng(0)
    jobs = [picture(generator, *size) for size in sizes]
    for job, answer in zip(jobs, runner(jobs), strict=True):
        alone = whole.run(job)
        assert np.array_equal(answer["class_index"], alone["class_index"])
        assert answer["probabilities"].shape == alone["probabilities"].shape
        assert np.allclose(answer["probabilities"], alone["probabilities"], atol=1e-6)


def test_one_size_runs_the_whole_graph(whole: Session) -> None:
    halves = CutRun(lambda _: pytest.fail("cut"), lambda _: pytest.fail("cut"))
    generator = np.random.default_rng(0)
    jobs = [picture(generator, rows, 8, 9) for rows in (1, 2)]
    answers = Runner(whole.run, halves)(jobs)
    assert [len(answer["class_index"]) for answer in answers] == [1, 2]


def test_one_job_is_not_copied() -> None:
    given_x = np.zeros((3, 2))
    assert Runner(lambda arrays: {"same": np.array([arrays["x"] is given_x])})([{"x": given_x}])[0]["same"]


def test_outputs_that_are_no_rows_are_refused() -> None:
    with pytest.raises(OnnxwayError, match=r"output 'y' has shape \(7,\) for a batch of 2 rows"):
        Runner(lambda _: {"y": np.zeros(7)})([{"x": np.zeros((1, 1))}] * 2)


def test_shapes_do_not_mix_without_a_cut() -> None:
    with pytest.raises(OnnxwayError, match="different shapes in one batch"):
        Runner(lambda arrays: arrays)([{"x": np.zeros((1, 1))}, {"x": np.zeros((1, 2))}])


@pytest.mark.parametrize(
    ("shapes", "share"),
    [
        ([("batch", 3), ("batch",)], True),
        ([("batch", 3), ("found", 6)], False),
        ([(1, 3), (1,)], False),
        ([("?", 3), ("?",)], False),
        ([("batch", 3), ()], False),
    ],
)
def test_only_one_free_first_axis_can_be_shared(shapes: list[Any], share: bool) -> None:
    first, *others = (TensorSpec("t", "float32", shape) for shape in shapes)
    assert share_rows([first], others) is share
