"""Which lobe of the brain: cubes cut from two brains (T1, 2 mm), by the AAL atlas's regions."""

from pathlib import Path

import numpy as np

from stages.data.read.brains import LICENCE, OFFSET, as_ch2, ch2, even, mni152
from stages.dataset import Array, Dataset, Split
from stages.errors import DataError
from stages.split import dataset

_LOBES = {  # last region (of 116, in AAL's order) of each run of regions, and the lobe it belongs to
    28: "frontal", 42: "limbic", 54: "occipital", 56: "temporal", 70: "parietal", 78: "deep nuclei", 90: "temporal",
    116: "cerebellum",
}  # fmt: skip
_NAMES = ("frontal", "limbic", "occipital", "parietal", "temporal", "deep nuclei", "cerebellum")


def brain_lobes(
    root: Path, *, size: int = 24, train_per_lobe: int = 300, test_per_lobe: int = 150, seed: int = 0
) -> Dataset:
    """Cubes of `size` voxels a side around points of seven parts: trained on one brain, tested on another.

    Trained on ch2 (one man, 27 scans; right hemisphere to train, left to validate, as many as to test) and tested on
    MNI152 (the mean of 152 people, without skull), whose lobes are AAL's, by position: both stand in one space, so
    near borders a test label can be wrong. Both are brought to one brightness first. Cubes of one part overlap. Files
    are in `root`/volumes; `seed` draws points.
    """
    own, other = ch2(root), mni152(root)["t1"]
    if size < 4 or min(train_per_lobe, test_per_lobe) < 2:
        raise DataError(f"brain_lobes: size={size}, expected 4 or more, and 2 or more cubes for each lobe")
    lobes = _lobes(own["label"])
    middle = lobes.shape[0] // 2
    right, left = lobes.copy(), lobes.copy()
    right[:middle], left[middle:] = -1, -1
    generator = np.random.default_rng(seed)
    own_t1 = even(own["t1"], own["t1"][lobes >= 0])
    other_t1 = even(other, as_ch2(other, lobes.shape)[lobes >= 0])
    parts = (
        _cubes(own_t1, right, (0, 0, 0), size, train_per_lobe, generator),
        _cubes(own_t1, left, (0, 0, 0), size, test_per_lobe, generator),
        _cubes(other_t1, lobes, OFFSET, size, test_per_lobe, generator),
    )
    return dataset("brain_lobes", (size, size, size), _NAMES, LICENCE, parts)


def _lobes(regions: Array) -> Array:
    """Return the number of each voxel's lobe, -1 outside of all."""
    table = np.full(256, -1, dtype=np.int64)
    first = 1
    for last, name in _LOBES.items():
        table[first : last + 1] = _NAMES.index(name)
        first = last + 1
    return table[regions]


def _cubes(
    volume: Array, lobes: Array, offset: tuple[int, int, int], size: int, each: int, generator: np.random.Generator
) -> Split:
    """Return uint8 (N, size, size, size) around drawn points, `each` of every lobe; outside of the volume is 0."""
    padded = np.pad(volume, size)
    cubes, targets = [], []
    for number in range(len(_NAMES)):
        points = np.argwhere(lobes == number)
        for point in points[generator.permutation(len(points))[:each]]:
            start = point + offset + size - size // 2
            cubes.append(padded[tuple(slice(at, at + size) for at in start)])
            targets.append(number)
    return Split(np.stack(cubes), np.array(targets, dtype=np.int64))
