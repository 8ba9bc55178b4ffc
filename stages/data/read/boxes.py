"""Boxes as targets: one array for pictures with different numbers of things in them."""

from collections.abc import Sequence

import numpy as np

from stages.dataset import Array

NOTHING = -1
"""Class of a row that is no thing: the picture's own frame, and padding."""


def targets(frames: Sequence[tuple[int, int]], boxes: Sequence[Array], most: int = 0) -> Array:
    """Return float32 (N, 1 + M, 5), rows (x1, y1, x2, y2, class) in px of the picture as it came.

    Row 0 is the picture's own frame, (0, 0, width, height, NOTHING), so that boxes can be told as parts of it; the
    others are its things, and then padding (0, 0, 0, 0, NOTHING). M is the most that a picture has, or `most` if that
    is more.

    frames    width and height of each picture
    boxes     of each picture, (things, 5)
    """
    things = max([most, *map(len, boxes)])
    padded = np.zeros((len(frames), 1 + things, 5), np.float32)
    padded[..., 4] = NOTHING
    for row, (frame, inside) in enumerate(zip(frames, boxes, strict=True)):
        padded[row, 0, 2:4] = frame
        padded[row, 1 : 1 + len(inside)] = inside
    return padded


def by_class(boxes: Array, classes: int) -> tuple[int, ...]:
    """Return how many things of each class there are in targets (N, 1 + M, 5)."""
    found = boxes[..., 4].astype(np.int64).ravel()
    return tuple(np.bincount(found[found != NOTHING], minlength=classes).tolist())
