"""Whether a classifier is right as often as it says: bins of confidence, and the expected calibration error."""

from dataclasses import dataclass

import numpy as np

from stages.dataset import Array

BINS = 15


@dataclass(frozen=True)
class Reliability:
    """Samples by confidence in 15 bins of one width.

    count (15,)       samples in each bin
    accuracy (15,)    share of them decided rightly; NaN for an empty bin
    confidence (15,)  their mean confidence; NaN for an empty bin
    """

    count: Array
    accuracy: Array
    confidence: Array

    @property
    def ece(self) -> float:
        """Expected calibration error, in [0, 1]: mean |accuracy - confidence| by samples (Guo et al. 2017, eq. 3)."""
        gaps = np.abs(np.nan_to_num(self.accuracy - self.confidence))
        return float((gaps * self.count).sum() / max(1, self.count.sum()))


def reliability(confidence: Array, right: Array) -> Reliability:
    """Return the bins for confidences in [0, 1] (N,) and whether each decision was right (N,)."""
    places = np.clip(np.ceil(confidence.astype(np.float64) * BINS).astype(int) - 1, 0, BINS - 1)
    count = np.bincount(places, minlength=BINS)
    with np.errstate(invalid="ignore"):
        accuracy = np.bincount(places, right, BINS) / count
        mean = np.bincount(places, confidence, BINS) / count
    return Reliability(count, accuracy, mean)
