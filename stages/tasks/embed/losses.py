"""What pulls vectors of one class together, and classes apart."""

import math

import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

_EDGE = 1e-6  # arccos has no slope at 1 and -1


class Centres(nn.Module):
    """Vectors (N, size) -> their cosines (N, classes) with one learnt centre a class, which only training needs."""

    def __init__(self, classes: int, size: int) -> None:
        super().__init__()
        self.centres = nn.Parameter(F.normalize(torch.randn(classes, size)))

    def forward(self, vectors: torch.Tensor) -> torch.Tensor:
        """Return cosines in [-1, 1], in float32 whatever precision the network is trained in."""
        with torch.autocast(vectors.device.type, enabled=False):
            return F.normalize(vectors.float()) @ F.normalize(self.centres).T


def arcface(cosines: torch.Tensor, targets: torch.Tensor, margin: float, sharpness: float) -> torch.Tensor:
    """Return the mean loss of cosines (N, classes) with class centres.

    Deng et al., "ArcFace: Additive Angular Margin Loss for Deep Face Recognition" (2019), equation 3: cross-entropy of
    `sharpness` times the cosines, where the angle to the own centre is made `margin` radians larger first.
    """
    own = F.one_hot(targets, cosines.shape[1]).bool()
    angles = cosines.clamp(-1 + _EDGE, 1 - _EDGE).acos()
    return F.cross_entropy(sharpness * torch.where(own, (angles + margin).clamp_max(math.pi).cos(), cosines), targets)


def triplet(vectors: torch.Tensor, targets: torch.Tensor, margin: float) -> torch.Tensor:
    """Return the mean loss of vectors (N, size), each with the hardest two others of its batch.

    Hermans et al., "In Defense of the Triplet Loss for Person Re-Identification" (2017), equation 5: the distance to
    the furthest of the same class should be `margin` below that to the nearest of another. Rows without either in the
    batch have no loss.
    """
    distances = torch.cdist(vectors, vectors, compute_mode="donot_use_mm_for_euclid_dist")
    same = targets[:, None] == targets
    itself = torch.eye(len(vectors), dtype=torch.bool, device=vectors.device)
    furthest = distances.masked_fill(~same | itself, 0).amax(dim=1)
    nearest = distances.masked_fill(same, math.inf).amin(dim=1)
    counts = (same & ~itself).any(dim=1) & ~same.all(dim=1)
    losses = torch.where(counts, (margin + furthest - nearest).clamp_min(0), 0)
    return losses.sum() / counts.sum().clamp_min(1)
