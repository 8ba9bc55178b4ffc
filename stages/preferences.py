"""What recommenders share: how a history comes apart, and the form of what they give."""

from dataclasses import dataclass

import torch
from torch import nn

PREFERENCES = "preferences"
"""Features of recommenders: (affinities (N, C), items (N, L)).

Affinities are larger for what is liked better; in evaluation to all items, in order. In training the last place of a
history is the item that came next, and affinities are to those of the whole batch, C = N. Items are the places as they
came, 0 for none.
"""

Preferences = tuple[torch.Tensor, torch.Tensor]


@dataclass(frozen=True)
class Asked:
    """A batch of histories, taken apart: user (N,), taken (N, L), and the items that are asked for (C,); all places."""

    user: torch.Tensor
    taken: torch.Tensor
    items: torch.Tensor


def taken_apart(history: torch.Tensor, items: int, *, training: bool) -> Asked:
    """Return the parts of preprocessed histories, int64 (N, 1 + L), or in training (N, 1 + L + 1)."""
    user, taken = history[:, 0], history[:, 1:]
    if training:
        return Asked(user, taken[:, :-1], taken[:, -1])
    return Asked(user, taken, torch.arange(1, items + 1, device=history.device))


def last(taken: torch.Tensor, count: int) -> torch.Tensor:
    """Return the last `count` places (N, count) of (N, L), 0 in front where there are fewer."""
    return torch.cat([torch.zeros_like(taken[:, :1]).expand(-1, count), taken], dim=1)[:, -count:]


def place_vectors(places: int, size: int, deviation: float) -> nn.Embedding:
    """Return a vector for each place from 1 on, drawn from N(0, deviation^2); that of place 0 is and stays 0."""
    table = nn.Embedding(places + 1, size, padding_idx=0)
    nn.init.normal_(table.weight, std=deviation)
    nn.init.zeros_(table.weight[0])
    return table
