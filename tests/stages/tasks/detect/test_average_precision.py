import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from stages.data.read.boxes import targets
from stages.dataset import Array
from stages.tasks.detect.average_precision import average_precision

LABELS = ("cat", "dog", "cow")
WIDTH, HEIGHT, MOST = 80, 60, 6
Outputs = dict[str, Array]


def made(seed: int, rows: int = 12) -> tuple[Outputs, Array]:
    """Things, and boxes that hit some of them, with other classes and places by chance."""
    generator = np.random.default_rng(seed)
    things = []
    outputs = {
        "boxes": np.zeros((rows, MOST, 4), np.float32),
        "scores": np.zeros((rows, MOST), np.float32),
        "class_index": np.zeros((rows, MOST), np.int64),
        "count": generator.integers(0, MOST + 1, rows),
    }
    for row in range(rows):
        corners = generator.integers(0, 40, (generator.integers(4), 2))
        sides = generator.integers(4, 20, corners.shape)
        labels = generator.integers(0, 3, (len(corners), 1))
        things.append(np.concatenate([corners, corners + sides, labels], axis=1).astype(np.float32))
        scores = -np.sort(-generator.random(MOST))
        for rank in range(outputs["count"][row]):
            box = np.array([10, 10, 25, 25, 0]) if not len(things[row]) else generator.choice(things[row])
            outputs["boxes"][row, rank] = np.clip(box[:4] + generator.normal(0, 1.5, 4), 0, 60)
            outputs["boxes"][row, rank, 2:] = outputs["boxes"][row, rank, :2] + np.abs(box[2:4] - box[:2])
            outputs["class_index"][row, rank] = box[4] if generator.random() < 0.8 else generator.integers(3)
            outputs["scores"][row, rank] = scores[rank]
    return outputs, targets([(WIDTH, HEIGHT)] * rows, things)


def by_files(outputs: Outputs, true: Array, folder: Path) -> Array:
    """What pycocotools says of a file of annotations and one of results, with all its own settings."""
    annotations, results = [], []
    for row in range(len(true)):
        for x1, y1, x2, y2, label in true[row, 1:].tolist():
            if label >= 0:
                box = [x1, y1, x2 - x1, y2 - y1]
                number = len(annotations) + 1
                annotations.append({"id": number, "image_id": row, "category_id": int(label) + 1, "bbox": box,
                                    "area": box[2] * box[3], "iscrowd": 0})  # fmt: skip
        for rank in range(outputs["count"][row]):
            x1, y1, x2, y2 = outputs["boxes"][row, rank].astype(float).tolist()
            label, score = int(outputs["class_index"][row, rank]), float(outputs["scores"][row, rank])
            box = [x1, y1, x2 - x1, y2 - y1]
            results.append({"image_id": row, "category_id": label + 1, "bbox": box, "score": score})
    content = {
        "images": [{"id": row, "width": WIDTH, "height": HEIGHT} for row in range(len(true))],
        "categories": [{"id": number + 1, "name": name} for number, name in enumerate(LABELS)],
        "annotations": annotations,
    }
    (folder / "true.json").write_text(json.dumps(content))
    (folder / "found.json").write_text(json.dumps(results))
    truth = COCO(str(folder / "true.json"))
    rated = COCOeval(truth, truth.loadRes(str(folder / "found.json")), "bbox")
    rated.evaluate()
    rated.accumulate()
    rated.summarize()
    return rated.stats


@pytest.mark.parametrize("seed", range(4))
def test_it_is_what_pycocotools_says_of_files(seed: int, tmp_path: Path) -> None:
    outputs, true = made(seed)
    stats = by_files(outputs, true, tmp_path)
    metrics = average_precision(outputs, true, LABELS, relative=False).metrics()
    assert metrics["map50_95"] == pytest.approx(stats[0], abs=1e-9)
    assert metrics["map50"] == pytest.approx(stats[1], abs=1e-9)
    assert 0.05 < metrics["map50_95"] < metrics["map50"] < 1


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10**6))
def test_parts_of_pictures_are_rated_as_px_are(seed: int) -> None:
    outputs, true = made(seed)
    parts = {**outputs, "boxes": outputs["boxes"] / np.array([WIDTH, HEIGHT] * 2)}
    px, relative = (average_precision(one, true, LABELS, relative=parts is one).metrics() for one in (outputs, parts))
    assert relative == pytest.approx(px)


def test_what_is_right_and_what_is_found_is_told_box_by_box() -> None:
    true = targets([(WIDTH, HEIGHT)], [np.array([[0, 0, 10, 10, 0], [30, 30, 50, 50, 2]], np.float32)])
    outputs = {
        "boxes": np.array([[[30, 30, 50, 49], [0, 0, 10, 10], [0, 0, 1, 1]]], np.float32),
        "scores": np.array([[0.9, 0.8, 0]], np.float32),
        "class_index": np.array([[2, 1, 0]]),
        "count": np.array([2]),
    }
    ratings = average_precision(outputs, true, LABELS, relative=False)
    assert ratings.right.tolist() == [[True, False, False]]
    assert ratings.found.tolist() == [[False, True]]
    assert ratings.metrics()["precision50"] == ratings.metrics()["recall50"] == 0.5
    assert ratings.by_class()[0].tolist() == pytest.approx([0, np.nan, 1], nan_ok=True)


@pytest.mark.parametrize("boxes", [0, 2])
@pytest.mark.parametrize("things", [0, 1])
def test_figures_are_finite_where_there_is_nothing(boxes: int, things: int) -> None:
    outputs, _ = made(0, rows=1)
    outputs["count"] = np.array([boxes])
    true = targets([(WIDTH, HEIGHT)], [np.array([[0, 0, 5, 5, 0]] * things, np.float32).reshape(-1, 5)])
    metrics = average_precision(outputs, true, LABELS, relative=False).metrics()
    assert all(0 <= value <= 1 and type(value) is float for value in metrics.values())
