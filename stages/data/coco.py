"""Pictures with boxes in the form of COCO: a JSON file of annotations, and a folder of pictures of any size."""

import dataclasses
import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from deploy.errors import OnnxwayError
from deploy.inputs.image import decode_image
from stages.data.image_folder import Pictures
from stages.data.read.boxes import by_class, targets
from stages.dataset import Array, Dataset, Split
from stages.errors import DataError
from stages.split import dataset, shares

_FORM = "expected the form of COCO: an object with the lists images, annotations and categories"
_STACKED_BYTES = 2**30  # pictures of one size are held as one array up to this many bytes


def coco(
    root: Path,
    *,
    path: str,
    images: str = "",
    channels: int = 3,
    validation: float = 0.1,
    test: float = 0.2,
    seed: int = 0,
) -> Dataset:
    """Pictures and boxes of the annotation file `path`; `root` is not used.

    Pictures are those that the file lists, below the folder `images`, or `images` beside the file; all are decoded once
    before anything else. Where they differ in size, the recipe's input must have one (`input.height`, `input.width`):
    pictures are then resized to it inside the graph. Labels are the categories in the order of their ids. Crowds, and
    boxes without an area inside of their picture, are left out; pictures without a box are not. The split is random.
    """
    file = Path(path)
    content = _read(file)
    labels, numbers = _labels(file, content["categories"])
    folder = Path(images) if images else file.parent / "images"
    names = {entry["id"]: folder / entry["file_name"] for entry in content["images"]}
    digests, shapes = _examined(file, content["images"], list(names.values()), channels)
    rows = {number: row for row, number in enumerate(names)}
    boxes = _boxes(file, content["annotations"], rows, numbers, shapes)
    every = targets([(width, height) for height, width, _ in shapes], boxes)
    parts, total = [], hashlib.sha256(f"{labels}{channels}".encode())
    for chosen in _split(file, len(rows), validation, test, seed):
        parts.append(Split(_inputs([list(names.values())[row] for row in chosen], channels, shapes), every[chosen]))
        for row in chosen:
            total.update(f"{digests[row]};".encode() + every[row].tobytes())
        total.update(b"|")
    train, held, tested = parts
    shape = ("height", "width", channels)
    licence = "not stated (pictures of your own)"
    made = dataset(file.stem, shape, labels, licence, (train, held, tested), digest_of=total.hexdigest())
    counts = by_class(train.targets, len(labels))
    return Dataset(dataclasses.replace(made.info, counts=counts), train, held, tested)


def _read(file: Path) -> dict[str, list[dict[str, Any]]]:
    """Return the lists of an annotation file, each entry with the keys that are needed here."""
    try:
        content = json.loads(file.read_bytes())
    except OSError as error:
        raise DataError(f"{file}: cannot be read ({error.strerror}); name one: --set data.path=FILE") from None
    except ValueError as error:
        raise DataError(f"{file}: not JSON ({error}); {_FORM}") from None
    needed = {
        "images": ("id", "file_name"),
        "annotations": ("id", "image_id", "category_id", "bbox"),
        "categories": ("id", "name"),
    }
    for name, keys in needed.items():
        entries = content.get(name) if isinstance(content, Mapping) else None
        if not isinstance(entries, list) or not all(isinstance(entry, Mapping) for entry in entries):
            raise DataError(f"{file}: has no list {name!r} of objects; {_FORM}")
        for number, entry in enumerate(entries):
            missing = [key for key in keys if key not in entry]
            if missing:
                raise DataError(f"{file}: {name}[{number}] has no {missing[0]!r}, expected {', '.join(keys)}; add it")
        ids = {entry["id"] for entry in entries}
        if len(ids) < len(entries):
            raise DataError(
                f"{file}: {len(entries) - len(ids)} of {len(entries)} {name} have the id of another; renumber"
            )
    return {name: content[name] for name in needed}


def _labels(file: Path, categories: Sequence[Mapping[str, Any]]) -> tuple[tuple[str, ...], dict[Any, int]]:
    """Return names of the categories in the order of their ids, and the number of each id."""
    ordered = sorted(categories, key=lambda entry: entry["id"])
    if not ordered:
        raise DataError(f"{file}: has no category; add the kinds of things that annotations name")
    return tuple(str(entry["name"]) for entry in ordered), {entry["id"]: n for n, entry in enumerate(ordered)}


def _examined(
    file: Path, entries: Sequence[Mapping[str, Any]], pictures: Sequence[Path], channels: int
) -> tuple[list[str], list[tuple[int, ...]]]:
    """Return each picture's SHA-256 and shape, once all are decoded and as large as the file says."""

    def examine(entry: Mapping[str, Any], picture: Path) -> tuple[str, tuple[int, ...]] | str:
        try:
            data = picture.read_bytes()
            shape = decode_image(data, channels).shape
        except OSError as error:
            return f"{picture} ({error.strerror})"
        except OnnxwayError as error:
            return f"{picture} ({error})"
        said = entry.get("width", shape[1]), entry.get("height", shape[0])
        if said != (shape[1], shape[0]):
            return f"{picture} (is {shape[1]} x {shape[0]} px upright, the file says {said[0]} x {said[1]})"
        return hashlib.sha256(data).hexdigest(), shape

    with ThreadPoolExecutor(os.cpu_count()) as pool:  # Pillow decodes outside of Python's lock
        found = list(pool.map(examine, entries, pictures))
    broken = [entry for entry in found if isinstance(entry, str)]
    if broken:
        more = f", and {len(broken) - 3} more" if len(broken) > 3 else ""
        raise DataError(
            f"{file}: {len(broken)} of {len(found)} pictures cannot be used: {'; '.join(broken[:3])}{more}; mend them, "
            "or name their folder: --set data.images=FOLDER"
        )
    digests, shapes = zip(*(entry for entry in found if not isinstance(entry, str)), strict=True) if found else ((), ())
    return list(digests), list(shapes)


def _boxes(
    file: Path,
    annotations: Sequence[Mapping[str, Any]],
    rows: Mapping[Any, int],
    numbers: Mapping[Any, int],
    shapes: Sequence[tuple[int, ...]],
) -> list[Array]:
    """Return each picture's boxes (things, 5), cut off at its border."""
    boxes: list[list[tuple[float, ...]]] = [[] for _ in shapes]
    for entry in annotations:
        where = f"{file}: annotation {entry['id']}"
        for key, known in (("image_id", rows), ("category_id", numbers)):
            if entry[key] not in known:
                raise DataError(f"{where}: {key} is {entry[key]}, which the file does not list; mend or remove it")
        try:
            x, y, width, height = map(float, entry["bbox"])
        except (TypeError, ValueError):
            raise DataError(f"{where}: bbox is {entry['bbox']}, expected [x, y, width, height] in px") from None
        if not np.isfinite((x, y, width, height)).all():
            raise DataError(f"{where}: bbox is {entry['bbox']}, expected finite numbers")
        row = rows[entry["image_id"]]
        lowest, rightmost, _ = shapes[row]
        left, top, right, bottom = max(0, x), max(0, y), min(rightmost, x + width), min(lowest, y + height)
        if left < right and top < bottom and not entry.get("iscrowd"):
            boxes[row].append((left, top, right, bottom, numbers[entry["category_id"]]))
    return [np.array(inside, np.float32).reshape(-1, 5) for inside in boxes]


def _split(file: Path, rows: int, validation: float, test: float, seed: int) -> list[Array]:
    """Return row numbers to train, validate and test on."""
    train = 1 - validation - test
    sizes = shares(rows, (train, validation, test)) if validation >= 0 and test > 0 and train > 1e-9 else (0, 0, 0)
    if not sizes[0] or not sizes[2]:
        raise DataError(
            f"{file}: {rows} pictures with data.validation={validation:g} and data.test={test:g}, expected some to "
            "train and to test on; add pictures, or change the shares"
        )
    order = np.random.default_rng(seed).permutation(rows)
    return [np.sort(part) for part in np.split(order, np.cumsum(sizes)[:-1])]


def _inputs(files: list[Path], channels: int, shapes: Sequence[tuple[int, ...]]) -> Array | Pictures:
    pictures = Pictures(files, channels)
    alike = len(set(shapes)) == 1 and len(shapes) * int(np.prod(shapes[0])) <= _STACKED_BYTES
    return np.stack(list(pictures)) if alike and files else pictures
