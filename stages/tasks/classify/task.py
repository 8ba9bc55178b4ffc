"""Classification: softmax and arg-max inside the graph, cross-entropy, accuracy."""

from collections.abc import Mapping
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

from deploy.bundle import Signature, TensorSpec
from deploy.errors import UsageError
from stages.augment import ImageAugment
from stages.dataset import Array, DataInfo


def classify(
    info: DataInfo,
    *,
    label_smoothing: float = 0.0,
    head_init: Literal["torch", "he_normal"] = "torch",
    rotate_deg: float = 0.0,
    translate: float = 0.0,
    scale: float = 0.0,
    flip: bool = False,
    erase: float = 0.0,
) -> "Classify":
    """One of the labels; `head_init` he_normal draws the last layer from N(0, 2 / features), biases 0.

    `rotate_deg` to `erase` vary images in training, as `stages.augment.ImageAugment` says.
    """
    augment = ImageAugment(rotate_deg, translate, scale, flip, erase)
    if augment and len(info.sample_shape) != 3:
        raise UsageError(f"task classify varies images only, and data {info.name!r} has none; remove {augment}")
    return Classify(info.labels, label_smoothing, head_init, augment)


class Classify:
    """Scores (N, classes) -> probabilities (N, classes) float32 and class_index (N,) int64."""

    primary = "accuracy"

    def __init__(self, labels: tuple[str, ...], label_smoothing: float, head_init: str, augment: ImageAugment) -> None:
        self.labels = labels
        self.label_smoothing = label_smoothing
        self.head_init = head_init
        self.image_augment = augment
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
        """Return softmax and arg-max as a module."""
        return _Decision()

    def augment(
        self, raw: torch.Tensor, targets: torch.Tensor, generator: torch.Generator
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the batch with each image varied in its own way."""
        return (self.image_augment(raw, generator) if self.image_augment else raw), targets

    def loss(self, scores: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Return the mean cross-entropy in nats."""
        return F.cross_entropy(scores, targets, label_smoothing=self.label_smoothing)

    def metrics(self, outputs: Mapping[str, Array], targets: Array) -> dict[str, float]:
        """Return accuracy in [0, 1] and the negative log likelihood in nats."""
        probabilities = outputs["probabilities"].astype(np.float64)
        chosen = np.clip(probabilities[np.arange(len(targets)), targets], 1e-12, 1)
        return {
            "accuracy": float((outputs["class_index"] == targets).mean()),
            "log_loss": float(-np.log(chosen).mean()),
        }

    def decide(self, outputs: Mapping[str, Array]) -> tuple[Array, Array]:
        """Return the class, and the gap between the two largest probabilities."""
        ranked = np.sort(outputs["probabilities"], axis=1)
        return outputs["class_index"], ranked[:, -1] - ranked[:, -2]


class _Decision(nn.Module):
    def forward(self, scores: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return scores.softmax(dim=1), scores.argmax(dim=1)
