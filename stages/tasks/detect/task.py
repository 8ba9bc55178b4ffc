"""Detection: boxes decoded and suppressed inside the graph, quality focal and overlap loss, mean average precision."""

import importlib.util
from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import nn

from deploy.bundle import Signature, TensorSpec
from deploy.errors import UsageError
from stages.dataset import Array, DataInfo
from stages.task import Matched, Scores
from stages.tasks.detect import loss, matching
from stages.tasks.detect.average_precision import average_precision
from stages.tasks.detect.head import Head, Seen
from stages.tasks.detect.suppress import Suppress


def detect(
    info: DataInfo,
    *,
    score_threshold: float = 0.3,
    iou_threshold: float = 0.5,
    candidates: int = 100,
    max_detections: int = 20,
) -> "Detect":
    """Boxes around things of the labels, each with a score.

    score_threshold    least score of a box that is answered, in [0, 1): how well it is expected to cover a thing
    iou_threshold      of two boxes of one class that overlap by more than this, one is dropped, in (0, 1)
    candidates         boxes of each picture that are looked at, at most: those with the best scores
    max_detections     boxes of each picture that are answered, at most
    """
    for name, value in (("score_threshold", score_threshold), ("iou_threshold", iou_threshold)):
        if not 0 <= value < 1:
            raise UsageError(f"task option {name!r} is {value:g}, expected in [0, 1)")
    if not 1 <= max_detections <= candidates:
        raise UsageError(
            f"task options 'max_detections' and 'candidates' are {max_detections} and {candidates}, expected 1 or "
            "more, and no more detections than candidates"
        )
    if importlib.util.find_spec("pycocotools") is None:
        raise UsageError(
            "task detect: pycocotools, which counts precision, is not installed; pip install 'onnxway[detection]'"
        )
    if not info.labels:
        raise UsageError(f"task detect: data {info.name!r} has no labels, expected one or more; use another source")
    return Detect(info.labels, score_threshold, iou_threshold, candidates, max_detections)


class Detect:
    """`Seen` -> boxes float32 (N, D, 4), scores float32 (N, D); class_index, place int64 (N, D), count int64 (N,).

    D is `max_detections`; the best box is first, rows after count are 0. Boxes are x1, y1, x2, y2 in px of the picture,
    or, for a network that sees all pictures in one size, parts of its width and height. `place` says which place of the
    pyramid saw the box: with the class it is the box's name, by which two lists can be compared.
    """

    primary = "map50"
    takes = "pyramid"

    def __init__(
        self,
        labels: tuple[str, ...],
        score_threshold: float,
        iou_threshold: float,
        candidates: int,
        max_detections: int,
    ) -> None:
        self.labels = labels
        self.score_threshold, self.iou_threshold = score_threshold, iou_threshold
        self.candidates, self.max_detections = candidates, max_detections
        self.relative = False
        self.output = self._signature()

    def _signature(self) -> Signature:
        rows: tuple[int | str, ...] = ("batch", self.max_detections)
        most = (0.0, 1.0) if self.relative else None
        unit = "x1, y1, x2, y2, " + ("parts of width and height" if self.relative else "px")
        return Signature(
            "boxes",
            (
                TensorSpec("boxes", "float32", (*rows, 4), most, unit),
                TensorSpec("scores", "float32", rows, (0.0, 1.0), "expected overlap with a thing"),
                TensorSpec("class_index", "int64", rows, (0.0, len(self.labels) - 1.0), "index into labels"),
                TensorSpec("count", "int64", ("batch",), (0.0, float(self.max_detections)), "boxes"),
                TensorSpec("place", "int64", rows, None, "place of the pyramid"),
            ),
            self.labels,
            {"relative": self.relative},
        )

    def head_for(self, net: nn.Module) -> nn.Module:
        """Return the head for a net's pyramid; boxes are parts of the picture if the net is made for one size."""
        self.relative = all(isinstance(size, int) for size in cast(Any, net.shape)[1:])
        self.output = self._signature()
        return Head(cast(int, net.out_features), len(self.labels), cast(tuple[int, ...], net.strides)[1:])

    def postprocess(self) -> nn.Module:
        """Return what makes a list of what the head sees."""
        return Suppress(self.score_threshold, self.iou_threshold, self.candidates, self.max_detections, self.relative)

    def augment(
        self, raw: torch.Tensor, targets: torch.Tensor, generator: torch.Generator
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the batch as it is."""
        return raw, targets

    def loss(self, scores: Scores, targets: torch.Tensor) -> torch.Tensor:
        """Return the loss by the number of places that are to see something; targets as `stages.data.read.boxes`."""
        return loss.loss(Seen(*scores), targets)

    def metrics(self, outputs: Mapping[str, Array], targets: Array) -> dict[str, float]:
        """Return figures in [0, 1] by the rules of COCO, as pycocotools counts them.

        map50, map50_95          mean over classes of the average precision at an overlap of 0.5, and from 0.5 to 0.95
        precision50, recall50    of the boxes that are answered, at an overlap of 0.5
        """
        return average_precision(outputs, targets, self.labels, relative=self.relative).metrics()

    def decide(self, outputs: Mapping[str, Array]) -> tuple[Array, Array]:
        """Return the class at each rank (N, D), -1 after the last box, and how near another box is to it."""
        return matching.decide(outputs, self.score_threshold, self.iou_threshold)

    def match(self, found: Mapping[str, Array], truth: Mapping[str, Array]) -> Matched:
        """Match boxes by class and place; see `stages.tasks.detect.matching`."""
        return matching.match(found, truth, self.score_threshold, self.iou_threshold)
