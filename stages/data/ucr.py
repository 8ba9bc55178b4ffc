"""Sets of the UCR / UEA archive of time series, with the archive's own split."""

from pathlib import Path

import numpy as np

from stages.data.read.archive import read_npz
from stages.data.read.labels import as_text, numbered
from stages.data.read.series import checked, stacked
from stages.data.read.ts import read_ts
from stages.dataset import Array, Dataset, Split
from stages.errors import DataError
from stages.split import dataset, held_out, require_classes

_KEYS = ("xtr", "ytr", "xte", "yte", "classes")
_Parts = tuple[tuple[str, ...], tuple[Array, Array], tuple[Array, Array]]


def ucr(root: Path, *, set: str, validation: float = 0.0, length: int = 0, seed: int = 0) -> Dataset:
    """One set by name, GunPoint for example; of its training series `validation` (a share) is held out by `seed`.

    Looks in `root`/timeseries for <set>.npz (arrays xtr ytr xte yte classes; <set>_eq.npz for a set made equally long),
    or for <set>_TRAIN.ts and <set>_TEST.ts, there or in a folder <set>. `length` cuts or continues all series to one.
    """
    folder = root / "timeseries"
    labels, (series, targets), (test_series, test_targets) = _find(folder, set, length)
    where = f"{folder / set}"
    require_classes(f"{where}, test", np.concatenate([targets, test_targets]), labels)
    rows, held = held_out(where, targets, labels, validation, seed)
    parts = tuple(Split(series[part], targets[part]) for part in (rows, held))
    return dataset(
        set,
        (series.shape[1], "length"),
        labels,
        "UCR / UEA time series archive (timeseriesclassification.com); cite the set's donors",
        (*parts, Split(test_series, test_targets)),  # type: ignore[arg-type]
    )


def _find(folder: Path, name: str, length: int) -> _Parts:
    for path in (folder / f"{name}.npz", folder / f"{name}_eq.npz"):
        if path.is_file():
            return _from_npz(path, length)
    for place in (folder, folder / name):
        if (place / f"{name}_TRAIN.ts").is_file():
            return from_ts(place / f"{name}_TRAIN.ts", place / f"{name}_TEST.ts", length)
    there = sorted({path.stem.removesuffix("_eq") for path in folder.glob("*.npz")})
    have = f" (there are {', '.join(there)})" if there else ""
    raise DataError(
        f"{folder}: has no {name}.npz and no {name}_TRAIN.ts{have}; fetch {name}.zip from timeseriesclassification.com "
        "and unpack it there, or name another data root: --data-root"
    )


def _from_npz(path: Path, length: int) -> _Parts:
    arrays = read_npz(path, _KEYS)
    labels = tuple(as_text(label) for label in arrays["classes"])
    train, test = (
        (_brought(path, part, arrays[x], length), arrays[y].astype(np.int64))
        for part, x, y in (("train", "xtr", "ytr"), ("test", "xte", "yte"))
    )
    for (series, targets), part in ((train, "train"), (test, "test")):
        if len(series) != len(targets):
            raise DataError(f"{path}, {part}: {len(targets)} labels for {len(series)} series; fetch the file again")
    _require_alike(path, train[0], test[0])
    return labels, train, test


def from_ts(train_file: Path, test_file: Path, length: int) -> _Parts:
    """Return labels, and series (N, channels, T) float32 with classes (N,) to train and to test on."""
    read = [read_ts(path) for path in (train_file, test_file)]
    labels: tuple[str, ...] = read[0][2]
    parts = []
    for path, (series, named, _) in zip((train_file, test_file), read, strict=True):
        labels, targets = numbered(str(path), named, labels)
        parts.append((stacked(str(path), series, length), targets))
    train, test = parts
    _require_alike(test_file, train[0], test[0])
    return labels, train, test


def _brought(path: Path, part: str, series: Array, length: int) -> Array:
    whole = checked(f"{path}, {part}", series)
    return stacked(f"{path}, {part}", list(whole), length) if length else whole


def _require_alike(path: Path, train: Array, test: Array) -> None:
    if train.shape[1] != test.shape[1]:
        raise DataError(f"{path}: test series have {test.shape[1]} channels, those to train on {train.shape[1]}")
