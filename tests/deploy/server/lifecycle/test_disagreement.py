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


def decided(predictor: Predictor, kind: str, *specs: TensorSpec) -> Info:
    """An output whose real numbers may be 16 thousandths apart."""
    noise = {spec.name: 1e-3 for spec in specs if spec.dtype == "float32"}
    passport = dataclasses.replace(predictor.info.passport, noise=noise, limit=8.0)
    return dataclasses.replace(predictor.info, output=Signature(kind, specs, ("a", "b")), passport=passport)


@pytest.mark.parametrize(("apart", "differing"), [(0.0, 0), (0.015, 0), (0.017, 1), (0.5, 1)])
def test_pixels_of_a_mask_may_differ_where_they_are_ties(predictor: Predictor, apart: float, differing: int) -> None:
    probabilities = TensorSpec("probabilities", "float32", ("batch", 2, "height", "width"))
    info = decided(predictor, "mask", probabilities, TensorSpec("class_index", "uint8", ("batch", "height", "width")))

    def masks(share: float) -> dict[str, np.ndarray]:
        """Two rows of 50 x 50; at one pixel of the second row it is near."""
        first = np.full((2, 1, 50, 50), 0.9, np.float32)
        first[1, 0, 7, 9] = share
        return {
            "probabilities": np.concatenate([first, 1 - first], axis=1),
            "class_index": (first < 0.5).astype(np.uint8)[:, 0],
        }

    found = compare(info, masks(0.5), info, masks(0.4999 - apart + 1e-4 * (apart > 0)))
    assert (found.rows, found.decided) == (2, differing)
    left, right = masks(0.5), masks(0.5)
    right["class_index"] = 1 - right["class_index"]  # by another order of the classes alone, and no tie
    right["probabilities"] = right["probabilities"][:, ::-1]
    assert compare(info, left, info, right).decided == 2


@pytest.mark.parametrize(
    ("kind", "name", "by", "dtype", "limit"),
    [("anomaly", "is_anomaly", "score", "int64", 1.0), ("points", "found", "confidence", "bool", 0.5)],
)
def test_one_side_and_the_other_of_a_limit_may_be_a_tie(
    predictor: Predictor, kind: str, name: str, by: str, dtype: str, limit: float
) -> None:
    shape: tuple[int | str, ...] = ("batch",) if kind == "anomaly" else ("batch", 1)
    info = decided(predictor, kind, TensorSpec(by, "float32", shape), TensorSpec(name, dtype, shape))

    def answers(*numbers: float) -> dict[str, np.ndarray]:
        values = np.array(numbers, np.float32).reshape(-1, *shape[1:])  # type: ignore[arg-type]
        return {by: values, name: (values >= limit).astype(dtype)}

    near = answers(limit - 0.005, limit - 0.05, limit + 0.2)
    assert compare(info, near, info, answers(limit + 0.005, limit - 0.05, limit + 0.2)).decided == 0
    assert compare(info, near, info, answers(limit + 0.005, limit + 0.05, limit + 0.2)).decided == 1
    short = near | {by: near[by][:2]}
    assert compare(info, near, info, short | {name: near[name]}).decided == 3


def test_what_is_no_number_on_both_sides_is_the_same(tensors: Info) -> None:
    found = compare(tensors, answer(np.nan, np.inf), tensors, answer(np.nan, np.inf))
    assert (found.decided, found.largest) == (0, {"boxes": 0.0})


def test_an_output_without_noise_is_held_to_its_own_rounding(tensors: Info) -> None:
    unknown = dataclasses.replace(tensors, passport=dataclasses.replace(tensors.passport, noise={}))
    eps = float(np.finfo(np.float32).eps)
    assert compare(unknown, answer(1, 1), unknown, answer(1, 1 + eps)).decided == 0
    assert compare(unknown, answer(1, 1), unknown, answer(1, 1.001)).decided == 1
