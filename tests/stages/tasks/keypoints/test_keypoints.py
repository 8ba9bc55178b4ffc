import math
from typing import Any

import numpy as np
import pytest
import torch

from deploy.errors import UsageError
from stages import discover
from stages.dataset import DataInfo
from stages.errors import DataError
from stages.recipe import replace, use
from stages.tasks.keypoints.recipes import keypoints_faces, keypoints_faces_regression

INFO = DataInfo("eyes", (20, 40, 1), ("left_eye", "right_eye", "nose"), "0" * 64, "none")
FREE = DataInfo("eyes", ("height", "width", 1), INFO.labels, "0" * 64, "none")


def task(info: DataInfo = INFO, **options: Any) -> Any:
    return discover.call("tasks", use("keypoints", **options), info)


def outputs(points: Any, confidence: Any = 0.9) -> dict[str, np.ndarray]:
    places = np.asarray(points, np.float32)
    sure = np.broadcast_to(np.float32(confidence), places.shape[:2])
    return {"points": places, "confidence": sure, "found": sure >= 0.5}


TRUTH = np.array([[[0.2, 0.5], [0.6, 0.5], [0.4, 0.8]], [[0.3, 0.3], [0.7, 0.4], [np.nan, np.nan]]], np.float32)


def test_metrics_against_hand_made_ones() -> None:
    said = np.nan_to_num(TRUTH, nan=0.9)
    said[0, 0] += (0.03, 0.04)  # 5 % off: 1.2 and 0.8 px
    said[1, 1] += (0, 0.2)  # 20 % off: 4 px
    metrics = task().metrics(outputs(said), TRUTH)
    assert metrics["error"] == pytest.approx(0.25 / 5)
    assert metrics["error_px"] == pytest.approx((math.hypot(1.2, 0.8) + 4) / 5, rel=1e-5)
    assert metrics["auc"] == pytest.approx((3 + 0.5 + 0) / 5, rel=1e-5)
    assert metrics["found"] == 1
    assert task().primary in metrics
    assert all(type(value) is float for value in metrics.values())
    assert "error_px" not in task(FREE).metrics(outputs(said), TRUTH)


def test_share_within_tolerance_and_its_calibration() -> None:
    said = np.nan_to_num(TRUTH)
    said[0, :2, 0] += 0.2
    metrics = task().metrics(outputs(said, 0.6), TRUTH)
    assert metrics["pck"] == pytest.approx(3 / 5)
    assert metrics["ece"] == pytest.approx(0, abs=1e-6)
    assert task().metrics(outputs(said, 0.9), TRUTH)["ece"] == pytest.approx(0.3)


def test_what_is_seen_in_nothing_is_counted_where_it_is_trained() -> None:
    blank = np.full_like(TRUTH, np.nan)
    both = np.concatenate([TRUTH, blank])
    said = outputs(np.nan_to_num(both), np.array([[0.9], [0.9], [0.1], [0.9]], np.float32))
    assert task(blank=True).metrics(said, both)["found_blank"] == 0.5
    assert "found_blank" not in task().metrics(said, both)
    with pytest.raises(DataError, match="no point of 2 samples is known"):
        task().metrics(outputs(np.nan_to_num(blank)), blank)


def test_a_decision_is_whether_a_point_is_found() -> None:
    decisions, margins = task().decide(outputs(TRUTH, np.array([[0.9, 0.5, 0.25]], np.float32)))
    assert decisions[0].tolist() == [1, 1, 0]
    assert margins[0] == pytest.approx([0.4, 0, 0.25])
    assert task().decides_by == "confidence"
    _, margins = task(least=0.75).decide({**outputs(TRUTH), "found": np.ones((2, 3), bool)})
    assert margins[0] == pytest.approx([0.15] * 3)


@pytest.mark.parametrize(
    ("head", "takes", "shape"), [("heatmap", "map", (2, 8, 5, 7)), ("regression", "vector", (2, 8))]
)
def test_each_head_answers_as_the_signature_says(head: str, takes: str, shape: tuple[int, ...]) -> None:
    made = task(head=head)
    assert made.takes == takes
    answers = made.postprocess()(made.head(8)(torch.randn(shape)))
    for spec, answer in zip(made.output.tensors, answers, strict=True):
        assert str(answer.dtype).removeprefix("torch.") == spec.dtype
        assert answer.shape == (2, *spec.shape[1:])
    assert made.output.kind == "points"
    assert made.output.labels == INFO.labels


def test_augmentation_is_off_unless_asked_for() -> None:
    raw, points = torch.zeros(2, 20, 40, 1, dtype=torch.uint8), torch.from_numpy(TRUTH)
    same, there = task().augment(raw, points, torch.Generator())
    assert same is raw
    assert there is points
    generator = torch.Generator().manual_seed(0)
    varied, moved = task(flip=True, rotate_deg=5.0).augment(raw, points, generator)
    assert varied.shape == raw.shape
    assert not torch.equal(moved.nan_to_num(), points.nan_to_num())


def test_what_cannot_be_is_said_before_training() -> None:
    with pytest.raises(UsageError, match="is for pictures, data 'waves' has samples"):
        task(DataInfo("waves", (1, "time"), ("a",), "0" * 64, "none"))
    with pytest.raises(UsageError, match="'least' is 1, expected a probability"):
        task(least=1.0)
    with pytest.raises(UsageError, match="no point is named left or right"):
        task(DataInfo("chins", (9, 9, 1), ("chin",), "0" * 64, "none"), flip=True)


def test_a_head_for_a_map_refuses_a_vector() -> None:
    from stages.graph import build

    recipe = replace(keypoints_faces(), model=use("lenet5"))
    info = DataInfo("faces", (96, 96, 1), INFO.labels, "0" * 64, "none")
    with pytest.raises(UsageError, match="takes features of the form 'map', model lenet5 gives 'vector'"):
        build(recipe, info)


@pytest.mark.parametrize("recipe", [keypoints_faces, keypoints_faces_regression])
def test_pictures_of_any_content_and_form_have_a_finite_answer(recipe: Any) -> None:
    from stages.graph import build

    torch.manual_seed(0)
    graph = build(recipe(), DataInfo("faces", (96, 96, 1), INFO.labels, "0" * 64, "none")).eval()
    for kind in (graph, graph.double()):
        for picture in (
            torch.zeros(1, 96, 96, 1, dtype=torch.uint8),
            torch.full((1, 96, 96, 1), 255, dtype=torch.uint8),
            torch.zeros(1, 1, 1, 1, dtype=torch.uint8),
            torch.randint(0, 255, (1, 3, 1500, 1), dtype=torch.uint8),
        ):
            with torch.inference_mode():
                points, confidence, _ = kind(picture)
            assert points.isfinite().all()
            assert points.min() >= 0
            assert points.max() <= 1
            assert confidence.isfinite().all()
