"""How far a model's outputs are from the truth, counted in torch float32's own rounding noise.

    noise ratio = rms(model - float64 twin) / rms(float32 twin - float64 twin)

Squares are pooled over many rows: a single small output scatters (ten numbers can give 8 by luck). An honest export
measured 0.9 to 3.4 on trained nets, the subtlest faults 20 and more, whatever the scale of the output.
"""

import math
from dataclasses import dataclass

import numpy as np

from stages.dataset import Array

# Writing a value as float32 alone rounds it by up to 2**-24 of it, half a unit in the last place: 2**-24 / sqrt(3) rms.
# No float32 answer can be asked to be closer, even where torch happens to hit the truth exactly.
FLOOR = 2.0**-24 / math.sqrt(3)


@dataclass
class Pool:
    """Sums of squares over all values of one output; `worst` is the largest difference of the model to the truth."""

    count: int = 0
    error: float = 0.0
    noise: float = 0.0
    truth: float = 0.0
    worst: float = 0.0

    def add(self, found: Array, rounded: Array, truth: Array) -> None:
        """Add values of equal shape: the model's, the float32 twin's and the float64 twin's."""
        difference = np.abs(found.astype(np.float64) - truth)
        self.count += truth.size
        self.error += float(np.square(difference).sum())
        self.noise += float(np.square(rounded.astype(np.float64) - truth).sum())
        self.truth += float(np.square(truth).sum())
        self.worst = max(self.worst, float(difference.max(initial=0.0)))

    def merge(self, other: "Pool") -> None:
        """Add all values of another pool."""
        self.count += other.count
        self.error += other.error
        self.noise += other.noise
        self.truth += other.truth
        self.worst = max(self.worst, other.worst)

    def rms_error(self) -> float:
        """Root mean square difference of the model to the truth."""
        return math.sqrt(self.error / self.count) if self.count else 0.0

    def rms_noise(self) -> float:
        """Root mean square rounding noise of torch float32, never below what float32 can hold."""
        if not self.count:
            return 0.0
        return max(math.sqrt(self.noise / self.count), FLOOR * math.sqrt(self.truth / self.count))

    def ratio(self, least_noise: float = 0.0) -> float:
        """Noise ratio; a small group of rows is judged by the noise of the large pool where its own is lower."""
        noise = max(self.rms_noise(), least_noise)
        return self.rms_error() / noise if noise else (0.0 if self.error == 0 else math.inf)
