"""Characters of Chinese licence plates, drawn from fonts: 31 provinces, 24 letters (without I and O), ten digits."""

from pathlib import Path

import numpy as np

from stages.data.read import fonts as faces
from stages.data.read.distort import distorted
from stages.dataset import Array, Dataset, Split
from stages.errors import DataError
from stages.split import dataset

CHARACTERS = "京津沪渝冀豫云辽黑湘皖鲁新苏浙赣鄂桂甘晋蒙陕吉闽贵粤青藏川宁琼ABCDEFGHJKLMNPQRSTUVWXYZ0123456789"
_LEAST = 3  # families: to train, to validate and to test on


def plate_characters(
    root: Path,
    *,
    fonts: str = "",
    characters: str = CHARACTERS,
    side: int = 32,
    train_per_class: int = 120,
    test_per_class: int = 30,
    strength: float = 1.0,
    seed: int = 0,
) -> Dataset:
    """Which of 65 characters; grey pictures of `side` px, distorted, tested on families of fonts that training lacks.

    Fonts are those of the folder `fonts`, or of this machine, that have all `characters`. Of their families, drawn by
    `seed`, a quarter is tested on (1 or more), one validated on, the others trained on. Pictures are drawn when data is
    loaded, so other fonts make other data (and another digest). `root` is not used.
    """
    if len(set(characters)) < max(2, len(characters)):
        raise DataError(f"data.characters={characters!r}: expected 2 or more different ones, each once")
    if side < 8 or min(train_per_class, test_per_class) < 2:
        raise DataError(f"plate_characters: side={side}, expected 8 px or more, and 2 or more pictures of a class")
    folders = [Path(fonts)] if fonts else faces.system_folders()
    found = faces.require(folders, characters, _LEAST)
    generator = np.random.default_rng(seed)
    names = [list(found)[index] for index in generator.permutation(len(found))]
    tested = max(1, len(names) // 4)
    chosen = (names[tested + 1 :], names[tested : tested + 1], names[:tested])
    splits = []
    for part, each in zip(chosen, (train_per_class, test_per_class, test_per_class), strict=True):
        pool = [face for name in part for face in found[name]]
        splits.append(_drawn(pool, characters, side, each, strength, generator))
    train, validation, test = splits
    listed = ", ".join(found)
    return dataset(
        "plate_characters",
        ("height", "width", 1),
        tuple(characters),
        f"drawn from fonts ({listed}): see their licences",
        (train, validation, test),
    )


def _drawn(
    pool: list[faces.Face], characters: str, side: int, each: int, strength: float, generator: np.random.Generator
) -> Split:
    """Return `each` pictures of every character, the faces in turn."""
    pictures: list[Array] = []
    for character in characters:
        glyphs = [faces.glyph(path, number, character, 2 * side) for path, number in pool]
        pictures += [distorted(glyphs[count % len(glyphs)], side, strength, generator) for count in range(each)]
    targets = np.repeat(np.arange(len(characters)), each)
    return Split(np.stack(pictures)[..., None], targets.astype(np.int64))
