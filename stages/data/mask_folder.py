"""A folder of one's own with `images/` and `masks/`: a mask for each picture, of the same name and size."""

import hashlib
from pathlib import Path

import numpy as np

from deploy.errors import OnnxwayError
from deploy.inputs.image import decode_image
from stages.data.read.tiles import joined, tiles
from stages.dataset import UNKNOWN, Array, Dataset, Split
from stages.errors import DataError
from stages.split import dataset, shares

_LAYOUT = "expected images/ and masks/, with masks/a.png for images/a.jpg"
_WHITE = 255
Pair = tuple[Path, Path]


def mask_folder(
    root: Path,
    *,
    path: str,
    channels: int = 3,
    tile: int = 128,
    stride: int = 64,
    validation: float = 0.1,
    test: float = 0.2,
    seed: int = 0,
) -> Dataset:
    """Tiles of the pictures in `path`/images and of their masks, `tile` px a side; training ones every `stride` px.

    A mask is a grey or palette picture whose pixels are class numbers from 0, 255 for what nobody has marked; masks of
    0 and 255 alone are black and white, background and object. `path`/labels.txt names the classes, one a line, if it
    is there. Whole pictures are drawn to train, validate and test. All tiles are held in memory; `root` is not used.
    """
    folder = Path(path)
    if tile < 1 or stride < 1:
        raise DataError(f"mask_folder: data.tile={tile}, data.stride={stride}: expected 1 or more")
    pairs = _paired(folder)
    masks = [_mask(mask) for _, mask in pairs]
    masks, labels = _numbered(folder, masks)
    digest = hashlib.sha256(f"{labels}{channels}{tile}{stride}".encode())
    parts = []
    for step, rows in zip((stride, tile, tile), _drawn(folder, len(pairs), validation, test, seed), strict=True):
        cut = []
        for row in rows:
            picture = _picture(pairs[row][0], channels, masks[row].shape)
            cut.append(tiles(picture, masks[row], (tile, tile), (step, step)))
            digest.update(f"{picture.shape}".encode() + picture.tobytes() + np.ascontiguousarray(masks[row]).tobytes())
        digest.update(b"|")
        parts.append(Split(*joined(cut)) if cut else _nothing(tile, channels))
    train, held, tested = parts
    licence = "not stated (a folder of your own)"
    shape = ("height", "width", channels)
    name = folder.resolve().name
    return dataset(name, shape, labels, licence, (train, held, tested), digest_of=digest.hexdigest())


def _paired(folder: Path) -> list[Pair]:
    """Return the files of each picture and its mask, by name."""
    images, masks = (_by_stem(folder / name) for name in ("images", "masks"))
    alone = sorted(images.keys() ^ masks.keys())
    if alone:
        where, other = ("images", "masks") if alone[0] in images else ("masks", "images")
        more = f", and {len(alone) - 1} more such files" if len(alone) > 1 else ""
        raise DataError(f"{folder}: {where}/{alone[0]} has none in {other}/{more}; {_LAYOUT}")
    return [(images[stem], masks[stem]) for stem in sorted(images)]


def _by_stem(folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder; {_LAYOUT}; name another one: --set data.path=FOLDER")
    found: dict[str, Path] = {}
    for file in sorted(folder.iterdir()):
        if file.name.startswith(".") or not file.is_file():
            continue
        if file.stem in found:
            raise DataError(f"{file}: and {found[file.stem].name} have one name; keep one of them")
        found[file.stem] = file
    return found


def _mask(file: Path) -> Array:
    """Return the pixel values of a mask, uint8 (H, W); those of a palette picture are its indices."""
    from PIL import Image

    try:
        with Image.open(file) as image:
            if image.mode not in ("1", "L", "P"):
                raise DataError(
                    f"{file}: a mask of mode {image.mode}, expected one value a pixel (grey of 8 bits, or a palette): "
                    "the number of its class"
                )
            return np.asarray(image.convert("L") if image.mode == "1" else image)
    except (OSError, ValueError, Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise DataError(f"{file}: not a picture that can be read ({' '.join(str(error).split())})") from None


def _numbered(folder: Path, masks: list[Array]) -> tuple[list[Array], tuple[str, ...]]:
    """Return the masks in class numbers, and the classes' names."""
    values = set().union(*(np.unique(mask).tolist() for mask in masks)) if masks else set()
    if values == {0, _WHITE}:
        masks, values = [(mask == _WHITE).astype(np.uint8) for mask in masks], {0, 1}
    marked = sorted(values - {UNKNOWN})
    largest = marked[-1] if marked else -1
    named = folder / "labels.txt"
    if named.is_file():
        labels = tuple(line.strip() for line in named.read_text("utf-8", "replace").splitlines() if line.strip())
    else:
        labels = ("background", *(f"class {number}" for number in range(1, largest + 1)))
    if len(set(labels)) < len(labels):
        raise DataError(f"{named}: names a class twice; give each a name of its own")
    if len(labels) < 2 or largest >= len(labels):
        raise DataError(
            f"{folder}: masks hold the values {marked[:10]}, labels are {len(labels)}: expected class numbers from 0, "
            "and at least two classes; mend the masks or labels.txt"
        )
    return masks, labels


def _drawn(folder: Path, pictures: int, validation: float, test: float, seed: int) -> tuple[list[int], ...]:
    train = 1 - validation - test
    counts = shares(pictures, (train, validation, test)) if validation >= 0 and test > 0 and train > 1e-9 else (0, 0, 0)
    if not counts[0] or not counts[2] or (validation and not counts[1]):
        raise DataError(
            f"{folder}: {pictures} pictures cannot be split {train:g} / {validation:g} / {test:g} with one in each; "
            "add some, or change data.validation and data.test"
        )
    order = np.random.default_rng(seed).permutation(pictures).tolist()
    ends = np.cumsum(counts)
    return tuple(sorted(order[end - count : end]) for end, count in zip(ends, counts, strict=True))


def _picture(file: Path, channels: int, shape: tuple[int, ...]) -> Array:
    """Return a picture as people see it, which must be as large as its mask."""
    try:
        picture = decode_image(file, channels)
    except OnnxwayError as error:
        raise DataError(str(error)) from None
    if picture.shape[:2] != shape:
        raise DataError(f"{file}: is {picture.shape[:2]} px, its mask {shape} (height, width); bring them to one size")
    return picture


def _nothing(tile: int, channels: int) -> Split:
    return Split(np.empty((0, tile, tile, channels), np.uint8), np.empty((0, tile, tile), np.uint8))
