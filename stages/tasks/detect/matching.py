"""Two lists of boxes for the same pictures held against each other: verify's idea of what a detector decides.

A class and the place that saw the box name a candidate; candidates of the same name are the same box, and how far its
numbers differ is rounding noise or a fault, as for any output. A box that only one list has is a decision that differs.
Rounding alone may be the reason where it is a near tie, and the margin says how near: a score at the threshold; two
boxes that suppress each other with about the same score, or overlap by about the threshold; a list that is full, with
about the same scores beyond its end. Margins of overlap are given in units of the boxes, by how far a side must move.
What follows from another box that came or went is as near a tie as that.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from stages.dataset import Array
from stages.task import Matched

NONE = -1
_ALIGNED = ("boxes", "scores", "class_index", "place")


def decide(outputs: Mapping[str, Array], score_threshold: float, iou_threshold: float) -> tuple[Array, Array]:
    """Return the class at each rank (N, D), `NONE` after the last, and how near another box is to being there.

    Margins (N, D) are infinite where there is no box.
    """
    valid = _valid(outputs)
    margins = _margins(outputs, valid, score_threshold, iou_threshold)
    with np.errstate(invalid="ignore"):  # from no box to no box it is infinite too
        scores = np.where(valid, outputs["scores"].astype(np.float64), -np.inf)
        gaps = np.nan_to_num(scores[:, :-1] - scores[:, 1:], nan=np.inf, posinf=np.inf)
    margins[:, 1:] = np.minimum(margins[:, 1:], gaps)
    margins[:, :-1] = np.minimum(margins[:, :-1], gaps)
    return np.where(valid, outputs["class_index"], NONE), margins


def match(
    found: Mapping[str, Array], truth: Mapping[str, Array], score_threshold: float, iou_threshold: float
) -> Matched:
    """Return `found` in the truth's order; decisions at the truth's D ranks, then at those of what only `found` has."""
    valid, also = _valid(truth), _valid(found)
    expected = np.where(valid, truth["class_index"], NONE)
    margins = _margins(truth, valid, score_threshold, iou_threshold)
    names, others = _names(truth, valid), _names(found, also)
    same = names[:, :, None] == others[:, None, :]
    known, place = same.any(axis=2) & valid, same.argmax(axis=2)
    extra = also & ~(same & valid[:, :, None]).any(axis=1)
    decided = np.where(known, expected, NONE)
    added, beyond = np.where(extra, found["class_index"], NONE), np.full(extra.shape, np.inf)
    for row in np.flatnonzero((valid & ~known).any(axis=1) | extra.any(axis=1)):
        lost, new = valid[row] & ~known[row], extra[row]
        ties = _Ties(
            _Boxes.of(truth, row, valid[row]),
            _Boxes.of(found, row, also[row]),
            len(new),
            score_threshold,
            iou_threshold,
        )
        margins[row, lost], beyond[row, new] = ties.margins(lost[valid[row]], new[also[row]])
    aligned = dict(truth)
    for name in _ALIGNED:
        taken = np.take_along_axis(found[name], place.reshape(*place.shape, *(1,) * (found[name].ndim - 2)), axis=1)
        there = known.reshape(*known.shape, *(1,) * (taken.ndim - 2))
        aligned[name] = np.where(there, taken, truth[name]).astype(found[name].dtype)
    aligned["count"] = truth["count"].astype(found["count"].dtype)
    return Matched(
        aligned,
        np.concatenate([expected, np.full_like(added, NONE)], axis=1),
        np.concatenate([decided, added], axis=1),
        np.concatenate([margins, beyond], axis=1),
        known.sum(axis=1),
    )


def _margins(outputs: Mapping[str, Array], valid: Array, score_threshold: float, iou_threshold: float) -> Array:
    """Return how far each box (N, D) is from being dropped; infinite where there is none."""
    margins = np.full(valid.shape, np.inf)
    for row in np.flatnonzero(valid.any(axis=1)):
        boxes = _Boxes.of(outputs, row, valid[row])
        margins[row, valid[row]] = _standing(boxes, boxes, score_threshold, iou_threshold)
    return margins


def overlaps(boxes: Array, others: Array) -> Array:
    """Return intersection over union (A, B) of boxes (A, 4) and (B, 4); 0 for two without an area."""
    low = np.maximum(boxes[:, None, :2], others[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    shared = (high - low).clip(min=0).prod(axis=2)
    areas, beside = ((b[:, 2:] - b[:, :2]).prod(axis=1) for b in (boxes, others))
    whole = areas[:, None] + beside - shared
    return np.asarray(np.divide(shared, whole, out=np.zeros_like(shared), where=whole > 0))


@dataclass(frozen=True)
class _Boxes:
    """The boxes of one picture, (B, 4), (B,) and (B,), in float64."""

    boxes: Array
    scores: Array
    classes: Array

    @classmethod
    def of(cls, outputs: Mapping[str, Array], row: np.integer[Any], valid: Array) -> "_Boxes":
        return cls(
            outputs["boxes"][row, valid].astype(np.float64),
            outputs["scores"][row, valid].astype(np.float64),
            outputs["class_index"][row, valid],
        )

    def where(self, chosen: Array) -> "_Boxes":
        return _Boxes(self.boxes[chosen], self.scores[chosen], self.classes[chosen])

    def joined(self, other: "_Boxes") -> "_Boxes":
        return _Boxes(
            np.concatenate([self.boxes, other.boxes]),
            np.concatenate([self.scores, other.scores]),
            np.concatenate([self.classes, other.classes]),
        )


def _standing(boxes: _Boxes, among: _Boxes, score_threshold: float, iou_threshold: float) -> Array:
    """Return (B,): how far each is from being on the other side of a threshold, among the boxes of a list."""
    better = (boxes.classes[:, None] == among.classes) & (boxes.scores[:, None] < among.scores)
    # The overlap of two boxes changes by about as much as one side moves, in parts of that side.
    sides = (boxes.boxes[:, 2:] - boxes.boxes[:, :2]).min(axis=1, initial=np.inf)
    apart = np.abs(overlaps(boxes.boxes, among.boxes) - iou_threshold) * sides[:, None]
    closest = np.where(better, apart, np.inf).min(axis=1, initial=np.inf)
    return np.asarray(np.minimum(np.abs(boxes.scores - score_threshold), closest))


@dataclass(frozen=True)
class _Ties:
    """How near a tie each box is that only one of two lists has; `most` boxes fill a list."""

    truth: _Boxes
    found: _Boxes
    most: int
    score_threshold: float
    iou_threshold: float

    def margins(self, lost: Array, new: Array) -> tuple[Array, Array]:
        """Return margins of those of the truth that are lost, and of those found that are new; masks of each list."""
        gone, come = self.truth.where(lost), self.found.where(new)
        thresholds = self.score_threshold, self.iou_threshold
        own = np.concatenate(
            [
                np.minimum(_standing(gone, self.truth, *thresholds), self._to_the_end(gone, self.found)),
                np.minimum(_standing(come, self.truth, *thresholds), self._to_the_end(come, self.truth)),
            ]
        )
        settled = self._with_consequences(gone.joined(come), np.arange(len(own)) < len(gone.scores), own)
        return settled[: len(gone.scores)], settled[len(gone.scores) :]

    def _to_the_end(self, boxes: _Boxes, other: _Boxes) -> Array:
        """Return how far scores are from the last of the other list, where that is full."""
        if len(other.scores) < self.most:
            return np.full(len(boxes.scores), np.inf)
        return np.asarray(np.abs(boxes.scores - other.scores.min()))

    def _with_consequences(self, boxes: _Boxes, gone: Array, margins: Array) -> Array:
        """Return margins with those of what the others' coming and going makes of a box."""
        opposed = gone[:, None] != gone
        suppress = opposed & (boxes.classes[:, None] == boxes.classes)
        suppress &= overlaps(boxes.boxes, boxes.boxes) > self.iou_threshold
        gaps = np.abs(boxes.scores[:, None] - boxes.scores)
        margins = np.minimum(margins, np.where(suppress, gaps, np.inf).min(axis=1, initial=np.inf))
        # A better box that came drops a worse one, one that went lets it in; a full list loses or gains at its end.
        full = np.where(gone, len(self.found.scores), len(self.truth.scores)) >= self.most
        last = np.where(gone, self.found.scores.min(initial=np.inf), self.truth.scores.min(initial=np.inf))
        pushed = opposed & (full & (boxes.scores <= last))[:, None]
        causes = (suppress & (boxes.scores[:, None] <= boxes.scores)) | pushed
        for _ in range(len(margins)):
            margins = np.minimum(margins, np.where(causes, margins, np.inf).min(axis=1, initial=np.inf))
        return margins


def _valid(outputs: Mapping[str, Array]) -> Array:
    return np.asarray(np.arange(outputs["scores"].shape[1]) < outputs["count"][:, None])


def _names(outputs: Mapping[str, Array], valid: Array) -> Array:
    """Return a number (N, D) that names each candidate; `NONE` where there is no box."""
    return np.where(valid, outputs["place"] * 2**20 + outputs["class_index"], NONE)
