"""A folder of pictures: one sub-folder a class, pictures of any size and format that `deploy.inputs` reads."""

import hashlib
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import overload

import numpy as np

from deploy.errors import OnnxwayError
from deploy.inputs.image import decode_image
from stages.dataset import Array, Dataset, Split
from stages.errors import DataError
from stages.split import checked_split, dataset

_STACKED_BYTES = 2**30  # pictures of one size are held as one array up to this many bytes
_PICTURE_SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".ppm", ".pgm"}
_SYSTEM_FILES = {"thumbs.db", "desktop.ini"}


def image_folder(
    root: Path,
    *,
    path: str,
    channels: int = 3,
    validation: float = 0.1,
    test: float = 0.2,
    seed: int = 0,
    skip_unreadable: bool = False,
) -> Dataset:
    """Pictures in `path`/<class>/, split by class; `path` is relative to the current folder, `root` is not used.

    Every file is read and decoded once before anything else; all that cannot be are named in one `DataError`, or, with
    `skip_unreadable`, left out and counted. Grey and colour pictures may be mixed: each is brought to `channels`.
    """
    folder = Path(path)
    labels, files, targets = _listed(folder)
    digests, shapes = _examined(folder, files, channels, skip_unreadable)
    kept = [row for row, found in enumerate(digests) if found]
    skipped, targets = len(files) - len(kept), targets[kept]
    files, digests, shapes = [files[row] for row in kept], [digests[row] for row in kept], [shapes[row] for row in kept]
    stacked = len(set(shapes)) == 1 and len(files) * int(np.prod(shapes[0])) <= _STACKED_BYTES
    splits = []
    total = hashlib.sha256(f"{labels}{channels}".encode())
    for rows in checked_split(str(folder), targets, labels, validation, test, seed, unit="pictures"):
        pictures = Pictures([files[row] for row in rows], channels)
        splits.append(Split(np.stack(list(pictures)) if stacked and len(rows) else pictures, targets[rows]))
        for row in rows:
            total.update(f"{digests[row]}{targets[row]};".encode())
        total.update(b"|")
    train, held, tested = splits
    return dataset(
        folder.resolve().name,
        ("height", "width", channels),
        labels,
        "not stated (a folder of your own)",
        (train, held, tested),
        digest_of=total.hexdigest(),
        skipped=skipped,
    )


class Pictures(Sequence[Array]):
    """Picture files as uint8 arrays (H, W, channels), each decoded when it is asked for."""

    def __init__(self, files: Sequence[Path], channels: int) -> None:
        self.files, self.channels = list(files), channels

    def __len__(self) -> int:
        return len(self.files)

    @overload
    def __getitem__(self, index: int) -> Array: ...
    @overload
    def __getitem__(self, index: slice) -> "Pictures": ...
    def __getitem__(self, index: int | slice) -> "Array | Pictures":
        if isinstance(index, slice):
            return Pictures(self.files[index], self.channels)
        return decode_image(self.files[index], self.channels)


def _listed(folder: Path) -> tuple[tuple[str, ...], list[Path], Array]:
    """Return class names, all files, and the class of each."""
    layout = f"expected {folder}/<class>/<pictures>, one sub-folder a class"
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder; name one: --set data.path=FOLDER")
    classes = sorted(entry for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    if len(classes) < 2:
        raise DataError(f"{folder}: has {len(classes)} sub-folders, classes are 2 or more; {layout}")
    stray = [file for file in sorted(folder.iterdir()) if file.suffix.lower() in _PICTURE_SUFFIXES and file.is_file()]
    if stray:
        raise DataError(f"{stray[0]}: a picture outside of the class folders; {layout}")
    files: list[Path] = []
    targets: list[int] = []
    for number, entry in enumerate(classes):
        inside = sorted(file for file in entry.iterdir() if not _is_noise(file))
        deeper = [file for file in inside if file.is_dir()]
        if deeper:
            raise DataError(f"{deeper[0]}: a folder inside a class folder; {layout}")
        if not inside:
            raise DataError(f"{entry}: no pictures in this class folder; add some, or remove the folder")
        files += inside
        targets += [number] * len(inside)
    return tuple(entry.name for entry in classes), files, np.array(targets, dtype=np.int64)


def _is_noise(file: Path) -> bool:
    return file.name.startswith(".") or file.name.lower() in _SYSTEM_FILES


def _examined(folder: Path, files: list[Path], channels: int, skip: bool) -> tuple[list[str], list[tuple[int, ...]]]:
    """Return each file's SHA-256 and its picture's shape; "" and () for what is no picture, unless that is an error."""

    def examine(file: Path) -> tuple[str, tuple[int, ...]] | str:
        try:
            data = file.read_bytes()
            shape = decode_image(data, channels).shape
        except OSError as error:
            return f"{file.relative_to(folder)} ({error.strerror})"
        except OnnxwayError as error:
            return f"{file.relative_to(folder)} ({error})"
        return hashlib.sha256(data).hexdigest(), shape

    with ThreadPoolExecutor(os.cpu_count()) as pool:  # Pillow decodes outside of Python's lock
        found = list(pool.map(examine, files))
    broken = [entry for entry in found if isinstance(entry, str)]
    if broken and not skip:
        more = f", and {len(broken) - 3} more" if len(broken) > 3 else ""
        raise DataError(
            f"{folder}: {len(broken)} of {len(files)} files cannot be read as pictures: {'; '.join(broken[:3])}{more}; "
            "replace or remove them, or leave them out: --set data.skip_unreadable=true"
        )
    digests, shapes = zip(*(("", ()) if isinstance(entry, str) else entry for entry in found), strict=True)
    return list(digests), list(shapes)
