"""Pixels as `<img>` with the picture inside the page."""

import html

import numpy as np

from deploy.outputs.pictures import PNG, data_url, png
from stages.dataset import Array

_LARGEST_PX = 256


def img(pixels: Array, words: str) -> str:
    """Return a picture, uint8 (H, W) or (H, W, 3), at most 256 px a side, small ones with square pixels."""
    from PIL import Image

    picture = Image.fromarray(pixels)
    picture.thumbnail((_LARGEST_PX, _LARGEST_PX))
    return f'<img alt="{html.escape(words)}" src="{data_url(png(picture), PNG)}">'


def stretched(values: Array) -> Array:
    """Return values as uint8: as they are when they are uint8, else from their 1st to their 99th percentile."""
    if values.dtype == np.uint8:
        return values
    values = np.nan_to_num(values.astype(np.float64))
    low, high = np.percentile(values, [1, 99])
    scaled: Array = 255 * (values - low) / max(high - low, 1e-12)
    return np.clip(scaled, 0, 255).astype(np.uint8)
