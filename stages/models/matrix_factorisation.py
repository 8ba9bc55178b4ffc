"""Recommendation without convolution, to compare with it: matrix factorisation.

Koren, Bell, Volinsky, "Matrix factorization techniques for recommender systems" (2009), equation 1. It learns a vector
for every user and heeds neither order nor history.
"""

import torch
from torch import nn

from stages.preferences import PREFERENCES, Preferences, place_vectors, taken_apart
from stages.shapes import History


def matrix_factorisation(shape: History, *, size: int = 32, deviation: float = 0.05) -> "MatrixFactorisation":
    """A vector of `size` numbers for each user and each item, and their inner product; of the unknown it is 0.

    With a `deviation` of 0 all vectors begin as 0 and stay so, and what is left is how popular an item is.
    """
    return MatrixFactorisation(shape[1], shape[2], size, deviation)


class MatrixFactorisation(nn.Module):
    """int64 places (N, 1 + L) -> preferences."""

    gives = PREFERENCES

    def __init__(self, users: int, items: int, size: int, deviation: float) -> None:
        super().__init__()
        self.count = items
        self.users = place_vectors(users, size, deviation)
        self.items = place_vectors(items, size, deviation)

    def forward(self, history: torch.Tensor) -> Preferences:
        """Return preferences."""
        asked = taken_apart(history, self.count, training=self.training)
        return self.users(asked.user) @ self.items(asked.items).T, history[:, 1:]
