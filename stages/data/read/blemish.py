"""Defects drawn into grey pictures, by kind: each takes the picture and a generator, and says what it changed where."""

from collections.abc import Callable

import numpy as np

from stages.dataset import Array

Blemish = Callable[[Array, Array, np.random.Generator], tuple[Array, Array]]

_FINE = 4  # scratches are drawn so many times as large, and made smaller: their edges are soft
_SEEN = 8.0  # grey levels by which a defect changes pixels on average; less is none
_TRIES = 50
_INSIDE = 0.3  # share of a pixel that is changed, from which on it counts as defective


def blemished(kind: str, picture: Array, foreign: Array, generator: np.random.Generator) -> tuple[Array, Array]:
    """Return a picture with a defect, uint8 (side, side), and where it is, bool: drawn again until it can be seen.

    foreign    a picture of the same size that shows something else
    """
    for _ in range(_TRIES):
        changed, where = KINDS[kind](picture.astype(np.float64), foreign.astype(np.float64), generator)
        pixels = np.clip(np.rint(changed), 0, 255).astype(np.uint8)
        if where.any() and np.abs(pixels.astype(float) - picture)[where].mean() >= _SEEN:
            break
    return pixels, where


def _scratch(picture: Array, _: Array, generator: np.random.Generator) -> tuple[Array, Array]:
    """A curved line, 1.5 to 2.5 px wide, white or black."""
    from PIL import Image, ImageDraw

    side = len(picture)
    canvas = Image.new("L", (side * _FINE, side * _FINE))
    angle, place = generator.uniform(0, 2 * np.pi), generator.uniform(0.2, 0.8, 2) * side * _FINE
    points = [tuple(place)]
    for _step in range(generator.integers(4, 8)):
        angle += generator.normal(0, 0.25)
        place = place + np.array([np.cos(angle), np.sin(angle)]) * generator.uniform(0.08, 0.13) * side * _FINE
        points.append(tuple(place))
    ImageDraw.Draw(canvas).line(points, fill=255, width=int(generator.integers(6, 11)), joint="curve")
    mask = np.asarray(canvas.resize((side, side), Image.Resampling.BOX)) / 255
    return _mixed(picture, generator.choice([0.0, 255.0]), mask, generator.uniform(0.6, 0.9))


def _blot(picture: Array, _: Array, generator: np.random.Generator) -> tuple[Array, Array]:
    """A stain with soft edges, darker or brighter, through which the picture can be seen."""
    mask = np.clip(3 * _spot(len(picture), 0.11, 0.22, generator), 0, 1)
    return _mixed(picture, picture.mean() * generator.choice([0.3, 1.6]), mask, generator.uniform(0.45, 0.75))


def _hole(picture: Array, _: Array, generator: np.random.Generator) -> tuple[Array, Array]:
    """A black spot with sharp edges."""
    mask = np.clip(6 * _spot(len(picture), 0.06, 0.14, generator), 0, 1)
    return _mixed(picture, generator.uniform(5, 25), mask, 1.0)


def _patch(picture: Array, foreign: Array, generator: np.random.Generator) -> tuple[Array, Array]:
    """A rectangle of the foreign picture, brought to the brightness and contrast of this one."""
    side = len(picture)
    alike = (foreign - foreign.mean()) * (picture.std() / max(foreign.std(), 1.0)) + picture.mean()
    height, width = generator.integers(round(0.22 * side), round(0.44 * side), 2)
    down, right = generator.integers(0, side - height), generator.integers(0, side - width)
    mask = np.zeros_like(picture)
    mask[down : down + height, right : right + width] = 1
    return _mixed(picture, alike, mask, 1.0)


def _blur(picture: Array, _: Array, generator: np.random.Generator) -> tuple[Array, Array]:
    """A spot out of focus."""
    from PIL import Image, ImageFilter

    mask = np.clip(3 * _spot(len(picture), 0.14, 0.25, generator), 0, 1)
    image = Image.fromarray(picture.astype(np.uint8))
    return _mixed(picture, np.asarray(image.filter(ImageFilter.GaussianBlur(generator.uniform(2, 4)))), mask, 1.0)


def _spot(side: int, least: float, most: float, generator: np.random.Generator) -> Array:
    """Return (side, side): above 0 inside of a wavy ellipse, half axes as parts of the side; 1 in its middle."""
    axes = generator.uniform(least, most, 2) * side
    margin = 0.7 * axes.max()
    centre = generator.uniform(margin, side - margin, 2)
    angle, *phases = generator.uniform(0, 2 * np.pi, 3)
    down, right = np.indices((side, side)) - centre[:, None, None]
    along, across = (
        right * np.cos(angle) + down * np.sin(angle),
        down * np.cos(angle) - right * np.sin(angle),
    )
    around = np.arctan2(across, along)
    wavy = 1 + 0.25 * np.sin(3 * around + phases[0]) + 0.15 * np.sin(5 * around + phases[1])
    found: Array = 1 - np.hypot(along / axes[0], across / axes[1]) / wavy
    return found


def _mixed(picture: Array, other: Array | float, mask: Array, strength: float) -> tuple[Array, Array]:
    share = mask * strength
    return picture * (1 - share) + other * share, mask > _INSIDE


KINDS: dict[str, Blemish] = {"scratch": _scratch, "blot": _blot, "hole": _hole, "patch": _patch, "blur": _blur}
