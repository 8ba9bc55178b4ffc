"""From preferences to a list, inside the graph: how often items were taken is added, what was taken is left out."""

from typing import cast

import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

from stages.preferences import Preferences

NOTHING = 0
"""The id at ranks that no item is left for."""


class Prior(nn.Module):
    """Preferences -> (scores (N, C), items (N, L) as they came).

    score = affinity + log(times taken + 1/2) + what is learnt for each item. Of someone of whom nothing is known, all
    affinities are alike, so that the answer is what most people take.
    """

    def __init__(self, counts: tuple[int, ...]) -> None:
        super().__init__()
        self.register_buffer("prior", log_counts(counts), persistent=False)
        self.learnt = nn.Parameter(torch.zeros(len(counts)))

    def forward(self, preferences: Preferences) -> tuple[torch.Tensor, torch.Tensor]:
        """Return scores, and items as they came."""
        affinities, items = preferences
        prior = cast(torch.Tensor, self.prior) + self.learnt
        return affinities + (prior[items[:, -1] - 1] if self.training else prior), items


class Best(nn.Module):
    """(scores (N, items), taken (N, L)) -> ids of the best items (N, k), their scores (N, k), all scores (N, items).

    Items taken before are in no list. Where fewer than k are left, `NOTHING` and the score 0 stand at the end.
    """

    def __init__(self, ids: tuple[int, ...], k: int) -> None:
        super().__init__()
        self.k = k
        self.register_buffer("ids", torch.tensor(ids), persistent=False)

    def forward(self, scores: tuple[torch.Tensor, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return items, scores, all scores."""
        every, taken = scores
        least = torch.finfo(every.dtype).min
        # Place 0 is no item: what is written there is cut off again.
        open_ = F.pad(every, (1, 0)).scatter(1, taken, torch.full_like(taken, least, dtype=every.dtype))[:, 1:]
        best = open_.topk(self.k, dim=1)
        left = best.values > least
        items = torch.where(left, cast(torch.Tensor, self.ids)[best.indices], NOTHING)
        return items, torch.where(left, best.values, 0), every


def log_counts(counts: tuple[int, ...]) -> torch.Tensor:
    """Return log(count + 1/2), float32: the half is for what nobody took yet."""
    return (torch.tensor(counts, dtype=torch.float64) + 0.5).log().float()
