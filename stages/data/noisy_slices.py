"""Slices of brains (T1, 2 mm) with the noise of a low dose, and without."""

from pathlib import Path

import numpy as np

from stages.data.read.brains import LICENCE, ch2, mni152
from stages.data.read.low_dose import low_dose, pairs
from stages.dataset import Array, Dataset, Split
from stages.errors import DataError
from stages.split import dataset

_LEAST_BRAIN = 0.2  # part of a slice, or patch, that is not background
_HELD_EVERY = 5  # of the slices of the first brain each fifth validates


def noisy_slices(
    root: Path, *, patch: int = 48, patches: int = 1600, photons: float = 30.0, sigma: float = 8.0, seed: int = 0
) -> Dataset:
    """Slices to free of noise: trained on patches of one brain (ch2), tested on whole slices of another (MNI152).

    patch, patches    side in px of what is trained on, and how many: at random places of horizontal slices
    photons, sigma    of the noise, see `stages.data.read.low_dose`

    Each fifth slice of ch2, one man's head, is for validation, and its neighbours, 2 mm away, are trained on; MNI152 is
    the mean of 152 brains without their skulls. Files are in `root`/volumes; `seed` draws places and noise.
    """
    first, other = _slices(ch2(root)["t1"]), _slices(mni152(root)["t1"])
    if not 8 <= patch <= min(first.shape[1:3]) or patches < 1:
        raise DataError(
            f"noisy_slices: patch={patch}, patches={patches}: expected 8 to {min(first.shape[1:3])} px, 1 or more"
        )
    generator = np.random.default_rng(seed)
    held = np.arange(len(first)) % _HELD_EVERY == _HELD_EVERY // 2
    clean = (_patches(first[~held], patch, patches, generator), first[held], other)
    splits = []
    for pictures in clean:
        noisy = low_dose(pictures, photons, sigma, generator)
        splits.append(Split(noisy, pairs(pictures, noisy)))
    train, validation, test = splits
    return dataset("noisy_slices", ("height", "width", 1), (), LICENCE, (train, validation, test))


def _slices(volume: Array) -> Array:
    """Return horizontal slices (N, H, W, 1) as people look at them, those with enough of the brain."""
    upright = np.rot90(volume).transpose(2, 0, 1)
    return np.ascontiguousarray(upright[(upright > 0).mean(axis=(1, 2)) >= _LEAST_BRAIN][..., None])


def _patches(slices: Array, size: int, count: int, generator: np.random.Generator) -> Array:
    """Return (count, size, size, 1) at random places, as far as it is easy with enough of the brain."""
    found: list[Array] = []
    _, height, width, _ = slices.shape
    for _ in range(20 * count):
        number = generator.integers(len(slices))
        y, x = generator.integers(height - size + 1), generator.integers(width - size + 1)
        cut = slices[number, y : y + size, x : x + size]
        if (cut > 0).mean() >= _LEAST_BRAIN:
            found.append(cut)
        if len(found) == count:
            return np.stack(found)
    raise DataError(f"noisy_slices: only {len(found)} of {count} patches of {size} px show enough of the brain")
