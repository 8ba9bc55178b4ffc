"""How new each place is, as colours over a picture, as a grey picture and as a chart."""

from typing import TYPE_CHECKING

import numpy as np

from deploy.arrays import Array

if TYPE_CHECKING:
    from PIL import Image

_FROM, _TO = 0.5, 2.0  # scores between which a place goes from not coloured to coloured most
_VEIL = 0.7  # how much of the colour lies over the picture there
_YELLOW, _RED = np.array([240.0, 228.0, 66.0]), np.array([213.0, 40.0, 20.0])
_PER_THRESHOLD = 100  # grey value of a place that is at the threshold
_CHART, _TOP = (480, 120), 3.0  # px; scores above are cut off


def resized(scores: Array, width: int, height: int) -> Array:
    """Return scores (h, w) as float32 (height, width), linearly between them."""
    from PIL import Image

    if scores.shape == (height, width):
        return scores
    image = Image.fromarray(np.ascontiguousarray(scores, dtype=np.float32))
    return np.asarray(image.resize((width, height), Image.Resampling.BILINEAR))


def heated(pixels: Array, scores: Array) -> Array:
    """Return uint8 (H, W, 3) pixels under colours: none up to half the threshold, then yellow, red from there on.

    scores    (h, w) in units of the threshold, of the whole picture whatever its size
    """
    height, width = pixels.shape[:2]
    found = resized(scores, width, height).astype(np.float64)[:, :, None]
    hot = np.clip(found - _FROM, 0, 1)
    colour = _YELLOW + (_RED - _YELLOW) * hot
    share = _VEIL * np.clip((found - _FROM) / (_TO - _FROM), 0, 1)
    mixed: Array = pixels + (colour - pixels) * share
    return mixed.round().astype(np.uint8)


def grey(scores: Array) -> Array:
    """Return scores as uint8, in per cent of the threshold: 100 is the threshold, 255 is 2.55 times it or more."""
    percent = np.nan_to_num(scores.astype(np.float64), nan=np.inf) * _PER_THRESHOLD
    return np.clip(percent, 0, 255).round().astype(np.uint8)


def chart(scores: Array) -> "Image.Image":
    """Return scores (T,) as columns over time, red above the threshold, which is a line; at most 3 thresholds high."""
    from PIL import Image, ImageDraw

    width, height = _CHART
    image = Image.new("RGB", _CHART, (255, 255, 255))
    pen = ImageDraw.Draw(image)
    for column in range(width):
        score = min(float(scores[column * len(scores) // width]), _TOP)
        colour = tuple(_RED.astype(int).tolist()) if score > 1 else (86, 120, 160)
        pen.line([(column, height - 1), (column, round((height - 1) * (1 - score / _TOP)))], fill=colour)
    line = round((height - 1) * (1 - 1 / _TOP))
    pen.line([(0, line), (width, line)], fill=(40, 40, 40))
    return image
