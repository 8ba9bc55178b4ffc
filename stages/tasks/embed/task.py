"""Embedding: unit vectors inside the graph, ArcFace or triplet loss, how often the nearest other is of one's class."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import nn

from deploy.bundle import Signature, TensorSpec
from deploy.errors import UsageError
from stages.augment import Augment, fitting
from stages.dataset import Array, DataInfo
from stages.tasks.embed import losses, retrieval
from stages.tasks.embed.losses import Centres
from stages.tasks.embed.turned import VIEWS, require_square
from stages.tasks.embed.turned import turned as turn
from stages.tasks.embed.vectors import head

Loss = Literal["arcface", "triplet"]


def embed(
    info: DataInfo,
    *,
    size: int = 64,
    project: bool = True,
    unit: bool = True,
    takes: Literal["vector", "map", "pyramid", "residual"] = "vector",
    loss: Loss = "arcface",
    margin: float = 0.1,
    sharpness: float = 8.0,
    turned: bool = False,
    crop: float = 0.0,
    scale: float = 0.0,
    erase: float = 0.0,
    rotate_deg: float = 0.0,
    translate: float = 0.0,
    flip: bool = False,
    noise: float = 0.0,
    magnitude: float = 0.0,
    warp: float = 0.0,
    trained_by: str = "",
) -> "Embed":
    """A vector, near for samples of one class, also of classes that training has not seen.

    size             of the vector
    project          off: the network's features as they are, of which there must be `size`
    unit             vectors of length 1; off only for features as they are
    takes            form of the features; others than vectors are averaged over all places, see `vectors.Average`
    loss             arcface: against one learnt centre a class; triplet: against the hardest others of the batch, which
                     should hold several samples of each class
    margin           arcface: an angle in radians; triplet: a distance, of at most 2. Large margins make classes narrow,
                     and leave less to tell unseen ones by
    sharpness        of arcface: how much a cosine counts; larger for more classes
    turned           square pictures, turned by quarters and mirrored, are classes of their own: for few classes
    crop to warp     vary pictures as `stages.augment.ImageAugment` says, series as `SeriesAugment` does
    trained_by       SHA-256 of the weights whose features these are: `pipeline embed` sets it, nobody trains them
    """
    if size < 1 or margin < 0 or sharpness <= 0:
        raise UsageError(
            f"task options size={size}, margin={margin:g}, sharpness={sharpness:g}: expected 1 or more, 0 or more, "
            "above 0"
        )
    if project and not unit:
        raise UsageError("task options project=true, unit=false: only features as they are may have any length")
    if turned:
        require_square(info)
    views = {
        "crop": crop, "scale": scale, "erase": erase, "rotate_deg": rotate_deg, "translate": translate, "flip": flip,
        "noise": noise, "magnitude": magnitude, "warp": warp,
    }  # fmt: skip
    return Embed(info, size, project, unit, takes, loss, margin, sharpness, turned, fitting(info, views), trained_by)


@dataclass(frozen=True)
class Embed:
    """Scores are the vectors, and so is the answer: `embedding` (N, size) float32."""

    info: DataInfo
    size: int
    project: bool
    unit: bool
    takes: str
    loss_name: Loss
    margin: float
    sharpness: float
    turned: bool
    views: Augment | None
    trained_by: str

    primary = "recall_at_1"
    rows_relate = True

    @property
    def output(self) -> Signature:
        """The tensor that the graph answers."""
        bounds = (-1.0, 1.0) if self.unit else None
        return Signature("embedding", (TensorSpec("embedding", "float32", ("batch", self.size), bounds),))

    def head(self, features: int) -> nn.Module:
        """Return the layers from features to vectors."""
        if not self.project and features != self.size and self.takes in ("vector", "map"):  # others have several maps
            raise UsageError(f"task.size is {self.size}, the model gives {features} features; set task.size={features}")
        return head(features, self.size, average=self.takes != "vector", project=self.project, unit=self.unit)

    def postprocess(self) -> nn.Module:
        """Return the module that answers the vectors as they are."""
        return Answer()

    def only_training(self) -> nn.Module:
        """Return what turns vectors into what `loss` takes: for ArcFace, cosines with learnt centres of the classes.

        Raises `UsageError` for data with fewer than two classes to train on, and for features of another network.
        """
        if self.trained_by:
            raise UsageError("features of a trained network are not trained again; take them: pipeline embed RUN")
        counts = self.info.counts or (1,) * len(self.info.labels)
        known = np.flatnonzero(counts)
        if len(known) < 2:
            raise UsageError(
                f"data {self.info.name!r} has {len(known)} classes to train on, embed learns from what tells classes "
                "apart and needs two; for vectors without classes take another run's: pipeline embed RUN"
            )
        if self.loss_name == "triplet":
            return nn.Identity()
        return Centres((int(known[-1]) + 1) * (VIEWS if self.turned else 1), self.size)

    def augment(
        self, raw: torch.Tensor, targets: torch.Tensor, generator: torch.Generator
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the batch with each sample varied in its own way; where they are turned, with the classes of that."""
        varied = self.views(raw, generator) if self.views else raw
        return turn(varied, targets, generator) if self.turned else (varied, targets)

    def loss(self, scores: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Return the mean loss of what `only_training` gives: cosines (N, classes), or vectors (N, size)."""
        if self.loss_name == "triplet":
            return losses.triplet(scores, targets, self.margin)
        return losses.arcface(scores, targets, self.margin, self.sharpness)

    def metrics(self, outputs: Mapping[str, Array], targets: Array) -> dict[str, float]:
        """Return how often one of its class is among a row's nearest 1 and 5 others of the split, by cosine.

        Where targets are no classes (features of a network that was trained for something else), in how many
        directions the vectors are spread.
        """
        vectors = outputs["embedding"]
        if targets.ndim == 1 and targets.dtype.kind in "iu":
            return retrieval.recall(vectors, targets)
        return {"directions": retrieval.directions(vectors)}

    def decide(self, outputs: Mapping[str, Array]) -> tuple[Array, Array]:
        """Return each row's nearest other of the batch, and the margin in cosine."""
        return retrieval.decide(outputs["embedding"])


class Answer(nn.Module):
    """Scores -> the outputs, which are these."""

    def forward(self, scores: torch.Tensor) -> tuple[torch.Tensor]:
        """Return the vectors."""
        return (scores,)
