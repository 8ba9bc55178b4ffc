"""Noise of low doses: few photons a pixel, and the electronics' own."""

import numpy as np

from stages.dataset import Array
from stages.errors import DataError


def low_dose(pictures: Array, photons: float, sigma: float, generator: np.random.Generator) -> Array:
    """Return uint8 pictures of any shape as a camera would see them with little light.

    photons    that the whitest pixel gets on average: counts are Poisson's, so dark places are less noisy
    sigma      deviation of the normal noise that is added, in pixel values
    """
    if photons <= 0 or sigma < 0:
        raise DataError(f"photons={photons:g}, sigma={sigma:g}: expected above 0, and 0 or more")
    seen = generator.poisson(pictures * (photons / 255)) * (255 / photons)
    noisy = seen + generator.normal(0, sigma, pictures.shape)
    return np.asarray(np.clip(np.rint(noisy), 0, 255).astype(np.uint8))


def pairs(clean: Array, noisy: Array) -> Array:
    """Return targets of restoration (N, 2, H, W, C): the clean picture, and the one that comes in."""
    return np.stack([clean, noisy], axis=1)
