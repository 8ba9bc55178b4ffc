"""A class for each pixel, as colours over a picture, as a palette and as numbers."""

import numpy as np

from deploy.arrays import Array
from deploy.outputs.pictures import colour

_VEIL = 0.4  # how much of a class's colour lies over the picture; its edge is drawn in full


def counted(mask: Array, labels: tuple[str, ...]) -> dict[str, int]:
    """Return how many places of a mask each class has, by label, 0 for those that are not there."""
    counts = np.bincount(mask.ravel(), minlength=len(labels)).tolist()
    return dict(zip(labels, counts, strict=True))


def enlarged(masks: Array, sides: tuple[int, ...]) -> Array:
    """Return a copy of masks (N, ...) with these sides, each place taking the class of the nearest one."""
    for axis, side in enumerate(sides, start=1):
        have = masks.shape[axis]
        if have != side:
            masks = masks.take((np.arange(side) * 2 + 1) * have // (2 * side), axis=axis)
    return masks.copy()


def _colours(classes: int, background: int) -> Array:
    """Return uint8 (classes, 3); the background is black."""
    colours = [(0, 0, 0) if index == background else colour(index) for index in range(classes)]
    return np.array(colours, np.uint8)


def palette(classes: int, background: int) -> bytes:
    """Return the colours of a picture whose pixels are class indices; the background is black."""
    return _colours(classes, background).tobytes()


def veiled(pixels: Array, mask: Array, background: int, *, opaque: bool) -> Array:
    """Return uint8 (H, W, 3) pixels under the colours of the classes in `mask` (H, W), the background left as it is.

    What is `opaque` hides the pixels.
    """
    painted = _colours(int(mask.max()) + 1, background)[mask]
    share = np.where(_edges(mask), 1.0, 1.0 if opaque else _VEIL) * (mask != background)
    mixed: Array = pixels + (painted.astype(np.float64) - pixels) * share[:, :, None]
    return mixed.round().astype(np.uint8)


def _edges(mask: Array) -> Array:
    """Return which pixels have a neighbour of another class above, below, left or right."""
    edges = np.zeros(mask.shape, bool)
    down, right = mask[1:] != mask[:-1], mask[:, 1:] != mask[:, :-1]
    edges[1:] |= down
    edges[:-1] |= down
    edges[:, 1:] |= right
    edges[:, :-1] |= right
    return edges
