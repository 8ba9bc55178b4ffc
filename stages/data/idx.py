"""IDX files of one's own, in the form of MNIST (as Fashion-MNIST, KMNIST, ...): grey pictures of one size."""

from pathlib import Path

import numpy as np

from stages.data.mnist import read_idx
from stages.data.read.labels import numbered
from stages.dataset import Array, Dataset, Split
from stages.errors import DataError
from stages.split import dataset, held_out, require_classes

_FILES = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}


def idx(root: Path, *, path: str, validation: float = 0.1, seed: int = 0) -> Dataset:
    """Pictures in folder `path`: train-images-idx3-ubyte, train-labels-idx1-ubyte, and the same with t10k to test on.

    Files may be gzipped. Of those to train on, `validation` (a share) is held out. `root` is not used.
    """
    folder = Path(path)
    (pictures, named), (test_pictures, test_named) = (_read(folder, *_FILES[part]) for part in ("train", "test"))
    labels, both = numbered(path, [*map(str, named), *map(str, test_named)])
    require_classes(path, both, labels)
    targets, test_targets = both[: len(named)], both[len(named) :]
    rows, held = held_out(str(folder / _FILES["train"][1]), targets, labels, validation, seed)
    parts = (
        Split(pictures[rows], targets[rows]),
        Split(pictures[held], targets[held]),
        Split(test_pictures, test_targets),
    )
    licence = "not stated (files of your own)"
    return dataset(folder.resolve().name, ("height", "width", 1), labels, licence, parts)


def _read(folder: Path, images: str, labels: str) -> tuple[Array, list[int]]:
    image_file, label_file = (_there(folder, name) for name in (images, labels))
    pictures = read_idx(image_file, dimensions=3)[..., None]
    named = read_idx(label_file, dimensions=1)
    if len(pictures) != len(named):
        raise DataError(f"{label_file}: {len(named)} labels for the {len(pictures)} pictures of {image_file.name}")
    if not pictures.size:
        raise DataError(f"{image_file}: has no pictures; expected some")
    return np.ascontiguousarray(pictures), named.tolist()


def _there(folder: Path, name: str) -> Path:
    for path in (folder / name, folder / f"{name}.gz"):
        if path.is_file():
            return path
    raise DataError(
        f"{folder / name}: missing, and so is {name}.gz; name the folder that has it: --set data.path=FOLDER"
    )
