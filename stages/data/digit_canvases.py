"""Handwritten digits strewn over grey canvases: MNIST's, of several sizes, among clutter, their boxes known."""

import dataclasses
from pathlib import Path

import numpy as np
from PIL import Image

from stages.data.mnist import mnist
from stages.data.read.boxes import by_class, targets
from stages.dataset import Array, Dataset, Split
from stages.errors import DataError
from stages.split import dataset

_INK = 64  # level from which a pixel of a scaled digit belongs to it
_OVERLAP = 0.1  # most of a digit's box that another one may cover
_TRIES = 8  # places that are tried for a digit before it is left out


def digit_canvases(
    root: Path,
    *,
    side: int = 96,
    most: int = 8,
    least_px: int = 16,
    most_px: int = 44,
    clutter: int = 5,
    empty: float = 0.08,
    train: int = 4000,
    validation: int = 400,
    test: int = 1000,
    seed: int = 0,
) -> Dataset:
    """Which digits, and where; grey canvases of `side` px, composed by chance of the pictures in `root`/mnist.

    Canvases have 1 to `most` digits, or none in the share `empty` of them. A digit is `least_px` to `most_px` px high
    or wide, whichever is more, light on dark or dark on light, its ink 70 to 100 % of the way from the shaded ground to
    white or black; it may lie at the border, never across, and no more than a tenth of its box is covered by that of
    another. `clutter` is the
    most lines, and the most scraps of digits, that lie around. Targets are those of `stages.data.read.boxes`; boxes
    hold the ink exactly. Test canvases are made of MNIST's test digits, the others of training digits, held apart.
    """
    _require(side, most, least_px, most_px, clutter, empty, (train, validation, test))
    digits = mnist(root, validation=0)
    parts = zip((*_apart(digits.train, seed), digits.test), (train, validation, test), (0, 1, 2), strict=True)
    composer = Composer(side, most, least_px, most_px, clutter, empty)
    splits = [composer.split(part, rows, np.random.default_rng([seed, number])) for part, rows, number in parts]
    made = dataset(
        "digit_canvases",
        ("height", "width", 1),
        digits.info.labels,
        f"made of {digits.info.licence}",
        (splits[0], splits[1], splits[2]),
    )
    return dataclasses.replace(made, info=dataclasses.replace(made.info, counts=by_class(made.train.targets, 10)))


def _apart(digits: Split, seed: int) -> tuple[Split, Split]:
    """Return the digits that are trained on and, a twelfth of them, those that are validated on."""
    held = np.zeros(len(digits), bool)
    held[np.random.default_rng(seed).permutation(len(digits))[: len(digits) // 12]] = True
    pictures = np.asarray(digits.inputs)
    return Split(pictures[~held], digits.targets[~held]), Split(pictures[held], digits.targets[held])


@dataclasses.dataclass(frozen=True)
class Composer:
    """Makes canvases of digits; the options are those of `digit_canvases`."""

    side: int
    most: int
    least_px: int
    most_px: int
    clutter: int
    empty: float

    def split(self, digits: Split, rows: int, chance: np.random.Generator) -> Split:
        """Return `rows` canvases (rows, side, side, 1) uint8 and their targets."""
        made = [self.canvas(digits, chance) for _ in range(rows)]
        pictures = np.stack([picture for picture, _ in made]) if made else np.zeros((0, self.side, self.side), np.uint8)
        frames = [(self.side, self.side)] * rows
        return Split(pictures[..., None], targets(frames, [boxes for _, boxes in made], self.most))

    def canvas(self, digits: Split, chance: np.random.Generator) -> tuple[Array, Array]:
        """Return one canvas, uint8 (side, side), and its boxes (things, 5)."""
        levels = _ground(self.side, chance)
        self._strew(levels, digits, chance)
        boxes: list[Array] = []
        for _ in range(0 if chance.random() < self.empty else int(chance.integers(1, self.most + 1))):
            row = int(chance.integers(len(digits)))
            glyph = _scaled(digits.inputs[row], int(chance.integers(self.least_px, self.most_px + 1)))
            corner = self._free(glyph.shape, boxes, chance)
            if corner is not None:
                boxes.append(_put(levels, glyph, corner, int(digits.targets[row]), chance))
        noisy = levels + chance.uniform(0, 0.06) * chance.standard_normal(levels.shape)
        found = np.array(boxes, np.float32).reshape(-1, 5)
        return np.clip(np.round(noisy * 255), 0, 255).astype(np.uint8), found

    def _free(self, shape: tuple[int, ...], boxes: list[Array], chance: np.random.Generator) -> tuple[int, int] | None:
        """Return a place (x, y) for a box of this shape that covers no other by much; None where none is found."""
        height, width = shape
        for _ in range(_TRIES):
            x, y = int(chance.integers(self.side - width + 1)), int(chance.integers(self.side - height + 1))
            if all(_covered((x, y, x + width, y + height), box) <= _OVERLAP for box in boxes):
                return x, y
        return None

    def _strew(self, levels: Array, digits: Split, chance: np.random.Generator) -> None:
        """Draw lines and scraps of digits, which are no digits."""
        for _ in range(int(chance.integers(self.clutter + 1))):
            ends = chance.uniform(0, self.side, (2, 2))
            steps = np.linspace(0, 1, 2 * self.side)[:, None]
            x, y = (ends[0] + steps * (ends[1] - ends[0])).astype(int).T
            levels[y, x] += chance.uniform(-0.5, 0.5)
        for _ in range(int(chance.integers(self.clutter + 1))):
            scrap = digits.inputs[int(chance.integers(len(digits)))][10:18, 10:18, 0] / 255
            x, y = chance.integers(0, self.side - 8, 2)
            levels[y : y + 8, x : x + 8] += chance.uniform(-0.7, 0.7) * scrap


def _ground(side: int, chance: np.random.Generator) -> Array:
    """Return levels (side, side) of a ground between 0.2 and 0.8 with a slope."""
    across, along = np.meshgrid(*2 * [np.linspace(-0.5, 0.5, side)])
    slope = chance.uniform(-0.2, 0.2, 2)
    ground: Array = chance.uniform(0.25, 0.75) + slope[0] * across + slope[1] * along
    return ground


def _scaled(picture: Array, longer: int) -> Array:
    """Return a digit's ink (h, w) in [0, 1], cut to its box, the longer side of which is `longer` px or about."""
    ink = picture[..., 0]
    rows, columns = (np.flatnonzero(ink.max(axis=axis) >= _INK) for axis in (1, 0))
    ink = ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    factor = longer / max(ink.shape)
    size = (max(2, round(ink.shape[1] * factor)), max(2, round(ink.shape[0] * factor)))
    return np.asarray(Image.fromarray(ink).resize(size, Image.Resampling.BILINEAR)) / 255


def _put(levels: Array, ink: Array, corner: tuple[int, int], label: int, chance: np.random.Generator) -> Array:
    """Draw a digit, lighter or darker than its ground; return its box."""
    (x, y), (height, width) = corner, ink.shape
    part = levels[y : y + height, x : x + width]
    room = 1 - float(part.mean())
    to = 1.0 if room > chance.uniform(0.35, 0.65) else 0.0
    part += ink * chance.uniform(0.7, 1.0) * (to - part)
    return np.array([x, y, x + width, y + height, label], np.float32)


def _covered(box: tuple[int, int, int, int], other: Array) -> float:
    """Return the share of the smaller of two boxes that the other covers."""
    width = min(box[2], other[2]) - max(box[0], other[0])
    height = min(box[3], other[3]) - max(box[1], other[1])
    areas = ((b[2] - b[0]) * (b[3] - b[1]) for b in (box, other))
    return float(max(0, width) * max(0, height) / min(areas))


def _require(
    side: int, most: int, least_px: int, most_px: int, clutter: int, empty: float, sizes: tuple[int, int, int]
) -> None:
    if not 4 <= least_px <= most_px <= side:
        raise DataError(
            f"digit_canvases: digits of {least_px} to {most_px} px on canvases of {side} px, expected 4 px or more, "
            "and no more than the canvas has; set data.least_px, data.most_px and data.side"
        )
    if most < 1 or clutter < 0 or not 0 <= empty <= 1:
        raise DataError(
            f"digit_canvases: most={most}, clutter={clutter} and empty={empty:g}, expected 1 or more, 0 or more, and a "
            "share in [0, 1]"
        )
    if sizes[0] < 1 or sizes[1] < 0 or sizes[2] < 1:
        raise DataError(f"digit_canvases: {sizes[0]}, {sizes[1]} and {sizes[2]} canvases, expected 1, 0 and 1 or more")
