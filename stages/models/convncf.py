"""Recommendation by convolution over the outer product of two vectors.

He et al., "Outer product-based neural collaborative filtering" (2018), figure 2; what was taken before is part of the
user's vector as in Du et al., "Modeling embedding dimension correlations via convolutional neural collaborative
filtering" (2019), section 4.3 (ConvNCF-SVD++).
"""

import torch
from torch import nn

from deploy.errors import UsageError
from stages.preferences import PREFERENCES, Preferences, last, place_vectors, taken_apart
from stages.shapes import History


def convncf(
    shape: History,
    *,
    size: int = 16,
    kernel: int = 4,
    channels: int = 8,
    recent: int = 20,
    dropout: float = 0.0,
    deviation: float = 0.1,
) -> "ConvNCF":
    """ConvNCF: a picture (size, size) of each user with each item, halved by convolutions until one pixel is left.

    kernel      of each convolution, and its stride: 2 is the paper's, 4 takes half the layers and a quarter of the time
    recent      items taken last that make up the user's vector, with the user's own; 0: the paper's, the user's own
    """
    layers, side = 0, size
    while kernel > 1 and side > 1 and side % kernel == 0:
        layers, side = layers + 1, side // kernel
    if side != 1 or not layers:
        raise UsageError(f"convncf: size is {size} and kernel {kernel}, expected a power of the kernel, like 16 and 4")
    if channels < 1 or recent < 0:
        raise UsageError(f"convncf: channels is {channels} and recent {recent}, expected 1 or more, and 0 or more")
    return ConvNCF(shape[1], shape[2], size, kernel, layers, channels, recent, dropout, deviation)


class ConvNCF(nn.Module):
    """int64 places (N, 1 + L) -> preferences."""

    gives = PREFERENCES

    def __init__(
        self,
        users: int,
        items: int,
        size: int,
        kernel: int,
        layers: int,
        channels: int,
        recent: int,
        dropout: float,
        deviation: float,
    ) -> None:
        super().__init__()
        self.count, self.recent = items, recent
        self.users = place_vectors(users, size, deviation)
        self.items = place_vectors(items, size, deviation)
        self.before = place_vectors(items, size, deviation) if recent else None
        self.dropout = nn.Dropout(dropout)
        self.tower = nn.ModuleList(
            nn.Conv2d(channels if layer else 1, channels, kernel, stride=kernel) for layer in range(layers)
        )
        self.last = nn.Conv2d(channels, 1, 1)
        for convolution in self.tower:
            nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")  # type: ignore[arg-type]
            nn.init.zeros_(convolution.bias)  # type: ignore[arg-type]

    def forward(self, history: torch.Tensor) -> Preferences:
        """Return preferences."""
        asked = taken_apart(history, self.count, training=self.training)
        wants, has = self.dropout(self._user(asked.user, asked.taken)), self.items(asked.items)  # (N, size), (C, size)
        # One picture of all pairs, a tile each: strides are as wide as kernels, so no window reaches over two tiles.
        x = torch.outer(wants.flatten(), has.flatten())[None, None]  # (1, 1, N x size, C x size)
        for convolution in self.tower:
            x = torch.relu(convolution(x))
        return self.last(x)[0, 0], history[:, 1:]  # (N, C)

    def _user(self, user: torch.Tensor, taken: torch.Tensor) -> torch.Tensor:
        """Return vectors (N, size): the user's own and, divided by the root of their number, those of items taken."""
        vectors: torch.Tensor = self.users(user)
        if self.before is None:
            return vectors
        lately = last(taken, self.recent)
        number = (lately != 0).sum(dim=1, keepdim=True).clamp(min=1)
        return vectors + self.before(lately).sum(dim=1) / number.sqrt()  # type: ignore[no-any-return]
