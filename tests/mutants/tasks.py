"""Decisions that are not classes: masks, and boxes that survive non-maximum suppression."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn
from torchvision.ops import box_iou, nms

from deploy.bundle import Signature, TensorSpec

Array = np.ndarray[Any, Any]
HEIGHT, WIDTH = 20, 16
SCORE, OVERLAP = 0.4, 0.3
CELLS, KINDS = 20, 2


class _Evaluated:
    """What `Task` asks for and evaluation never uses."""

    primary = "none"

    def augment(self, raw: torch.Tensor, targets: torch.Tensor, _: torch.Generator) -> Any:
        return raw, targets

    def metrics(self, outputs: Mapping[str, Array], targets: Array) -> dict[str, float]:
        return {}


class Masks(_Evaluated):
    """Scores (N, 1, H/2, W/2) -> probability (N, H, W) and mask (N, H, W) of 0 and 1."""

    output = Signature(
        "mask",
        (
            TensorSpec("probability", "float32", ("batch", HEIGHT, WIDTH), (0.0, 1.0), "probability"),
            TensorSpec("mask", "int64", ("batch", HEIGHT, WIDTH), (0.0, 1.0), "0 or 1"),
        ),
    )

    def head(self, features: int) -> nn.Module:
        return nn.Conv2d(features, 1, 1)

    def postprocess(self) -> nn.Module:
        return _Upsampled()

    def loss(self, scores: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Class 0 and 1 lie at the top, 2 and 3 at the bottom."""
        top = (targets < 2).view(-1, 1, 1, 1)
        rows = torch.arange(scores.shape[2]).view(1, 1, -1, 1)
        wanted = torch.where(top, rows < scores.shape[2] // 2, rows >= scores.shape[2] // 2)
        return F.binary_cross_entropy_with_logits(scores, wanted.to(scores.dtype).expand_as(scores))

    def decide(self, outputs: Mapping[str, Array]) -> tuple[Array, Array]:
        margins = np.abs(outputs["probability"] - 0.5).reshape(len(outputs["mask"]), -1)
        return coded(outputs["mask"]), margins.min(axis=1)


class _Upsampled(nn.Module):
    def forward(self, scores: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        probability = torch.sigmoid(F.interpolate(scores, (HEIGHT, WIDTH), mode="bilinear")[:, 0])
        return probability, (probability > 0.5).long()


class Boxes(_Evaluated):
    """Scores (N, 6, 5, 4) -> boxes (N, 20, 4) xyxy in [0, 1], scores (N, 2, 20), kept (N, 2, 20) of 0 and 1."""

    raw = (
        TensorSpec("boxes", "float32", ("batch", CELLS, 4), None, "share of the picture"),
        TensorSpec("scores", "float32", ("batch", KINDS, CELLS), (0.0, 1.0), "probability"),
    )
    kept = TensorSpec("kept", "int64", ("batch", KINDS, CELLS), (0.0, 1.0), "0 or 1")

    def __init__(self, suppress: bool) -> None:
        self.suppress = suppress
        self.output = Signature("boxes", (*self.raw, self.kept) if suppress else self.raw)

    def head(self, features: int) -> nn.Module:
        return nn.Conv2d(features, 4 + KINDS, 1)

    def postprocess(self) -> nn.Module:
        return _Decoded(self.suppress)

    def loss(self, scores: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """The kind is the colour; it is in the upper or in the lower cells; sides are drawn to half the picture."""
        top = (targets < 2).view(-1, 1, 1)
        rows = torch.arange(5).view(1, 5, 1)
        inside = torch.where(top, rows < 2, rows > 2).expand(-1, 5, 4)
        kinds = [(inside & ((targets % 2) == kind).view(-1, 1, 1)) for kind in range(KINDS)]
        wanted = torch.stack(kinds, dim=1).to(scores.dtype)
        return F.binary_cross_entropy_with_logits(scores[:, 4:], wanted) + 0.1 * scores[:, :4].square().mean()

    def decide(self, outputs: Mapping[str, Array]) -> tuple[Array, Array]:
        scores, rows = outputs["scores"], len(outputs["kept"])
        by_score = np.abs(scores - SCORE).reshape(rows, -1).min(axis=1)
        overlaps = np.array([box_iou(*[torch.from_numpy(boxes)] * 2).numpy() for boxes in outputs["boxes"]])
        by_overlap = np.abs(overlaps - OVERLAP).reshape(rows, -1).min(axis=1)
        ranked = np.abs(scores[:, :, :, None] - scores[:, :, None, :]) + np.eye(CELLS)  # which of two boxes is surer
        by_rank = np.where(overlaps[:, None] > OVERLAP, ranked, 1).reshape(rows, -1).min(axis=1)
        return coded(outputs["kept"]), np.minimum.reduce([by_score, by_overlap, by_rank])


class _Decoded(nn.Module):
    def __init__(self, suppress: bool) -> None:
        super().__init__()
        self.suppress = suppress
        y, x = torch.meshgrid(torch.arange(5), torch.arange(4), indexing="ij")
        centres = torch.stack([(x + 0.5) / 4, (y + 0.5) / 5], dim=-1).reshape(1, CELLS, 2)
        self.register_buffer("centres", centres, persistent=False)

    def forward(self, scores: torch.Tensor) -> tuple[torch.Tensor, ...]:
        flat = scores.flatten(2)  # (N, 6, 20)
        moved = self.centres + 0.1 * torch.tanh(flat[:, :2]).transpose(1, 2)  # type: ignore[operator]
        halves = 0.4 * torch.sigmoid(flat[:, 2:4]).transpose(1, 2)
        boxes = torch.cat([moved - halves, moved + halves], dim=2)
        probability = torch.sigmoid(flat[:, 4:])
        if not self.suppress:
            return boxes, probability
        return boxes, probability, self._kept(boxes, probability)

    def _kept(self, boxes: torch.Tensor, probability: torch.Tensor) -> torch.Tensor:
        kept = torch.zeros_like(probability, dtype=torch.int64)
        for row in range(len(boxes)):
            for kind in range(KINDS):
                above = torch.nonzero(probability[row, kind] > SCORE)[:, 0]
                chosen = nms(boxes[row, above], probability[row, kind, above], OVERLAP)
                kept[row, kind, above[chosen]] = 1
        return kept


def coded(decisions: Array) -> Array:
    """Return one value a row that is equal only where all its decisions are."""
    rows = np.ascontiguousarray(decisions.reshape(len(decisions), -1))
    return np.array([row.tobytes() for row in rows], dtype=object)
