"""Mean average precision by the rules of COCO: pycocotools counts, here its tables are filled and read."""

import contextlib
import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from stages.data.read.boxes import NOTHING
from stages.dataset import Array


@dataclass(frozen=True)
class Ratings:
    """How found boxes fit to true ones.

    precision    (10, 101, classes): at overlaps 0.5 to 0.95 and recalls 0 to 1, interpolated; -1: class without things
    right        (N, D) bool: boxes that are a true one's at an overlap of 0.5
    found        (N, M) bool: true boxes that are found at an overlap of 0.5
    valid        (N, D) bool: rows that are boxes
    things       (N, M) bool: rows of the targets that are things
    """

    precision: Array
    right: Array
    found: Array
    valid: Array
    things: Array

    def by_class(self) -> Array:
        """Return average precision (10, classes) by overlap and class, NaN for a class without things."""
        mean = self.precision.mean(axis=1)
        return np.where(mean < 0, np.nan, mean)

    def metrics(self) -> dict[str, float]:
        """Return map50, map50_95, precision50 and recall50; 0 where there is nothing to count."""
        by_class = self.by_class()
        known = by_class[:, ~np.isnan(by_class[0])]
        return {
            "map50": float(known[0].mean()) if known.size else 0.0,
            "map50_95": float(known.mean()) if known.size else 0.0,
            "precision50": float(self.right.sum() / max(1, self.valid.sum())),
            "recall50": float(self.found.sum() / max(1, self.things.sum())),
        }


def average_precision(
    outputs: Mapping[str, Array], targets: Array, labels: tuple[str, ...], *, relative: bool
) -> Ratings:
    """Rate the boxes of `stages.tasks.detect.task.Detect` by targets (N, 1 + M, 5) of `stages.data.read.boxes`."""
    true, classes = targets[:, 1:, :4], targets[:, 1:, 4].astype(np.int64)
    if relative:
        true = true / np.tile(targets[:, :1, 2:4], 2)
    things = classes != NOTHING
    valid = np.arange(outputs["scores"].shape[1]) < outputs["count"][:, None]
    rated = _rated(
        _table(true, classes, things),
        _table(outputs["boxes"], outputs["class_index"], valid, outputs["scores"]),
        len(targets),
        labels,
        valid.shape[1],
    )
    right, found = np.zeros(valid.size + 1, bool), np.zeros(things.size + 1, bool)
    for picture in filter(None, rated.evalImgs):
        found[np.array(picture["gtIds"], int)[picture["gtMatches"][0] > 0]] = True
        right[np.array(picture["dtIds"], int)[picture["dtMatches"][0] > 0]] = True
    precision: Array = rated.eval["precision"][:, :, :, 0, 0]
    return Ratings(precision, right[1:].reshape(valid.shape), found[1:].reshape(things.shape), valid, things)


def _table(boxes: Array, classes: Array, there: Array, scores: Array | None = None) -> list[dict[str, Any]]:
    """Return COCO annotations of the rows (N, R) that are there, numbered from 1 by their place in (N, R)."""
    numbers = np.flatnonzero(there)
    pictures, _ = np.divmod(numbers, there.shape[1])
    corners = boxes[there].astype(np.float64)
    sizes = corners[:, 2:] - corners[:, :2]
    columns = (
        (numbers + 1).tolist(),
        pictures.tolist(),
        classes[there].tolist(),
        np.concatenate([corners[:, :2], sizes], axis=1).tolist(),
        sizes.prod(axis=1).tolist(),
        [1.0] * len(numbers) if scores is None else scores[there].tolist(),
    )
    names = ("id", "image_id", "category_id", "bbox", "area", "score")
    return [{**dict(zip(names, row, strict=True)), "iscrowd": 0} for row in zip(*columns, strict=True)]


def _rated(
    true: list[dict[str, Any]], found: list[dict[str, Any]], rows: int, labels: tuple[str, ...], most: int
) -> Any:
    """Return COCOeval after its work, over things of all sizes."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    tables = {
        "images": [{"id": row} for row in range(rows)],
        "categories": [{"id": number, "name": label} for number, label in enumerate(labels)],
    }
    with contextlib.redirect_stdout(io.StringIO()):  # it prints at every step
        sides = []
        for annotations in (true, found):
            side = COCO()
            side.dataset = {**tables, "annotations": annotations}
            side.createIndex()
            sides.append(side)
        rated = COCOeval(*sides, "bbox")
        rated.params.areaRng, rated.params.areaRngLbl, rated.params.maxDets = [[0, 1e10]], ["all"], [most]
        rated.evaluate()
        rated.accumulate()
    return rated
