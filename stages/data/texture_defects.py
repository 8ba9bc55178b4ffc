"""Crops of a photographed texture (brick, grass, gravel): normal ones to train on, some with defects to test on."""

from pathlib import Path
from typing import Literal

import numpy as np

from deploy.errors import InputError, NotFoundError
from deploy.inputs.image import decode_image
from stages.data.read.blemish import KINDS, blemished
from stages.dataset import Array, Dataset, Split
from stages.errors import DataError
from stages.split import dataset

_TEXTURES = ("brick", "grass", "gravel")
_BLOCKS = 8  # a side
_PARTS = {"train": (0, 2), "validation": (3,), "test": (1,)}  # (row + column) % 4 of a part's blocks
_PERIOD = 4


def texture_defects(
    root: Path,
    *,
    texture: Literal["brick", "grass", "gravel"] = "brick",
    side: int = 48,
    train: int = 1024,
    validation: int = 200,
    test: int = 200,
    seed: int = 0,
) -> Dataset:
    """Grey crops of `side` px: `train` and `validation` normal ones, `test` normal ones and as many with a defect.

    The photograph, `root`/medical2d/<texture>.png, is cut into 8 x 8 blocks, of which 32 are to train, 16 to validate
    and 16 to test on, each part with as many in every row and column; no crop goes beyond its block. Defects are drawn,
    of five kinds in turn: scratch, blot, hole, a patch of the other two textures, and blur. `seed` draws places.

    Targets are uint8 (N, side, side): 0 where all is well, else the kind of the defect, an index into labels.
    """
    generator = np.random.default_rng(seed)
    pictures = {name: _picture(root / "medical2d" / f"{name}.png") for name in _TEXTURES}
    block = min(min(picture.shape) for picture in pictures.values()) // _BLOCKS
    if not 16 <= side <= block or min(train, validation, test) < 2:
        raise DataError(
            f"texture_defects: side={side}, expected 16 to {block} px (a block of the photograph), and 2 or more crops "
            f"for each part; train={train}, validation={validation}, test={test}"
        )
    own = pictures[texture]
    normal = [_crops(own, part, count, side, generator) for part, count in
              (("train", train), ("validation", validation), ("test", test))]  # fmt: skip
    defective, where = _defective(own, [pictures[name] for name in _TEXTURES if name != texture], test, side, generator)
    nowhere = [np.zeros(crops.shape, np.uint8) for crops in normal]
    parts = (
        Split(normal[0][..., None], nowhere[0]),
        Split(normal[1][..., None], nowhere[1]),
        Split(np.concatenate([normal[2], defective])[..., None], np.concatenate([nowhere[2], where])),
    )
    licence = "CC0 photographs from scikit-image; defects are drawn"
    return dataset(f"texture_defects_{texture}", ("height", "width", 1), ("normal", *KINDS), licence, parts)


def _picture(path: Path) -> Array:
    try:
        return decode_image(path, 1)[:, :, 0]
    except NotFoundError:
        raise DataError(
            f"{path}: no such file; put scikit-image's {path.name} there, or name another data root: --data-root"
        ) from None
    except InputError as error:
        raise DataError(f"{error}; fetch it again") from None


def _crops(picture: Array, part: str, count: int, side: int, generator: np.random.Generator) -> Array:
    """Return uint8 (count, side, side): crops of a part's blocks in turn, at drawn places."""
    blocks = [(row, column) for row in range(_BLOCKS) for column in range(_BLOCKS)
              if (row + column) % _PERIOD in _PARTS[part]]  # fmt: skip
    height, width = (length // _BLOCKS for length in picture.shape)
    crops = []
    for number in range(count):
        row, column = blocks[number % len(blocks)]
        down = row * height + generator.integers(height - side + 1)
        right = column * width + generator.integers(width - side + 1)
        crops.append(picture[down : down + side, right : right + side])
    return np.stack(crops)


def _defective(
    picture: Array, others: list[Array], count: int, side: int, generator: np.random.Generator
) -> tuple[Array, Array]:
    """Return test crops with a defect, uint8 (count, side, side), and its kind where it is, alike."""
    crops = _crops(picture, "test", count, side, generator)
    foreign = [_crops(other, "test", count, side, generator) for other in others]
    found, where = [], []
    for number, crop in enumerate(crops):
        kind = number % len(KINDS)
        pixels, mask = blemished(list(KINDS)[kind], crop, foreign[number % len(foreign)][number], generator)
        found.append(pixels)
        where.append(mask * np.uint8(kind + 1))
    return np.stack(found), np.stack(where)
