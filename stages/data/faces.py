"""Faces and what is none: 200 grey pictures of 25 x 25 px, half of them faces from Labeled Faces in the Wild."""

from pathlib import Path

import numpy as np

from stages.data.read.archive import read_npz
from stages.dataset import Dataset
from stages.errors import DataError
from stages.split import split_of

_SIDE = 25


def faces(root: Path, *, validation: float = 0.1, test: float = 0.3, seed: int = 0) -> Dataset:
    """Whether a picture shows a face, from `root`/faces; whose it is nobody noted. Split by class and `seed`."""
    path = root / "faces" / "lfw_subset_200x25x25.npz"
    hint = "save skimage.data.lfw_subset() there as x and y (uint8), or name another data root: --data-root"
    arrays = read_npz(path, ("x", "y"), hint)
    pictures, targets = arrays["x"], arrays["y"].astype(np.int64)
    if pictures.dtype != np.uint8 or pictures.shape != (len(targets), _SIDE, _SIDE):
        raise DataError(
            f"{path}: x is {pictures.dtype} {pictures.shape}, expected uint8 {(len(targets), _SIDE, _SIDE)}; {hint}"
        )
    return split_of(
        path.parent,
        ("height", "width", 1),
        ("no face", "face"),
        pictures[..., None],
        targets,
        validation=validation,
        test=test,
        seed=seed,
        licence="Labeled Faces in the Wild (University of Massachusetts), the subset that scikit-image had",
    )
