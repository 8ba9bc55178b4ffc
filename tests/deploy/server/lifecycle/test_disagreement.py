import dataclasses

import numpy as np
import pytest

from deploy import Predictor
from deploy.bundle import Signature, TensorSpec
from deploy.predictor import Info
from deploy.server.lifecycle.disagreement import compare


def classes(*index: int) -> dict[str, np.ndarray]:
    return {"probabilities": np.eye(3, dtype=np.float32)[list(index)], "class_index": np.array(index)}


def test_decisions_are_compared_by_label(predictor: Predictor) -> None:
    info = predictor.info
    found = compare(info, classes(0, 1, 2, 2), info, classes(0, 2, 2, 1))
    assert (found.rows, found.decided) == (4, 2)
    assert found.largest == {"probabilities": pytest.approx(1 / 3e-8)}
    turned = dataclasses.replace(info, labels=info.labels[::-1])
    assert compare(info, classes(0, 1, 2), turned, classes(2, 1, 0)).decided == 0
    assert compare(info, classes(0, 1, 2), turned, classes(0, 1, 2)).decided == 2


@pytest.fixture
def tensors(predictor: Predictor) -> Info:
    """Boxes and how many: noise 0.5, limit 8, so 8 apart (rms) is the most that passes."""
    specs = (TensorSpec("boxes", "float32", ("batch", 2)), TensorSpec("count", "int64", ("batch",)))
    passport = dataclasses.replace(predictor.info.passport, noise={"boxes": 0.5}, limit=8.0)
    return dataclasses.replace(predictor.info, output=Signature("tensors", specs), passport=passport)


def answer(*rows: float, count: int = 1) -> dict[str, np.ndarray]:
    return {"boxes": np.array([[row, row] for row in rows], np.float32), "count": np.full(len(rows), count)}


@pytest.mark.parametrize(
    ("others", "decided", "largest"),
    [
        (answer(0, 0), 0, 0),
        (answer(0, 7.9), 0, 15.8),
        (answer(0, 8.1), 1, 16.2),
        (answer(0, 0, count=2), 2, 0),
        (answer(0, np.nan), 1, np.inf),
        (answer(0, np.inf), 1, np.inf),
        (answer(0, 0, 0), 2, np.inf),
    ],
)
def test_other_outputs_are_compared_as_golden_samples_are(
    tensors: Info, others: dict[str, np.ndarray], decided: int, largest: float
) -> None:
    found = compare(tensors, answer(0, 0), tensors, others)
    assert (found.rows, found.decided) == (2, decided)
    assert found.largest["boxes"] == pytest.approx(largest)


def test_what_is_no_number_on_both_sides_is_the_same(tensors: Info) -> None:
    found = compare(tensors, answer(np.nan, np.inf), tensors, answer(np.nan, np.inf))
    assert (found.decided, found.largest) == (0, {"boxes": 0.0})


def test_an_output_without_noise_is_held_to_its_own_rounding(tensors: Info) -> None:
    unknown = dataclasses.replace(tensors, passport=dataclasses.replace(tensors.passport, noise={}))
    eps = float(np.finfo(np.float32).eps)
    assert compare(unknown, answer(1, 1), unknown, answer(1, 1 + eps)).decided == 0
    assert compare(unknown, answer(1, 1), unknown, answer(1, 1.001)).decided == 1
