"""scikit-learn's digits: 1,797 grey pictures of 8 x 8 px, inside the installed package."""

from pathlib import Path

import numpy as np

from stages.dataset import Dataset, Split
from stages.split import dataset, stratified


def digits(root: Path, *, seed: int = 0) -> Dataset:
    """Digits 0 to 9, split 70 / 10 / 20 by class; grey levels 0 to 16 are spread to 0 to 255. `root` is not used."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    pictures = np.round(bunch.images * (255 / 16)).astype(np.uint8)[..., None]
    targets = bunch.target.astype(np.int64)
    parts = stratified(targets, (0.7, 0.1, 0.2), seed)
    train, validation, test = (Split(pictures[rows], targets[rows]) for rows in parts)
    labels = tuple(str(i) for i in range(10))
    licence = "UCI Optical Recognition of Handwritten Digits, CC BY 4.0"
    return dataset("digits", ("height", "width", 1), labels, licence, (train, validation, test))
