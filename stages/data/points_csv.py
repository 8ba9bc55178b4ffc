"""Points of pictures in a CSV file of one's own, in the format of Kaggle's "Facial Keypoints Detection"."""

import hashlib
import math
from pathlib import Path

import numpy as np

from deploy.errors import OnnxwayError
from deploy.inputs.image import decode_image
from stages.data.image_folder import Pictures
from stages.data.read.table import Table
from stages.dataset import Array, Dataset, Split
from stages.errors import DataError
from stages.split import dataset, digest, stratified

_X, _Y = "_x", "_y"


def points_csv(
    root: Path,
    *,
    path: str,
    image: str = "Image",
    file: str = "",
    channels: int = 1,
    delimiter: str = ",",
    validation: float = 0.1,
    test: float = 0.2,
    seed: int = 0,
) -> Dataset:
    """Rows of `path` (UTF-8, header line, may be packed): a picture, and columns <point>_x and <point>_y; in px.

    Column `image` holds a square grey picture as numbers from 0 to 255 with spaces between them, row by row; or column
    `file`, where that is set, the name of a picture's file of any size, from the folder of the CSV file, read with
    `channels`. Points are counted from the picture's upper left corner; one that is not known is empty in both columns.
    Other columns are not read. `root` is not used. Targets are as those of `drawn_faces`.
    """
    table = Table(Path(path), delimiter)
    names, points = _points(table)
    pictures, sizes, digests = _files(table, file, channels) if file else _squares(table, image)
    parts = points / sizes[:, None]
    _require_inside(table, names, parts)
    rows = _split(table, validation, test, seed)
    train, held, tested = (Split(_some(pictures, part), parts[part].astype(np.float32)) for part in rows)
    for name, part in (("train", train), ("test", tested)):
        if np.isnan(part.targets).any(axis=2).all():
            raise DataError(f"{path}: no point of the {len(part)} {name} pictures is known; fill in some")
    return dataset(
        Path(path).name.partition(".")[0],
        pictures.shape[1:] if isinstance(pictures, np.ndarray) else ("height", "width", channels),
        names,
        "not stated (a file of your own)",
        (train, held, tested),
        digest_of=_digest(digests, (train, held, tested)) if digests else "",
    )


def _points(table: Table) -> tuple[tuple[str, ...], Array]:
    """Return the names of the points, in order, and all of them in px (N, K, 2), NaN where they are not known."""
    names = tuple(name.removesuffix(_X) for name in table.columns if name.endswith(_X))
    single = [name for name in names if name + _Y not in table.columns]
    if not names or single:
        what = f"column {single[0] + _X!r} without {single[0] + _Y!r}" if single else "no columns <point>_x, <point>_y"
        raise DataError(f"{table.path}: {what}; columns are {', '.join(table.columns[:8])}")
    axes = [[table.column(name + axis, "path") for name in names] for axis in (_X, _Y)]
    points = np.array(
        [[[_number(table, row, text) for row, text in enumerate(column)] for column in axis] for axis in axes]
    )
    points = points.transpose(2, 1, 0)
    halves = np.argwhere(np.isnan(points[:, :, 0]) != np.isnan(points[:, :, 1]))
    if len(halves):
        row, point = halves[0]
        raise DataError(
            f"{table.path}, line {table.rows[row][0]}: {names[point]!r} has only one of x and y; fill in both, or none"
        )
    return names, points


def _number(table: Table, row: int, text: str) -> float:
    try:
        value = float(text) if text.strip() else math.nan
    except ValueError:
        value = math.inf
    if math.isinf(value):
        raise DataError(
            f"{table.path}, line {table.rows[row][0]}: {text[:40]!r} is no place in px; mend it, or leave it empty"
        )
    return value


_Pictures = tuple[Array | Pictures, Array, list[str]]
"""Pictures, their widths and heights (N, 2), and a digest of each where they are in files."""


def _squares(table: Table, column: str) -> _Pictures:
    """Return pictures uint8 (N, side, side, 1) from numbers with spaces between them."""
    pictures: list[Array] = []
    for (line, _), text in zip(table.rows, table.column(column, "image"), strict=True):
        try:
            levels = np.array(text.split(), dtype=np.float64)
        except ValueError:
            raise DataError(f"{table.path}, line {line}: column {column!r} holds other than numbers; mend it") from None
        side = math.isqrt(len(levels))
        fits = side > 0 and side * side == len(levels) and (not pictures or pictures[0].size == len(levels))
        if not fits or not ((levels >= 0) & (levels <= 255)).all():
            expected = f"{pictures[0].size}, as in the first row" if pictures else "those of a square, 96 x 96 say"
            raise DataError(
                f"{table.path}, line {line}: column {column!r} has {len(levels)} numbers, expected {expected}, from "
                "0 to 255; mend it, or name the column: --set data.image=COLUMN (of files: --set data.file=COLUMN)"
            )
        pictures.append(np.round(levels).astype(np.uint8).reshape(side, side, 1))
    return np.stack(pictures), np.array([picture.shape[:2] for picture in pictures], float), []


def _files(table: Table, column: str, channels: int) -> _Pictures:
    """Return pictures that are decoded when they are asked for."""
    paths = [table.path.parent / name.strip() for name in table.column(column, "file")]
    sizes, digests, broken = [], [], []
    for (line, _), path in zip(table.rows, paths, strict=True):
        try:
            data = path.read_bytes()
            height, width, _ = decode_image(data, channels).shape
        except (OSError, OnnxwayError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            broken.append(f"line {line} ({path}: {reason})")
            continue
        sizes.append((width, height))
        digests.append(hashlib.sha256(data).hexdigest())
    if broken:
        more = f", and {len(broken) - 3} more" if len(broken) > 3 else ""
        raise DataError(
            f"{table.path}: {len(broken)} of {len(paths)} pictures cannot be read: {'; '.join(broken[:3])}{more}; mend "
            "or remove these lines"
        )
    return Pictures(paths, channels), np.array(sizes, float), digests


def _require_inside(table: Table, names: tuple[str, ...], parts: Array) -> None:
    outside = np.argwhere(((parts < 0) | (parts > 1)).any(axis=2))
    if len(outside):
        row, point = outside[0]
        raise DataError(
            f"{table.path}, line {table.rows[row][0]}: {names[point]!r} is outside of its picture; mend it, or leave "
            "it empty"
        )


def _split(table: Table, validation: float, test: float, seed: int) -> tuple[Array, ...]:
    train = 1 - validation - test
    if validation < 0 or test <= 0 or train <= 1e-9:
        raise DataError(
            f"data.validation={validation:g} and data.test={test:g}: expected shares that leave some to train"
        )
    rows = stratified(np.zeros(len(table.rows)), (train, validation, test), seed)
    if not len(rows[0]) or not len(rows[2]):
        raise DataError(
            f"{table.path}: has {len(table.rows)} rows, too few to split {train:g} / {validation:g} / {test:g}"
        )
    return rows


def _some(pictures: Array | Pictures, rows: Array) -> Array | Pictures:
    if isinstance(pictures, Pictures):
        return Pictures([pictures.files[row] for row in rows], pictures.channels)
    return pictures[rows]


def _digest(digests: list[str], parts: tuple[Split, Split, Split]) -> str:
    """Return one over the files' own, and the targets in their splits."""
    total = hashlib.sha256("".join(digests).encode())
    total.update(digest(*(Split(part.targets, part.targets) for part in parts)).encode())
    return total.hexdigest()
