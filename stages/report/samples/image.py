"""Images: (H, W, channels), pixel values in [0, 255]."""

import numpy as np

from stages.dataset import Array
from stages.report.pixels import img


def draw(sample: Array, words: str) -> str:
    """Return grey or RGB; of four channels the first three, of any other number their mean."""
    pixels = np.clip(np.rint(sample), 0, 255).astype(np.uint8)
    if pixels.shape[-1] in (3, 4):
        return img(np.ascontiguousarray(pixels[..., :3]), words)
    return img(pixels.mean(axis=-1).astype(np.uint8), words)
