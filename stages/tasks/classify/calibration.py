"""How sure a classifier says it is, brought to how often it is right, by one number inside the graph."""

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

from stages.dataset import Array

_COLDEST, _HOTTEST = 1e-2, 1e2
_HALVINGS = 50


class Decision(nn.Module):
    """Scores (N, classes) -> probabilities, softmax(scores / temperature), and the class with the largest score.

    The temperature is a buffer, 1 until it is fitted: it is saved with the weights and exported with the graph.
    """

    temperature: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("temperature", torch.ones(()))

    def forward(self, scores: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return probabilities (N, classes) and class index (N,)."""
        return (scores / self.temperature).softmax(dim=1), scores.argmax(dim=1)

    def fit(self, scores: torch.Tensor, targets: Array) -> dict[str, float]:
        """Set the temperature to the likeliest one on scores that were not trained on; return it by name.

        It stays 1 where the targets as they are, not smoothed, are no likelier for it: on few rows, nearly all right,
        the smoothing would else decide.
        """
        found, wanted = likeliest_temperature(scores, targets), torch.from_numpy(targets)
        exact = scores.detach().cpu().double()
        if F.cross_entropy(exact / found, wanted) < F.cross_entropy(exact, wanted):
            self.temperature.fill_(found)
        return {"temperature": float(self.temperature)}


def likeliest_temperature(scores: torch.Tensor, targets: Array) -> float:
    """Return the T in [0.01, 100] for which softmax(scores / T) makes the targets most likely, in float64.

    Guo et al., "On calibration of modern neural networks" (2017). The log-likelihood is concave in 1/T, so halving an
    interval finds its top. Targets are smoothed as by Platt, "Probabilistic outputs for support vector machines"
    (1999): the right class gets (N + 1) / (N + 2), so that N rows which are all right do not ask for T = 0.
    """
    exact = scores.detach().cpu().double()
    exact = exact - exact.amax(dim=1, keepdim=True)
    rows, classes = exact.shape
    mine = exact.gather(1, torch.from_numpy(targets)[:, None])[:, 0]
    others = (exact.sum(dim=1) - mine) / max(classes - 1, 1)
    aim = ((rows + 1) * mine + others).mean() / (rows + 2)

    def too_cold(temperature: float) -> bool:
        expected = ((exact / temperature).softmax(dim=1) * exact).sum(dim=1).mean()
        return bool(expected > aim)

    low, high = np.log(_COLDEST), np.log(_HOTTEST)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if too_cold(float(np.exp(middle))) else (low, middle)
    return float(np.exp((low + high) / 2))
