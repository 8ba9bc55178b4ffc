"""Drawn faces with the fifteen points of Kaggle's "Facial Keypoints Detection": of any pose, skin, light and ground."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from stages.data.read.face_drawing import blank, face
from stages.data.read.face_form import NAMES
from stages.dataset import Dataset, Split
from stages.errors import DataError
from stages.split import dataset


def drawn_faces(
    root: Path,
    *,
    side: int = 96,
    channels: int = 1,
    train: int = 5000,
    validation: int = 500,
    test: int = 1000,
    without: float = 0.1,
    pose: float = 1.0,
    seed: int = 0,
) -> Dataset:
    """Where eyes, brows, nose and mouth are; pictures of `side` px, grey or RGB, drawn by chance; `root` is not used.

    Targets are float32 (N, 15, 2), x and y as parts of the picture's width and height, from its upper left corner. NaN
    are points outside of the picture, and all points of the share `without` of pictures that show no face. What is
    covered, by dark glasses or a thing in front, is where it would be seen. `pose` says how far heads are turned, how
    far from the middle they are, and how far from one size: see `stages.data.read.face_form.View`. Every split has a
    chance of its own, so that its pictures do not change with the sizes of others.
    """
    _require(side, channels, (train, validation, test), without, pose)
    sizes = (train, validation, test)
    chances = np.random.SeedSequence(seed).spawn(len(sizes))
    parts = [
        _drawn(rows, side, channels, without, pose, np.random.default_rng(chance))
        for rows, chance in zip(sizes, chances, strict=True)
    ]
    return dataset(
        "drawn_faces", (side, side, channels), NAMES, "none needed: drawn here", (parts[0], parts[1], parts[2])
    )


def _drawn(rows: int, side: int, channels: int, without: float, pose: float, chance: np.random.Generator) -> Split:
    pictures = np.empty((rows, side, side, channels), np.uint8)
    points = np.full((rows, len(NAMES), 2), np.nan, np.float32)
    for row in range(rows):
        if chance.random() < without:
            pictures[row] = blank(side, channels, pose, chance)
        else:
            pictures[row], points[row] = face(side, channels, pose, chance)
    return Split(pictures, points)


def _require(side: int, channels: int, sizes: Sequence[int], without: float, pose: float) -> None:
    if channels not in (1, 3) or side < 24:
        raise DataError(f"drawn_faces: side={side} and channels={channels}, expected 24 px or more, and 1 or 3")
    if not 0 <= pose <= 1:
        raise DataError(f"drawn_faces: pose={pose:g}, expected 0 (all from the front) to 1")
    if sizes[0] < 1 or sizes[1] < 0 or sizes[2] < 1 or not 0 <= without < 1:
        words = ", ".join(f"{name}={size}" for name, size in zip(("train", "validation", "test"), sizes, strict=True))
        raise DataError(
            f"drawn_faces: {words} and without={without:g}, expected 1 or more pictures to train and test on, and a "
            "share from 0 to below 1"
        )
