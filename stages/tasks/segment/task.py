"""Segmentation: soft-max and arg-max at every place inside the graph, cross-entropy with soft Dice, overlap."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

from deploy.bundle import Signature, TensorSpec
from deploy.errors import UsageError
from stages.augment.grid import GridAugment
from stages.dataset import UNKNOWN, Array, DataInfo
from stages.tasks.segment import overlap


def segment(
    info: DataInfo,
    *,
    dice: float = 1.0,
    class_weights: tuple[float, ...] = (),
    background: int = 0,
    flip: bool = False,
    turn: bool = False,
    shift: float = 0.0,
    brightness: float = 0.0,
    contrast: float = 0.0,
) -> "Segment":
    """One of the labels for every pixel or voxel, with probabilities; best with an input that leaves the size at 0 x 0.

    dice              weight of the soft Dice loss beside cross-entropy; 0: cross-entropy alone
    class_weights     weight of each class in the cross-entropy, 1 for all where none are given
    background        the class that means "nothing": no part of mean figures, not drawn; -1: all classes count
    flip to contrast  vary pictures and masks alike, as `stages.augment.grid.GridAugment` says
    """
    classes = len(info.labels)
    if not 2 <= classes <= UNKNOWN:
        raise UsageError(f"task segment: data {info.name!r} has {classes} classes, expected 2 to {UNKNOWN}")
    if class_weights and (len(class_weights) != classes or min(class_weights) < 0 or not sum(class_weights)):
        raise UsageError(
            f"task option 'class_weights' is {class_weights}, expected {classes} numbers of 0 or more; "
            "set task.class_weights"
        )
    if dice < 0 or not -1 <= background < classes:
        raise UsageError(
            f"task options dice={dice:g}, background={background}: expected 0 or more, and -1 to {classes - 1}"
        )
    views = GridAugment(flip, turn, shift, brightness, contrast)
    return Segment(info.labels, _axes(info), dice, torch.tensor(class_weights or (1.0,) * classes), background, views)


def _axes(info: DataInfo) -> tuple[str, ...]:
    """Return the names of the axes of a mask: pictures have a number of channels behind theirs."""
    shape = info.sample_shape
    if len(shape) == 3 and isinstance(shape[2], int):
        return ("height", "width")
    if len(shape) in (3, 4):
        return ("depth", "height", "width")
    raise UsageError(
        f"task segment: data {info.name!r} has samples {shape}, expected pictures (height, width, channels) or volumes"
    )


@dataclass
class Segment:
    """Scores (N, classes, *sides) -> probabilities (N, classes, *sides) float32 and class_index (N, *sides) uint8."""

    labels: tuple[str, ...]
    axes: tuple[str, ...]
    dice: float
    weights: torch.Tensor
    background: int
    views: GridAugment

    primary = "dice"
    takes = "map"
    decides_by = "probabilities"

    def __post_init__(self) -> None:
        self.output = self._signature(self.axes)

    def _signature(self, sides: tuple[int | str, ...]) -> Signature:
        classes = len(self.labels)
        return Signature(
            "mask",
            (
                TensorSpec("probabilities", "float32", ("batch", classes, *sides), (0.0, 1.0), "probability"),
                TensorSpec("class_index", "uint8", ("batch", *sides), (0.0, classes - 1.0), "index into labels"),
            ),
            self.labels,
            {"background": self.background},
        )

    def head_for(self, net: nn.Module) -> nn.Module:
        """Return the last convolution; masks are as large as the net's input, so a fixed size is one of the outputs."""
        self.output = self._signature(tuple(getattr(net, "shape", ("", *self.axes))[1:]))
        return self.head(int(net.out_features))  # type: ignore[arg-type]

    def head(self, features: int) -> nn.Module:
        """Return the last convolution, 1x1 or 1x1x1."""
        return (nn.Conv2d if len(self.axes) == 2 else nn.Conv3d)(features, len(self.labels), 1)

    def postprocess(self) -> nn.Module:
        """Return soft-max and arg-max over the classes of every place."""
        return Decision()

    def augment(
        self, raw: torch.Tensor, targets: torch.Tensor, generator: torch.Generator
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return samples and masks, each pair varied in its own way."""
        return self.views(raw, targets, generator)

    def loss(self, scores: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Return mean cross-entropy in nats over all places that are known, plus `dice` times (1 - soft Dice).

        Soft Dice as in Milletari et al., "V-Net" (2016), without squares, over the batch at once, so that a sample
        without an object weighs no more than its places do; the mean over the classes that are no background.
        """
        if scores.shape[2:] != targets.shape[1:]:
            raise UsageError(
                f"task segment: scores are {tuple(scores.shape[2:])}, masks {tuple(targets.shape[1:])}; let the input "
                "leave the size: set input.height=0 and input.width=0 (volumes: input.depth=0 too)"
            )
        classes = scores.shape[1]
        # As rows: torch's loss for maps adds up in no fixed order on CUDA.
        rows, known = scores.movedim(1, -1).reshape(-1, classes), (targets != UNKNOWN).reshape(-1)
        truth = targets.reshape(-1).long().masked_fill(~known, 0)
        weights = self.weights.to(rows.device)[truth] * known
        entropy = F.cross_entropy(rows, truth, reduction="none")
        loss = (entropy * weights).sum() / weights.sum().clamp_min(1e-6)
        if not self.dice:
            return loss
        probabilities = rows.softmax(dim=1) * known[:, None]
        actual = F.one_hot(truth, classes) * known[:, None]
        both, either = (probabilities * actual).sum(dim=0), probabilities.sum(dim=0) + actual.sum(dim=0)
        soft = (2 * both + 1) / (either + 1)
        counted = [index for index in range(classes) if index != self.background]
        return loss + self.dice * (1 - soft[counted].mean())

    def metrics(self, outputs: Mapping[str, Array], targets: Array) -> dict[str, float]:
        """Return Dice and IoU, means over classes that are no background, Dice of each, and the share of right places.

        All are over the places of the whole split at once.
        """
        counts = overlap.matrix(targets, outputs["class_index"], len(self.labels))
        return overlap.figures(counts, self.labels, self.background)

    def decide(self, outputs: Mapping[str, Array]) -> tuple[Array, Array]:
        """Return the class of every place (N, *sides), and the gap between its two largest probabilities."""
        probabilities = outputs["probabilities"]
        ranked = np.partition(probabilities, len(self.labels) - 2, axis=1)
        return outputs["class_index"], ranked[:, -1] - ranked[:, -2]


class Decision(nn.Module):
    """Soft-max, and the first of the largest probabilities, over axis 1."""

    def forward(self, scores: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return probabilities, and class indices as uint8."""
        probabilities = scores.softmax(dim=1)
        return probabilities, probabilities.argmax(dim=1).to(torch.uint8)
