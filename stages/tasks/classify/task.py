"""Classification: softmax and arg-max inside the graph, cross-entropy, accuracy and calibration."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

from deploy.bundle import Signature, TensorSpec
from deploy.errors import UsageError
from stages.augment import Augment, Mix, fitting
from stages.dataset import Array, DataInfo
from stages.report.reliability import reliability
from stages.tasks.classify.calibration import Decision


def classify(
    info: DataInfo,
    *,
    label_smoothing: float = 0.0,
    head_init: Literal["torch", "he_normal"] = "torch",
    class_weights: Literal["none", "balanced"] = "none",
    calibrate: bool = True,
    mixup: float = 0.0,
    cutmix: float = 0.0,
    crop: float = 0.0,
    scale: float = 0.0,
    erase: float = 0.0,
    rotate_deg: float = 0.0,
    translate: float = 0.0,
    flip: bool = False,
    randaugment: int = 0,
    strength: float = 0.5,
    noise: float = 0.0,
    magnitude: float = 0.0,
    warp: float = 0.0,
) -> "Classify":
    """One of the labels, with probabilities.

    label_smoothing    share of each target that is spread over all classes, in [0, 1)
    head_init          he_normal draws the last layer from N(0, 2 / features), biases 0
    class_weights      balanced: rows count inversely to how often their class is trained on, 1 on average, and the best
                       epoch is chosen by balanced accuracy
    calibrate          fit a temperature on validation data after training (none: it stays 1), inside the graph
    mixup, cutmix      as `stages.augment.Mix` says
    crop to warp       vary pictures as `stages.augment.ImageAugment` says, series as `SeriesAugment` does
    """
    if not 0 <= label_smoothing < 1:
        raise UsageError(f"task option 'label_smoothing' is {label_smoothing:g}, expected in [0, 1)")
    views = {
        "crop": crop, "scale": scale, "erase": erase, "rotate_deg": rotate_deg, "translate": translate, "flip": flip,
        "randaugment": randaugment, "strength": strength if randaugment else 0.0,
        "noise": noise, "magnitude": magnitude, "warp": warp,
    }  # fmt: skip
    mix = Mix(mixup, cutmix)
    mix.require_fit(info)
    weights = _balanced(info) if class_weights == "balanced" else None
    return Classify(info.labels, label_smoothing, head_init, weights, calibrate, fitting(info, views), mix)


@dataclass
class Classify:
    """Scores (N, classes) -> probabilities (N, classes) float32 and class_index (N,) int64."""

    names_targets = True

    labels: tuple[str, ...]
    label_smoothing: float
    head_init: str
    weights: torch.Tensor | None
    calibrate: bool
    views: Augment | None
    mix: Mix

    def __post_init__(self) -> None:
        self.primary = "accuracy" if self.weights is None else "balanced_accuracy"
        labels = self.labels
        self.output = Signature(
            "classes",
            (
                TensorSpec("probabilities", "float32", ("batch", len(labels)), (0.0, 1.0), "probability"),
                TensorSpec("class_index", "int64", ("batch",), (0.0, len(labels) - 1.0), "index into labels"),
            ),
            labels,
        )

    def head(self, features: int) -> nn.Module:
        """Return the last linear layer."""
        layer = nn.Linear(features, len(self.labels))
        if self.head_init == "he_normal":
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            nn.init.zeros_(layer.bias)
        return layer

    def postprocess(self) -> nn.Module:
        """Return softmax and arg-max as a module; with a temperature, unless it is never fitted."""
        return Decision() if self.calibrate else _Plain()

    def augment(
        self, raw: torch.Tensor, targets: torch.Tensor, generator: torch.Generator
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the batch with each sample varied in its own way; targets of mixed ones are shares (N, classes)."""
        if self.views:
            raw = self.views(raw, generator)
        return self.mix(raw, targets, len(self.labels), generator) if self.mix else (raw, targets)

    def loss(self, scores: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Return the mean cross-entropy in nats, each row weighted by its class where that is asked for."""
        if self.weights is None:
            return F.cross_entropy(scores, targets, label_smoothing=self.label_smoothing)
        if self.weights.device != scores.device:
            self.weights = self.weights.to(scores.device)
        # Torch's own mean would divide by the weights that happen to be in the batch.
        return F.cross_entropy(
            scores, targets, self.weights, label_smoothing=self.label_smoothing, reduction="none"
        ).mean()

    def metrics(self, outputs: Mapping[str, Array], targets: Array) -> dict[str, float]:
        """Return figures in [0, 1] and the negative log likelihood in nats.

        Means over classes leave out those without a row: accuracy by class (balanced accuracy), F1 (macro F1).
        """
        probabilities = outputs["probabilities"].astype(np.float64)
        chosen = np.clip(probabilities[np.arange(len(targets)), targets], 1e-12, 1)
        classes = len(self.labels)
        actual, decided, right = (
            np.bincount(rows, minlength=classes)
            for rows in (targets, outputs["class_index"], targets[outputs["class_index"] == targets])
        )
        there, seen = actual > 0, actual + decided > 0
        return {
            "accuracy": float(right.sum() / len(targets)),
            "balanced_accuracy": float((right[there] / actual[there]).mean()),
            "macro_f1": float((2 * right[seen] / (actual + decided)[seen]).mean()),
            "log_loss": float(-np.log(chosen).mean()),
            "ece": reliability(probabilities.max(axis=1), outputs["class_index"] == targets).ece,
        }

    def decide(self, outputs: Mapping[str, Array]) -> tuple[Array, Array]:
        """Return the class, and the gap between the two largest probabilities."""
        ranked = np.sort(outputs["probabilities"], axis=1)
        return outputs["class_index"], ranked[:, -1] - ranked[:, -2]


class _Plain(nn.Module):
    def forward(self, scores: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return scores.softmax(dim=1), scores.argmax(dim=1)


def _balanced(info: DataInfo) -> torch.Tensor:
    """Return a weight for each class, rows / (classes * rows of the class): 1 on average over the training rows."""
    if not info.counts or min(info.counts) == 0:
        raise UsageError(
            f"task option 'class_weights' is 'balanced', and data {info.name!r} has training rows by class "
            f"{info.counts}, expected 1 or more for each of {len(info.labels)}; set task.class_weights to none"
        )
    counts = torch.tensor(info.counts, dtype=torch.float64)
    return (counts.sum() / (len(counts) * counts)).float()
