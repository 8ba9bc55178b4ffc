"""Score maps: what is not made again as it was, averages over windows, and the threshold that is the unit of scores."""

import math

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

from stages.dataset import Array
from stages.errors import DataError
from stages.tasks.anomaly.rates import kinds

_LEAST = 1e-3  # deviation of an input, in units of the preprocessed values; below, there is nothing
_SMALLEST = 1e-12  # threshold: where all is made again exactly, whatever is not is new


class Errors(nn.Module):
    """Input and reconstruction (N, C, *sides) -> squared errors (N, *sides), means over channels.

    In evaluation they are averaged over windows of `window` places a side and, if `relative`, divided by the root mean
    square of the sample's input: what is made of much is wrong by more.
    """

    def __init__(self, window: int, *, relative: bool) -> None:
        super().__init__()
        self.window, self.relative = window, relative

    def forward(self, pair: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
        """Return the map."""
        given, made = pair
        errors = (given - made).square().mean(dim=1)
        if self.training:
            return errors
        if self.relative:
            size = given.square().flatten(1).mean(dim=1).sqrt()
            errors = errors / (size + _LEAST).view(-1, *[1] * (errors.dim() - 1))
        return smoothed(errors, self.window)


def smoothed(scores: torch.Tensor, window: int) -> torch.Tensor:
    """Return means of maps (N, *sides) over windows of `window` (odd) places a side, smaller ones at the borders."""
    if window == 1:
        return scores
    pool = F.avg_pool1d if scores.dim() == 2 else F.avg_pool2d
    return pool(scores[:, None], window, stride=1, padding=window // 2, count_include_pad=False)[:, 0]


class Threshold(nn.Module):
    """Maps (N, *sides) -> score (N,), the largest of the map; is_anomaly (N,) int64; and the map; in thresholds.

    The threshold is a buffer, 1 until it is fitted: it is saved with the weights and exported with the graph.
    """

    threshold: torch.Tensor

    def __init__(self, false_alarms: float) -> None:
        super().__init__()
        self.false_alarms = false_alarms
        self.register_buffer("threshold", torch.ones(()))

    def forward(self, scores: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return score, side of the threshold (1: above, an anomaly) and score map."""
        units = scores / self.threshold
        score = units.flatten(1).amax(dim=1)
        return score, (score > 1).long(), units

    def fit(self, scores: torch.Tensor, targets: Array) -> dict[str, float]:
        """Set the threshold by normal samples that were not trained on; return what is to be expected of it.

        Of n normal samples the one of rank ceil((n + 1)(1 - false_alarms)) is the threshold, so that a further one of
        their kind is above it with that probability or less, whatever the distribution (split conformal prediction:
        Vovk et al., 2005). Where they are too few for that, it is the largest: `expected_false_alarms` says what that
        gives.
        Raises `DataError` where there is no normal sample.
        """
        normal = scores[torch.from_numpy(kinds(targets) == 0).to(scores.device)]
        if not len(normal):
            raise DataError("validation has no normal sample, by which the threshold is set; add some")
        ranked = normal.flatten(1).amax(dim=1).sort().values
        rank = min(len(ranked), math.ceil((len(ranked) + 1) * (1 - self.false_alarms) - 1e-9))
        self.threshold.copy_(ranked[rank - 1].clamp_min(_SMALLEST))
        expected = 1 - rank / (len(ranked) + 1)
        return {"threshold": float(self.threshold), "expected_false_alarms": float(np.float64(expected))}
