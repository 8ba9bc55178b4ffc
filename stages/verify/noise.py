"""How far a model's outputs are from the truth, counted in the rounding noise of an honest implementation.

    noise ratio = rms(model - float64 twin) / rms(rounded twin - float64 twin)

Squares are pooled over many rows: a single small output scatters (ten numbers can give 8 by luck). An honest export
measured 0.9 to 3.4 on trained nets, the subtlest faults 20 and more, whatever the scale of the output.

The ratio of the largest errors sees what the mean square dilutes: one row in ten thousand that is wrong.

Where one draw of rounding errors is too few to tell noise from fault, the yardstick takes more of them: see
`Reference` and `Perturbable`. Noise is then the largest of what the implementation at hand shows and what others may.
"""

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from stages.dataset import Array

# Writing a value as float32 alone rounds it by up to 2**-24 of it, half a unit in the last place: 2**-24 / sqrt(3) rms.
# No float32 answer can be asked to be closer, even where torch happens to hit the truth exactly.
_HALF_ULP = 2.0**-24
FLOOR = _HALF_ULP / math.sqrt(3)

_BINS = 34  # bit lengths of distances between float32 values: 0 to 2**32 and a little


@dataclass
class Distance:
    """How far one set of answers is from the truth, added up; `ulps[k]` counts distances of bit length k.

    squares    sum of squared differences
    worst      largest difference
    dot, own   sums for the cosine: answer times truth, answer squared
    """

    squares: float = 0.0
    worst: float = 0.0
    dot: float = 0.0
    own: float = 0.0
    ulps: Array = field(default_factory=lambda: np.zeros(_BINS, np.int64))

    def add(self, values: Array, truth: Array) -> None:
        """Add answers of equal shape; where both are infinite alike, or both NaN, they do not differ."""
        wide = values.astype(np.float64)
        with np.errstate(invalid="ignore"):
            same = (wide == truth) | (np.isnan(wide) & np.isnan(truth))
            difference = np.where(same, 0.0, np.abs(wide - truth))
        self.squares += float(np.square(difference).sum())
        self.worst = float(np.maximum(self.worst, difference.max(initial=0.0)))  # unlike max(), keeps a NaN
        finite = np.isfinite(truth) & np.isfinite(wide)
        self.dot += float((wide * truth)[finite].sum()) if not finite.all() else float(np.vdot(wide, truth))
        self.own += float(np.square(wide[finite]).sum())
        if values.dtype == np.float32:
            self.ulps += ulp_histogram(values, truth)

    def merge(self, other: "Distance") -> None:
        """Add all answers of another one."""
        self.squares += other.squares
        self.worst = float(np.maximum(self.worst, other.worst))
        self.dot += other.dot
        self.own += other.own
        self.ulps = self.ulps + other.ulps


@dataclass
class Pool:
    """All values of one output: the model's and the yardstick's distances to the truth.

    truth, largest      sum of squares of the true values, and the largest of them
    others, redrawn     distances of the yardstick's other draws, and how many values those are; mostly none
    """

    count: int = 0
    truth: float = 0.0
    largest: float = 0.0
    model: Distance = field(default_factory=Distance)
    yardstick: Distance = field(default_factory=Distance)
    others: Distance = field(default_factory=Distance)
    redrawn: int = 0

    def add(self, found: Array, rounded: Array, truth: Array) -> None:
        """Add values of equal shape: the model's, the rounded twin's and the float64 twin's."""
        self.count += truth.size
        finite = truth[np.isfinite(truth)]
        self.truth += float(np.square(finite).sum())
        self.largest = max(self.largest, float(np.abs(finite).max(initial=0.0)))
        self.model.add(found, truth)
        self.yardstick.add(rounded, truth)

    def redraw(self, rounded: Array, truth: Array, scale: float = 1.0) -> None:
        """Add another draw of the yardstick, of values that were added, its distances taken `scale` times."""
        self.redrawn += truth.size
        self.others.add(truth + scale * (rounded - truth), truth)

    def allow(self, other: "Pool") -> None:
        """Let the largest error be judged by other draws on some of these values too."""
        self.others.worst = _largest(self.others.worst, other.others.worst)

    def merge(self, other: "Pool") -> None:
        """Add all values of another pool."""
        self.count += other.count
        self.truth += other.truth
        self.largest = max(self.largest, other.largest)
        self.model.merge(other.model)
        self.yardstick.merge(other.yardstick)
        self.others.merge(other.others)
        self.redrawn += other.redrawn

    @property
    def blank(self) -> bool:
        """Whether every value is 0, the true ones and the model's: then they say nothing about the model."""
        return not self.largest and not self.model.worst

    @property
    def worst(self) -> float:
        """Largest difference of the model to the truth."""
        return self.model.worst

    def rms_error(self) -> float:
        """Root mean square difference of the model to the truth."""
        return math.sqrt(self.model.squares / self.count) if self.count else 0.0

    def rms_noise(self) -> float:
        """Root mean square rounding noise of the yardstick, never below what float32 can hold."""
        if not self.count:
            return 0.0
        others = math.sqrt(self.others.squares / self.redrawn) if self.redrawn else 0.0
        own = _largest(math.sqrt(self.yardstick.squares / self.count), others)
        return _largest(own, FLOOR * math.sqrt(self.truth / self.count))

    def worst_noise(self) -> float:
        """Largest rounding error of the yardstick, never below what float32 can hold."""
        return _largest(_largest(self.yardstick.worst, self.others.worst), _HALF_ULP * self.largest)

    def ratio(self, least_noise: float = 0.0) -> float:
        """Noise ratio; a small group of rows is judged by the noise of the large pool where its own is lower.

        NaN when either noise or error is none that can be counted: a twin that overflows is no yardstick.
        """
        return _ratio(self.rms_error(), _largest(self.rms_noise(), least_noise))

    def worst_ratio(self) -> float:
        """Ratio of the largest errors, the model's to the yardstick's; for pools of many rows only."""
        return _ratio(self.worst, self.worst_noise())

    def cosine(self) -> float:
        """Cosine between the model's values and the true ones; 1.0 when both are zero everywhere."""
        if not self.truth or not self.model.own:
            return 1.0 if self.truth == self.model.own else 0.0
        return self.model.dot / math.sqrt(self.truth) / math.sqrt(self.model.own)

    def figures(self) -> dict[str, Any]:
        """Return all of it as JSON values, null where a figure is not finite; `ulps` as `bins` says."""
        figures = {
            "values": self.count,
            "ratio": self.ratio(),
            "rms": self.rms_error(),
            "rms_yardstick": self.rms_noise(),
            "largest_ratio": self.worst_ratio(),
            "largest": self.worst,
            "largest_yardstick": self.worst_noise(),
            "cosine": self.cosine(),
        }
        finite = {name: value if math.isfinite(value) else None for name, value in figures.items()}
        return finite | {"ulps": bins(self.model.ulps), "ulps_yardstick": bins(self.yardstick.ulps)}


def ulp_distance(values: Array, truth: Array) -> Array:
    """Return how many float32 values lie between each value and the truth rounded to float32, as int64.

    Counted across zero too (both zeros are one value); infinity is one step beyond the largest finite value.
    """
    with np.errstate(over="ignore"):
        return np.asarray(np.abs(_ordered(values.astype(np.float32)) - _ordered(truth.astype(np.float32))))


def ulp_histogram(values: Array, truth: Array) -> Array:
    """Return counts (34,) of distances by bit length: 0, 1, 2 to 3, 4 to 7, ..."""
    _, lengths = np.frexp(ulp_distance(values, truth).astype(np.float64))  # exact: distances are below 2**53
    return np.asarray(np.bincount(lengths.ravel(), minlength=_BINS))


def bins(ulps: Array) -> list[list[int]]:
    """Return the bins that are not empty as [least distance, values]: [[0, 812], [1, 95], [2, 7], [4, 1]]."""
    return [[1 << (length - 1) if length else 0, int(count)] for length, count in enumerate(ulps) if count]


def _ordered(values: Array) -> Array:
    """Return the bits of float32 values as integers in the values' own order; both zeros are 0."""
    bits = np.ascontiguousarray(values).view(np.int32).astype(np.int64)
    return np.asarray(np.where(bits < 0, -(2**31) - bits, bits))


def _largest(first: float, second: float) -> float:
    return float(np.maximum(first, second))


def _ratio(error: float, noise: float) -> float:
    if not math.isfinite(noise):
        return math.nan
    return error / noise if noise else (0.0 if error == 0 else math.inf)
