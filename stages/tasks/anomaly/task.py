"""Anomaly detection: trained on normal samples only; score, threshold and score map inside the graph."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

from deploy.bundle import Signature, TensorSpec
from deploy.errors import UsageError
from stages.augment import Augment, fitting
from stages.dataset import Array, DataInfo
from stages.tasks.anomaly import rates
from stages.tasks.anomaly.defects import Defects
from stages.tasks.anomaly.maps import Errors, Threshold
from stages.tasks.anomaly.memory import Memory, compact

Method = Literal["reconstruction", "memory"]

_TAKES = {"reconstruction": "reconstruction", "memory": "pyramid"}


def anomaly(
    info: DataInfo,
    *,
    method: Method = "reconstruction",
    false_alarms: float = 0.05,
    window: int = 1,
    relative: bool = False,
    vectors: int = 512,
    defect_size: float = 0.25,
    flip: bool = False,
    rotate_deg: float = 0.0,
    translate: float = 0.0,
    scale: float = 0.0,
    noise: float = 0.0,
) -> "Anomaly":
    """How unlike the normal samples one is, and where; labels are "normal" and one, or one for each kind, of others.

    method          reconstruction: by what an auto-encoder does not make again; memory: by how far patches of a picture
                    are from those remembered (PatchCore), with features of a net that has learnt to see made-up defects
    false_alarms    share of normal samples that the threshold may let through as anomalies, in (0, 1)
    window          side of the windows that scores are averaged over, odd, in px of the network's input (or places of a
                    series); the largest average is the sample's score
    relative        reconstruction: errors are divided by the root mean square of the input, where 0 is nothing
    vectors         memory: how many patches it holds
    defect_size     memory: largest half axis of made-up defects, as a part of the shorter side
    flip to noise   vary pictures as `stages.augment.ImageAugment` says, series as `SeriesAugment` does

    Validation has normal samples only as a rule, and the memory is filled after training: with it, set train.select to
    "last".
    """
    if not 0 < false_alarms < 1:
        raise UsageError(f"task option 'false_alarms' is {false_alarms:g}, expected between 0 and 1")
    if window < 1 or window % 2 == 0:
        raise UsageError(f"task option 'window' is {window}, expected an odd number: 1 (no averages), 3, 5, ...")
    if vectors < 1 or not 0 < defect_size <= 1:
        raise UsageError(
            f"task options vectors={vectors}, defect_size={defect_size:g}: expected 1 or more, and in (0, 1]"
        )
    if len(info.labels) < 2:
        raise UsageError(
            f"task anomaly: data {info.name!r} has labels {info.labels}, expected that of normal samples, and of others"
        )
    views = fitting(
        info, {"flip": flip, "rotate_deg": rotate_deg, "translate": translate, "scale": scale, "noise": noise}
    )
    return Anomaly(
        info.labels, _axes(info, method), method, false_alarms, window, relative, vectors, defect_size, views
    )


def _axes(info: DataInfo, method: Method) -> tuple[str, ...]:
    """Return the names of the axes of a score map."""
    shape = info.sample_shape
    if len(shape) == 3 and isinstance(shape[2], int):
        return ("height", "width")
    if len(shape) == 2 and method == "reconstruction":
        return ("length",)
    expected = "pictures (height, width, channels)" + (" or series" if method == "reconstruction" else "")
    raise UsageError(f"task anomaly: data {info.name!r} has samples {shape}, expected {expected} for method {method}")


@dataclass
class Anomaly:
    """Features -> score (N,) float32, is_anomaly (N,) int64 and score_map (N, *sides) float32."""

    labels: tuple[str, ...]
    axes: tuple[str, ...]
    method: Method
    false_alarms: float
    window: int
    relative: bool
    vectors: int
    defect_size: float
    views: Augment | None

    primary = "typicality"
    decides_by = "score"

    def __post_init__(self) -> None:
        self.takes = _TAKES[self.method]
        self.names_targets = len(self.labels) == 2  # else targets say which kind of anomaly, and where
        self.defects = Defects(size=self.defect_size)
        self.output = self._signature(self.axes)

    def _signature(self, sides: tuple[int | str, ...]) -> Signature:
        return Signature(
            "anomaly",
            (
                TensorSpec("score", "float32", ("batch",), unit="thresholds"),
                TensorSpec("is_anomaly", "int64", ("batch",), (0.0, 1.0), "1: an anomaly"),
                TensorSpec("score_map", "float32", ("batch", *sides), unit="thresholds"),
            ),
            self.labels,
        )

    def head_for(self, net: nn.Module) -> nn.Module:
        """Return what makes score maps of the net's features; they are as large as its input, so is the output then."""
        self.output = self._signature(tuple(net.shape[1:]))  # type: ignore[index]
        maps = len(net.strides) - 1 if self.method == "memory" else 1  # type: ignore[arg-type]
        return self.head(int(net.out_features) * maps)  # type: ignore[arg-type]

    def head(self, features: int) -> nn.Module:
        """Return what makes score maps of features; of a pyramid, all maps together have so many."""
        if self.method == "memory":
            return Memory(features, self.vectors, self.window)
        return Errors(self.window, relative=self.relative)

    def postprocess(self) -> nn.Module:
        """Return what brings scores to units of the threshold, and decides."""
        return Threshold(self.false_alarms)

    def augment(
        self, raw: torch.Tensor, targets: torch.Tensor, generator: torch.Generator
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the batch with each sample varied in its own way; for a memory with defects, targets say where."""
        if self.views:
            raw = self.views(raw, generator)
        return self.defects(raw, generator) if self.method == "memory" else (raw, targets)

    def loss(self, scores: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Return the mean squared error; for a memory what `compact` says of places that are defective in part."""
        if self.method == "reconstruction":
            return scores.mean()
        defective = (targets > 0).to(scores.dtype)
        if defective.dim() == 1:  # a batch that `augment` has not seen
            defective = defective[:, None, None].expand_as(scores)
        share = F.adaptive_avg_pool2d(defective[:, None], (scores.shape[1], scores.shape[2]))[:, 0]
        return compact(scores, share)

    def metrics(self, outputs: Mapping[str, Array], targets: Array) -> dict[str, float]:
        """Return what `rates.figures` says of a split."""
        return rates.figures(outputs, targets, self.labels)

    def decide(self, outputs: Mapping[str, Array]) -> tuple[Array, Array]:
        """Return the side of the threshold, 1 for anomalies, and how far from it the score is, in thresholds."""
        return outputs["is_anomaly"], np.abs(outputs["score"] - 1)
