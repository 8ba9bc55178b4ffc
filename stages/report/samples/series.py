"""Series: (channels, T), as lines over time."""

import numpy as np

from stages.dataset import Array
from stages.report.lines import svg

_POINTS = 300


def draw(sample: Array, words: str) -> str:
    """Return a line for each channel; long series by the mean of pieces."""
    pieces = -(-sample.shape[-1] // _POINTS)
    if pieces > 1:
        length = sample.shape[-1] // pieces * pieces
        sample = sample[:, :length].reshape(len(sample), -1, pieces).mean(axis=-1)
    return svg(np.asarray(sample, np.float64), words)
