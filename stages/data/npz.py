"""An .npz file of one's own: arrays `x` and `y`, or x_train, y_train, x_test and y_test (xtr, ytr, xte, yte)."""

from pathlib import Path
from typing import Literal

import numpy as np

from stages.data.read.archive import read_npz
from stages.data.read.labels import as_text, numbered
from stages.data.read.series import checked
from stages.dataset import Array, Dataset, Split
from stages.errors import DataError
from stages.split import dataset, held_out, split_of

_GIVEN = (("x_train", "y_train", "x_test", "y_test"), ("xtr", "ytr", "xte", "yte"))
_HINT = "write it with numpy.savez(path, x=..., y=...)"
Kind = Literal["image", "series", "volume", "spectral"]


def npz(root: Path, *, path: str, kind: Kind, validation: float = 0.1, test: float = 0.2, seed: int = 0) -> Dataset:
    """Samples and labels in `path`, split by class unless the file gives train and test; `root` is not used.

    Samples by `kind`: image uint8 (N, height, width[, channels]), series numbers (N, channels, length) or (N, length),
    volume uint8 (N, depth, height, width), spectral uint8 (N, bands, height, width). Labels are numbers or text; an
    array `classes` names the numbers.
    """
    arrays = read_npz(Path(path), hint=_HINT)
    for keys in _GIVEN:
        if keys[0] in arrays:
            return _given(Path(path), arrays, keys, kind, validation, seed)
    _require(path, arrays, ("x", "y"))
    labels, targets = _labels(path, arrays, arrays["y"])
    inputs, shape = _samples(path, arrays["x"], kind)
    _require_equal(path, inputs, targets)
    return split_of(Path(path), shape, labels, inputs, targets, validation=validation, test=test, seed=seed)


def _given(
    path: Path, arrays: dict[str, Array], keys: tuple[str, str, str, str], kind: Kind, validation: float, seed: int
) -> Dataset:
    _require(str(path), arrays, keys)
    x, y, test_x, test_y = keys
    labels, both = _labels(str(path), arrays, np.concatenate([arrays[y], arrays[test_y]]))
    targets, test_targets = both[: len(arrays[y])], both[len(arrays[y]) :]
    (inputs, shape), (test_inputs, test_shape) = (_samples(f"{path}, {key}", arrays[key], kind) for key in (x, test_x))
    if shape != test_shape:
        raise DataError(f"{path}: samples of {test_x} have the form {test_shape}, those of {x} {shape}; expected one")
    _require_equal(f"{path}, {x}", inputs, targets)
    _require_equal(f"{path}, {test_x}", test_inputs, test_targets)
    rows, held = held_out(f"{path}, {y}", targets, labels, validation, seed)
    parts = (Split(inputs[rows], targets[rows]), Split(inputs[held], targets[held]), Split(test_inputs, test_targets))
    return dataset(path.stem, shape, labels, "not stated (a file of your own)", parts)


def _require(path: str, arrays: dict[str, Array], keys: tuple[str, ...]) -> None:
    missing = [key for key in keys if key not in arrays]
    if missing:
        found = ", ".join(arrays) or "nothing"
        raise DataError(f"{path}: has no array {missing[0]!r} (it has {found}), expected {', '.join(keys)}; {_HINT}")


def _require_equal(where: str, inputs: Array, targets: Array) -> None:
    if len(inputs) != len(targets):
        raise DataError(f"{where}: {len(targets)} labels for {len(inputs)} samples; give one to each")


def _labels(path: str, arrays: dict[str, Array], targets: Array) -> tuple[tuple[str, ...], Array]:
    if targets.ndim != 1 or targets.dtype.kind not in "iuUfb":
        raise DataError(f"{path}: labels are {targets.dtype} of shape {targets.shape}, expected numbers or text, (N,)")
    if "classes" not in arrays:
        return numbered(path, [as_text(label) for label in targets.tolist()])
    labels = tuple(as_text(label) for label in arrays["classes"].tolist())
    if targets.dtype.kind not in "iu":
        return numbered(path, [as_text(label) for label in targets.tolist()], labels)
    return labels, targets.astype(np.int64)


def _samples(where: str, samples: Array, kind: Kind) -> tuple[Array, tuple[int | str, ...]]:
    """Return samples in the form of their kind, and its `sample_shape`."""
    if kind == "series":
        series = checked(where, samples)
        return series, (series.shape[1], "length")
    if kind == "image" and samples.ndim == 3:
        samples = samples[..., None]
    if samples.dtype != np.uint8 or samples.ndim != 4 or not samples.size:
        raise DataError(
            f"{where}: samples are {samples.dtype} of shape {samples.shape}, expected uint8 with "
            f"{'(N, height, width, channels)' if kind == 'image' else 'four axes'} for data.kind={kind}"
        )
    if kind == "image":
        return samples, ("height", "width", samples.shape[3])
    return samples, samples.shape[1:]
