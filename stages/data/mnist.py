"""MNIST: 70,000 grey pictures of handwritten digits, 28 x 28 px, in four IDX files."""

import gzip
import tempfile
import zlib
from pathlib import Path

import numpy as np

from stages.dataset import Array, Dataset, Split
from stages.errors import DataError
from stages.split import dataset

_FILES = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}
_AGAIN = "delete it and run again to fetch it"
_UINT8 = 0x08  # the IDX format's code for the type of an element


def mnist(root: Path, *, validation: int = 5000, seed: int = 0) -> Dataset:
    """Digits 0 to 9 from `root`/mnist: 60,000 to train, of them `validation` held out by `seed`; 10,000 to test.

    Files are read plain or gzipped, and downloaded (with checksum) only when they are missing.
    """
    pictures, targets = _split(root / "mnist", "train")
    if not 0 <= validation < len(targets):
        raise DataError(f"mnist: validation={validation}, expected 0 to {len(targets) - 1} of {len(targets)} pictures")
    held_out = np.zeros(len(targets), dtype=bool)
    held_out[np.random.default_rng(seed).permutation(len(targets))[:validation]] = True
    train = Split(pictures[~held_out], targets[~held_out])
    held = Split(pictures[held_out], targets[held_out])
    test = Split(*_split(root / "mnist", "test"))
    labels = tuple(str(i) for i in range(10))
    licence = "MNIST (LeCun, Cortes, Burges; made from NIST data), CC BY-SA 3.0"
    return dataset("mnist", ("height", "width", 1), labels, licence, (train, held, test))


def _split(folder: Path, name: str) -> tuple[Array, Array]:
    """Return pictures (N, 28, 28, 1) uint8 and targets (N,) int64."""
    images_file, labels_file = (find(folder, file) for file in _FILES[name])
    pictures, labels = read_idx(images_file, dimensions=3), read_idx(labels_file, dimensions=1)
    if len(pictures) != len(labels):
        raise DataError(
            f"{labels_file}: {len(labels)} labels for the {len(pictures)} pictures of {images_file.name}; "
            "delete both files and run again to fetch them"
        )
    if len(labels) and labels.max() > 9:
        raise DataError(f"{labels_file}: a label is {labels.max()}, expected 0 to 9; {_AGAIN}")
    return pictures[..., None], labels.astype(np.int64)


def find(folder: Path, name: str) -> Path:
    """Return the path of one file, plain or gzipped; download it when it is missing."""
    for path in (folder / name, folder / f"{name}.gz"):
        if path.is_file():
            return path
    return _download(folder, f"{name}.gz")


def _download(folder: Path, name: str) -> Path:
    from torchvision.datasets import MNIST
    from torchvision.datasets.utils import download_url

    folder.mkdir(parents=True, exist_ok=True)
    errors = []
    for mirror in MNIST.mirrors:
        with tempfile.TemporaryDirectory(prefix=".download.", dir=folder) as temporary:
            try:
                download_url(f"{mirror}{name}", temporary, filename=name, md5=dict(MNIST.resources)[name])
                return (Path(temporary) / name).replace(folder / name)
            except (OSError, RuntimeError) as error:  # no network is an OSError, a wrong checksum a RuntimeError
                errors.append(f"{mirror}: {str(error) or type(error).__name__}")
    wanted = ", ".join(f"{file}.gz" for pair in _FILES.values() for file in pair)
    raise DataError(
        f"{folder / name}: missing, and not to be downloaded ({'; '.join(errors)}); put {wanted} into {folder}, "
        "or name another data root: --data-root"
    )


def read_idx(path: Path, *, dimensions: int) -> Array:
    """Return the uint8 array of an IDX file, plain or gzipped.

    Raises `DataError` for a wrong type, a wrong number of dimensions, and any length but the exact one.
    """
    try:
        raw = path.read_bytes()
        if raw[:2] == b"\x1f\x8b":
            raw = gzip.decompress(raw)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"{path}: damaged gzip file ({error}); {_AGAIN}") from None
    magic = bytes((0, 0, _UINT8, dimensions))
    if raw[:4] != magic:
        raise DataError(
            f"{path}: not an IDX file of {dimensions} dimensions and unsigned bytes: it begins with "
            f"{raw[:4].hex() or 'nothing'}, expected {magic.hex()}; {_AGAIN}"
        )
    header = 4 + 4 * dimensions
    if len(raw) < header:
        raise DataError(f"{path}: {len(raw)} bytes, expected a header of {header}; {_AGAIN}")
    shape = tuple(int(size) for size in np.frombuffer(raw, ">u4", dimensions, 4))
    expected = header + int(np.prod(shape, dtype=object))
    if len(raw) != expected:
        size = " x ".join(map(str, shape))
        raise DataError(f"{path}: {len(raw):,} bytes, expected {expected:,} (header says {size}); {_AGAIN}")
    return np.frombuffer(raw, np.uint8, offset=header).reshape(shape).copy()
