"""Windows of one size, cut from pictures and volumes of any size together with their masks."""

import itertools

import numpy as np

from stages.dataset import UNKNOWN, Array


def tiles(pixels: Array, mask: Array, sides: tuple[int, ...], strides: tuple[int, ...]) -> tuple[Array, Array]:
    """Return (n, *sides[, channels]) and (n, *sides): windows every so many px of each axis, row by row.

    `mask` has the axes of `sides`, `pixels` the same and maybe channels behind. The last windows of an axis are moved
    in, so that all is covered; where all is less than a window, what is missing is 0, and `UNKNOWN` in the mask.
    """
    short = [(0, max(0, side - length)) for side, length in zip(sides, mask.shape, strict=True)]
    mask = np.pad(mask, short, constant_values=UNKNOWN)
    pixels = np.pad(pixels, short + [(0, 0)] * (pixels.ndim - mask.ndim))
    starts = itertools.starmap(_starts, zip(mask.shape, sides, strides, strict=True))
    windows = [
        tuple(slice(first, first + side) for first, side in zip(corner, sides, strict=True))
        for corner in itertools.product(*starts)
    ]
    return np.stack([pixels[window] for window in windows]), np.stack([mask[window] for window in windows])


def joined(parts: list[tuple[Array, Array]]) -> tuple[Array, Array]:
    """Return the tiles of several pictures one after the other."""
    pixels, masks = zip(*parts, strict=True)
    return np.concatenate(pixels), np.concatenate(masks)


def _starts(length: int, side: int, stride: int) -> list[int]:
    last = length - side
    return sorted({*range(0, last + 1, stride), last})
