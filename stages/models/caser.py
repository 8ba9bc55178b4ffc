"""Recommendation by convolution over what was taken last.

Tang and Wang, "Personalized top-N sequential recommendation via convolutional sequence embedding" (2018), figure 3.
"""

import torch
from torch import nn

from deploy.errors import UsageError
from stages.preferences import PREFERENCES, Preferences, last, place_vectors, taken_apart
from stages.shapes import History


def caser(
    shape: History,
    *,
    length: int = 5,
    size: int = 32,
    horizontal: int = 16,
    vertical: int = 4,
    dropout: float = 0.5,
    deviation: float = 0.05,
) -> "Caser":
    """Caser: the last `length` items as a picture (length, size), with filters over items and over numbers.

    horizontal    filters of each height from 1 to `length`, over the whole width; each says its largest answer
    vertical      filters over the whole height, one number wide
    """
    if min(length, size, horizontal, vertical) < 1:
        raise UsageError("caser: expected length, size, horizontal and vertical of 1 or more; set model.<name>")
    return Caser(shape[1], shape[2], length, size, horizontal, vertical, dropout, deviation)


class Caser(nn.Module):
    """int64 places (N, 1 + L) -> preferences."""

    gives = PREFERENCES

    def __init__(
        self,
        users: int,
        items: int,
        length: int,
        size: int,
        horizontal: int,
        vertical: int,
        dropout: float,
        deviation: float,
    ) -> None:
        super().__init__()
        self.count, self.length = items, length
        self.users = place_vectors(users, size, deviation)
        self.before = place_vectors(items, size, deviation)
        self.after = place_vectors(items, 2 * size, deviation)
        self.horizontal = nn.ModuleList(nn.Conv2d(1, horizontal, (height, size)) for height in range(1, length + 1))
        self.vertical = nn.Conv2d(1, vertical, (length, 1))
        self.dropout = nn.Dropout(dropout)
        self.joined = nn.Linear(horizontal * length + vertical * size, size)

    def forward(self, history: torch.Tensor) -> Preferences:
        """Return preferences."""
        asked = taken_apart(history, self.count, training=self.training)
        picture = self.before(last(asked.taken, self.length)).unsqueeze(1)  # (N, 1, length, size)
        across = [torch.relu(layer(picture)).amax(dim=(2, 3)) for layer in self.horizontal]  # each (N, horizontal)
        down = self.vertical(picture).flatten(1)  # (N, vertical x size)
        lately = torch.relu(self.joined(self.dropout(torch.cat([down, *across], dim=1))))  # (N, size)
        wants = torch.cat([lately, self.users(asked.user)], dim=1)  # (N, 2 size)
        return wants @ self.after(asked.items).T, history[:, 1:]
