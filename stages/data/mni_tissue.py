"""Grey and white matter of the brain: blocks of MNI152 (T1, 2 mm), split by slabs, or tried on another brain."""

from pathlib import Path

import numpy as np

from stages.data.read.brains import LICENCE, as_ch2, ch2, even, mni152
from stages.data.read.tiles import joined, tiles
from stages.dataset import Array, Dataset, Split
from stages.errors import DataError
from stages.split import dataset

_LABELS = ("other", "grey matter", "white matter")
_PLANES = 117
# In planes from back to front, two (4 mm) left out between them: next to each other planes look alike.
_TRAIN, _VALIDATION, _TEST = ((0, 30), (46, 70), (100, 117)), ((86, 98),), ((32, 44), (72, 84))


def mni_tissue(root: Path, *, size: int = 32, planes: int = 12, stride: int = 16, other_brain: bool = False) -> Dataset:
    """Blocks of `size` x `planes` x `size` voxels and their tissue, uint8 (N, size, planes, size) both.

    Slabs across the second axis are to train, to validate and to test; training blocks overlap (one every `stride`
    voxels). All outside of the brain is 0, and T1 is brought to one brightness. Files are in `root`/volumes.

    other_brain    test on ch2 instead, cut out where MNI152 has its brain. Nobody has marked its tissue: the truth is
                   the likeliest of three Gaussians fitted to the brightness of its voxels
    """
    if min(size, planes, stride) < 1:
        raise DataError(f"mni_tissue: data.size={size}, data.planes={planes}, data.stride={stride}: expected 1 or more")
    own = mni152(root)
    if own["t1"].shape != own["label"].shape:
        raise DataError(f"mni152_t1_gmwm_2mm.npz: t1 is {own['t1'].shape}, label {own['label'].shape}, expected equal")
    inside = own["t1"] > 0
    t1, tissue = np.where(inside, even(own["t1"], own["t1"][inside]), 0), own["label"]

    def part(slabs: tuple[tuple[int, int], ...], step: int) -> Split:
        return _blocks([_slab(t1, tissue, slab) for slab in slabs], (size, planes, size), step)

    train, validation, test = part(_TRAIN, stride), part(_VALIDATION, size), part(_TEST, size)
    seen = train.inputs.any(axis=(1, 2, 3))  # type: ignore[union-attr]  # nothing is learned from what is empty
    train = Split(train.inputs[seen], train.targets[seen])  # type: ignore[index]
    if other_brain:
        test = _blocks([_other(ch2(root)["t1"], inside)], (size, planes, size), size)
    return dataset("mni_tissue", ("depth", "height", "width"), _LABELS, LICENCE, (train, validation, test))


def _slab(t1: Array, tissue: Array, ends: tuple[int, int]) -> tuple[Array, Array]:
    """Return the planes of a slab; of volumes of another size, those at the same part of it."""
    first, last = (round(end * t1.shape[1] / _PLANES) for end in ends)
    return t1[:, first:last], tissue[:, first:last]


def _blocks(volumes: list[tuple[Array, Array]], sides: tuple[int, int, int], stride: int) -> Split:
    """Return blocks of several volumes; along the second axis they overlap only where they must."""
    return Split(*joined([tiles(t1, tissue, sides, (stride, sides[1], stride)) for t1, tissue in volumes]))


def _other(t1: Array, inside: Array) -> tuple[Array, Array]:
    """Return ch2 without its skull, and its tissue by brightness: of three kinds the darkest is fluid."""
    from sklearn.mixture import GaussianMixture

    brain = as_ch2(inside, t1.shape)
    found = t1[brain].astype(np.float64)[:, None]
    mixture = GaussianMixture(3, means_init=np.quantile(found, [0.05, 0.4, 0.8])[:, None], random_state=0).fit(found)
    tissue = np.zeros(t1.shape, np.uint8)
    tissue[brain] = np.argsort(np.argsort(mixture.means_[:, 0]))[mixture.predict(found)]
    return np.where(brain, even(t1, t1[brain]), 0), tissue
