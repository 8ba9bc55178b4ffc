"""Volumes: (D, H, W) or (D, H, W, channels), as the three slices through the middle."""

import numpy as np

from stages.dataset import Array
from stages.report.pixels import img, stretched

_PLANES = ("first", "second", "third")


def draw(sample: Array, words: str) -> str:
    """Return the slices across the first, second and third axis, side by side, in one scale of grey."""
    grey = stretched(
        sample[..., 0] if sample.shape[3:] == (1,) else sample.mean(axis=-1) if sample.ndim == 4 else sample
    )
    slices = (np.ascontiguousarray(grey.take(grey.shape[axis] // 2, axis)) for axis in range(3))
    pictures = "".join(
        img(plane, f"{words}, middle slice across the {name} axis") for plane, name in zip(slices, _PLANES, strict=True)
    )
    return f'<span class="slices">{pictures}</span>'
