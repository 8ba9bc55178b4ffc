"""A memory of how patches of normal pictures look: the distance to the nearest one says how new a place is.

Roth et al., "Towards Total Recall in Industrial Anomaly Detection" (2022): PatchCore. Here features are whitened first,
so that directions in which normal patches hardly differ count as much as those in which they do.
"""

from collections.abc import Iterable, Sequence

import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

from stages.errors import TrainingError
from stages.tasks.anomaly.maps import smoothed

_CANDIDATES = 20_000  # patches of which the memory is chosen
_TINY = 1e-6  # the logarithm's slope at 0 is infinite
_PROJECTED = 16  # numbers of the projection
_SHRINK = 0.1  # of the mean variance, added to each: small ones are of few samples, or of rounding


class Memory(nn.Module):
    """The maps of a pyramid -> distances (N, H, W) to what is remembered; in training, sizes (N, H/s, W/s).

    Sizes of a projection of the features, which training makes small where a picture is as it was, and large where it
    has a made-up defect; s is the stride of the finest map.

    features    channels of all maps together
    vectors     how many patches are remembered: a fixed number, so that the graph has the memory's size before it is
                filled by `fit`
    window      side of the windows that distances are averaged over, in px
    """

    centre: torch.Tensor
    whiten: torch.Tensor
    memory: torch.Tensor

    def __init__(self, features: int, vectors: int, window: int) -> None:
        super().__init__()
        self.window = window
        self.projection = nn.Conv2d(features, _PROJECTED, 1)
        self.register_buffer("centre", torch.zeros(features))
        self.register_buffer("whiten", torch.eye(features))
        self.register_buffer("memory", torch.zeros(vectors, features))

    def forward(self, pyramid: Sequence[torch.Tensor]) -> torch.Tensor:
        """Return distances in standard deviations of the normal patches, in px of the picture; or sizes."""
        features = stacked(pyramid)
        if self.training:
            return (1 + self.projection(features).square().sum(dim=1)).sqrt() - 1  # type: ignore[no-any-return]
        count, _, height, width = features.shape
        rows = (features.permute(0, 2, 3, 1) - self.centre).flatten(0, 2) @ self.whiten  # (N H/s W/s, features)
        distances = to_nearest(rows, self.memory).view(count, 1, height, width)
        return smoothed(F.interpolate(distances, size=pyramid[0].shape[2:], mode="bilinear")[:, 0], self.window)

    @torch.no_grad()
    def fit(self, batches: Iterable[Sequence[torch.Tensor]]) -> None:
        """Remember patches of normal pictures, given as batches of pyramids: those that cover all others best."""
        found = torch.cat([stacked(pyramid).permute(0, 2, 3, 1).flatten(0, 2).cpu() for pyramid in batches]).double()
        if not torch.isfinite(found).all():
            raise TrainingError("features of the training samples are not finite; lower train.lr")
        self.centre.copy_(found.mean(dim=0))
        self.whiten.copy_(whitening(found - found.mean(dim=0)))
        generator = torch.Generator().manual_seed(0)
        chosen = found[torch.randperm(len(found), generator=generator)[:_CANDIDATES]].to(self.centre)
        self.memory.copy_(coreset((chosen - self.centre) @ self.whiten, len(self.memory)))


def compact(sizes: torch.Tensor, share: torch.Tensor) -> torch.Tensor:
    """Return the mean loss of sizes (N, h, w) where `share` of each place is defective, in nats.

    Cross-entropy, where exp(-size) is the probability of a place without defect: Ruff et al., "Rethinking Assumptions
    in Deep Anomaly Detection" (2021), with the pseudo-Huber size and for each place as in Liznerski et al.,
    "Explainable Deep One-Class Classification" (2021).
    """
    return ((1 - share) * sizes - share * torch.log(-torch.expm1(-sizes) + _TINY)).mean()


def stacked(pyramid: Sequence[torch.Tensor]) -> torch.Tensor:
    """Return the maps of a pyramid, but for the picture, as one: (N, features, H/s, W/s), as the finest one is."""
    _, finest, *others = pyramid
    size = finest.shape[2:]
    return torch.cat([finest, *(F.interpolate(other, size=size, mode="bilinear") for other in others)], dim=1)


def to_nearest(rows: torch.Tensor, memory: torch.Tensor) -> torch.Tensor:
    """Return the distance (N,) of each row (N, F) to the nearest one of the memory (V, F).

    |a - b|^2 = |a|^2 - 2ab + |b|^2 tells by one matrix product which is nearest, and |a|^2 is not needed for that. It
    does not tell how near: where a is like b it is a small difference of large numbers, and its root has half their
    digits. So the distance is taken from the difference of the two. Rounding can choose another one only where both are
    about as near; as remembered ones are far from each other (`coreset`), that is far from both.
    """
    nearest = (memory.square().sum(dim=1) - 2 * rows @ memory.T).argmin(dim=1)
    return (rows - memory[nearest]).square().sum(dim=1).sqrt()


def whitening(centred: torch.Tensor) -> torch.Tensor:
    """Return the matrix (F, F) that brings centred rows (N, F) to unit variance in all directions that have much."""
    variances, directions = torch.linalg.eigh(centred.T @ centred / len(centred))
    least = _SHRINK * variances.mean()
    return directions / (variances.clamp_min(0) + least.clamp_min(1e-12)).sqrt()  # type: ignore[no-any-return]


def coreset(rows: torch.Tensor, size: int) -> torch.Tensor:
    """Return `size` of the rows (N, F), chosen one after the other, each the furthest from those chosen before.

    No row is further from the nearest chosen one than twice what the best choice could do (Gonzalez, 1985). Where all
    are chosen already, the first ones come again.
    """
    distances = torch.full((len(rows),), torch.inf, device=rows.device)
    chosen, place = [], 0
    for _ in range(size):
        chosen.append(place)
        distances = torch.minimum(distances, (rows - rows[place]).square().sum(dim=1))
        place = int(distances.argmax())
    return rows[chosen]
