"""Landsat (Statlog): 6,435 patches of 3 x 3 px in four spectral bands, and what grows or lies in their middle."""

from pathlib import Path

import numpy as np

from stages.data.read.archive import read_npz
from stages.dataset import Array, Dataset, Split
from stages.split import dataset, held_out

_TEST_ROWS = 2000


def landsat(root: Path, *, validation: float = 0.1, seed: int = 0) -> Dataset:
    """Six kinds of soil and crop, from `root`/landsat: 4,435 patches to train on, 2,000 to test, always the same ones.

    The split is by class. The patches are the neighbourhoods of pixels of one scene, so those of neighbouring pixels
    overlap, and a test patch may share up to six of its nine pixels with one to train on: the accuracy is that of
    filling in a scene, not of another scene. `validation` (a share of the 4,435) is held out by `seed`.
    """
    path = root / "landsat" / "satellite_landsat_6435x4x3x3.npz"
    hint = "export Satellite of the R package mlbench there (x y classes), or name another data root: --data-root"
    arrays = read_npz(path, ("x", "y", "classes"), hint)
    patches, targets = arrays["x"], arrays["y"].astype(np.int64)
    labels = tuple(arrays["classes"].tolist())
    kept, tested = _fixed(targets)
    rows, held = held_out(str(path), targets[kept], labels, validation, seed)
    parts = tuple(Split(patches[part], targets[part]) for part in (kept[rows], kept[held], tested))
    licence = "Statlog (Landsat Satellite), UCI, CC BY 4.0; NASA"
    return dataset("landsat", patches.shape[1:], labels, licence, parts)  # type: ignore[arg-type]


def _fixed(targets: Array) -> tuple[Array, Array]:
    """Return 4,435 and 2,000 rows (of 6,435), each class by its share; the same ones ever."""
    counts = np.bincount(targets)
    exact = counts * _TEST_ROWS / len(targets)
    taken = exact.astype(int)
    taken[np.argsort(taken - exact, kind="stable")[: _TEST_ROWS - taken.sum()]] += 1  # largest remainders first
    generator = np.random.default_rng(0)
    chosen = [generator.permutation(np.flatnonzero(targets == label))[:number] for label, number in enumerate(taken)]
    mask = np.zeros(len(targets), dtype=bool)
    mask[np.concatenate(chosen)] = True
    return np.flatnonzero(~mask), np.flatnonzero(mask)
