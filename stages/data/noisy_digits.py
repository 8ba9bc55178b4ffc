"""MNIST with the noise of a low dose, and without."""

from pathlib import Path

import numpy as np

from stages.data.mnist import mnist
from stages.data.read.low_dose import low_dose, pairs
from stages.dataset import Dataset, Split
from stages.split import dataset


def noisy_digits(
    root: Path,
    *,
    train: int = 6000,
    validation: int = 500,
    test: int = 2000,
    photons: float = 6.0,
    sigma: float = 40.0,
    seed: int = 0,
) -> Dataset:
    """MNIST's digits to free of noise; `train`, `validation` and `test` say how many are taken of its own splits.

    photons, sigma    of the noise, see `stages.data.read.low_dose`
    """
    clean = mnist(root, validation=validation, seed=seed)
    generator = np.random.default_rng(seed)
    splits = []
    for part, rows in ((clean.train, train), (clean.validation, validation), (clean.test, test)):
        pictures = np.asarray(part.inputs[:rows])
        noisy = low_dose(pictures, photons, sigma, generator)
        splits.append(Split(noisy, pairs(pictures, noisy)))
    one, two, three = splits
    return dataset("noisy_digits", clean.info.sample_shape, (), clean.info.licence, (one, two, three))
