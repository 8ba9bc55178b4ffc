"""Spectral patches: (bands, H, W), in false colour."""

import numpy as np

from stages.dataset import Array
from stages.report.pixels import img, stretched


def draw(sample: Array, words: str) -> str:
    """Return the last band as red, the middle one as green and the first one as blue.

    With bands ordered by wavelength that is the usual false colour: what plants reflect most, near infrared, is red.
    """
    last = len(sample) - 1
    bands = np.moveaxis(sample[[last, last // 2, 0]], 0, -1)
    return img(stretched(np.ascontiguousarray(bands)), f"{words}, in false colour")
