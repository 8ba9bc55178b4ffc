"""How new each place is, as colours over a picture, as a grey picture and as a chart."""

import numpy as np

from deploy.arrays import Array

_FROM, _HOT, _TO = 0.75, 1.5, 2.0  # scores from which a place is coloured; is red; is coloured most
_VEIL = 0.7  # how much of the colour lies over the picture there
_YELLOW, _RED, _BLUE = np.array([240.0, 228.0, 66.0]), np.array([213.0, 40.0, 20.0]), np.array([86.0, 120.0, 160.0])
_INK = 40.0
_PER_THRESHOLD = 100  # grey value of a place that is at the threshold
_CHART, _TOP = (480, 120), 3.0  # px, and thresholds


def resized(scores: Array, width: int, height: int) -> Array:
    """Return scores (h, w) as float32 (height, width), linearly between them."""
    from PIL import Image

    if scores.shape == (height, width):
        return scores
    image = Image.fromarray(np.ascontiguousarray(scores, dtype=np.float32))
    return np.asarray(image.resize((width, height), Image.Resampling.BILINEAR))


def heated(pixels: Array, scores: Array) -> Array:
    """Return uint8 (H, W, 3) pixels under colours: none up to 0.75 of the threshold, then yellow, red from 1.5 on.

    scores    (h, w) in units of the threshold, of the whole picture whatever its size
    """
    height, width = pixels.shape[:2]
    found = resized(scores, width, height).astype(np.float64)[:, :, None]
    hot = np.clip((found - _FROM) / (_HOT - _FROM), 0, 1)
    colour = _YELLOW + (_RED - _YELLOW) * hot
    share = _VEIL * np.clip((found - _FROM) / (_TO - _FROM), 0, 1)
    mixed: Array = pixels + (colour - pixels) * share
    return mixed.round().astype(np.uint8)


def grey(scores: Array) -> Array:
    """Return scores as uint8, in per cent of the threshold: 100 is the threshold, 255 is 2.55 times it or more."""
    shown = np.clip(np.nan_to_num(scores.astype(np.float64), nan=np.inf), 0, 255 / _PER_THRESHOLD)
    return (shown * _PER_THRESHOLD).round().astype(np.uint8)


def chart(scores: Array) -> Array:
    """Return scores (T,) as columns over time, uint8 (H, W, 3): red above the threshold, which is a line.

    It is 3 thresholds high; what is above is cut off, and so is what is not a number.
    """
    width, height = _CHART
    found = np.nan_to_num(scores.astype(np.float64), nan=np.inf)[np.arange(width) * len(scores) // width]
    colours = np.where(found[:, None] > 1, _RED, _BLUE)
    from_top = (1 - np.clip(found, 0, _TOP) / _TOP) * height
    filled = np.arange(height)[:, None] >= from_top
    picture = np.where(filled[:, :, None], colours, 255.0)
    picture[round(height * (1 - 1 / _TOP))] = _INK
    return picture.astype(np.uint8)
