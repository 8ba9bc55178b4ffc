"""Key points: where each of several named points is in a picture, and how sure that is."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from deploy.bundle import Signature, TensorSpec
from deploy.errors import UsageError
from stages.dataset import Array, DataInfo
from stages.errors import DataError
from stages.report.reliability import reliability
from stages.tasks.keypoints.heads import TOLERANCE, Coordinates, HeatMaps, Kind, Places, distances, loss
from stages.tasks.keypoints.views import Views, mirrored_order

_FAR = 0.1  # errors of a tenth of the size and more are equally bad for `auc`


def keypoints(
    info: DataInfo,
    *,
    head: Kind = "heatmap",
    least: float = 0.5,
    blank: bool = False,
    rotate_deg: float = 0.0,
    translate: float = 0.0,
    scale: float = 0.0,
    flip: bool = False,
    erase: float = 0.0,
) -> "KeyPoints":
    """The places of the points that data names, as parts of width and height; points that are NaN do not count.

    head        heatmap: the mean of a map of heat for each point, for models that give a map; regression: coordinates
                at once, for models that give a vector
    least       confidence from which a point is found, in (0, 1)
    blank       pictures without any known point show none: be unsure of all of them there (off: they do not count)
    rotate_deg to erase    vary pictures as `stages.augment.ImageAugment` says, and the points with them; after a flip
                points with left and right in their names change places
    """
    if len(info.sample_shape) != 3:
        raise UsageError(f"task keypoints is for pictures, data {info.name!r} has samples {info.sample_shape}")
    if not 0 < least < 1:
        raise UsageError(f"task option 'least' is {least:g}, expected a probability in (0, 1); set task.least")
    mirror = mirrored_order(info.labels) if flip else ()
    return KeyPoints(info, head, least, blank, Views(rotate_deg, translate, scale, erase, mirror))


@dataclass
class KeyPoints:
    """Scores of a head -> points (N, K, 2) float32, confidence (N, K) float32 and found (N, K) bool.

    What is decided is whether a point is found. Where it is, is measured, not decided: rounding may move a point from
    one pixel into the next, and nobody acts on that; how far it moves is held against the noise, as for every output.
    """

    info: DataInfo
    kind: Kind
    least: float
    blank: bool
    views: Views

    primary = "auc"
    decides_by = "confidence"

    def __post_init__(self) -> None:
        labels = self.info.labels
        self.takes = "map" if self.kind == "heatmap" else "vector"
        form = ("batch", len(labels))
        self.output = Signature(
            "points",
            (
                TensorSpec("points", "float32", (*form, 2), (0.0, 1.0), "x, y as parts of width, height"),
                TensorSpec("confidence", "float32", form, (0.0, 1.0), f"probability to be within {TOLERANCE:g} of it"),
                TensorSpec("found", "bool", form, (0.0, 1.0), f"confidence is {self.least:g} or more"),
            ),
            labels,
        )

    def head(self, features: int) -> nn.Module:
        """Return the last layer, for a map or a vector of so many features."""
        points = len(self.info.labels)
        return HeatMaps(features, points) if self.kind == "heatmap" else Coordinates(features, points)

    def postprocess(self) -> nn.Module:
        """Return what makes points, confidence and found of scores."""
        return Places(self.kind, self.least)

    def augment(
        self, raw: torch.Tensor, targets: torch.Tensor, generator: torch.Generator
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the pictures, each varied in its own way, and the points where they are then."""
        return self.views(raw, targets, generator) if self.views != Views() else (raw, targets)

    def loss(self, scores: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Return the mean loss of the points that count, see `stages.tasks.keypoints.heads.loss`."""
        return loss(self.kind, scores, targets, blank=self.blank)

    def metrics(self, outputs: Mapping[str, Array], targets: Array) -> dict[str, float]:
        """Return figures over all known points.

        error       mean distance, as a part of the picture's size; error_px: in px, where all pictures are of one size
        pck         share of points within 5 % of the size
        auc         mean of 1 - distance / 10 %, at least 0: the area under the curve of the share of points within a
                    distance, up to 10 % of the size
        ece         expected calibration error of the confidence
        found       share of known points that are found; found_blank: of points in pictures without any known one
        """
        away, confidence, found = distances(outputs["points"], targets), outputs["confidence"], outputs["found"]
        known = ~np.isnan(away)
        if not known.any():
            raise DataError(f"data {self.info.name!r}: no point of {len(targets)} samples is known; add some that are")
        figures = {
            "error": float(away[known].mean()),
            "pck": float((away[known] <= TOLERANCE).mean()),
            "auc": float(np.clip(1 - away[known] / _FAR, 0, 1).mean()),
            "ece": reliability(confidence[known].astype(np.float64), away[known] <= TOLERANCE).ece,
            "found": float(found[known].mean()),
        }
        height, width = self.info.sample_shape[:2]
        if isinstance(height, int) and isinstance(width, int):
            sides = np.array([width, height])
            figures["error_px"] = float(distances(outputs["points"] * sides, targets * sides)[known].mean())
        shown = known.any(axis=1)
        if self.blank and not shown.all():
            figures["found_blank"] = float(found[~shown].mean())
        return figures

    def decide(self, outputs: Mapping[str, Array]) -> tuple[Array, Array]:
        """Return which points are found (N, K), and how far the confidence is from where that would change."""
        return outputs["found"].astype(np.int64), np.abs(outputs["confidence"].astype(np.float64) - self.least)
