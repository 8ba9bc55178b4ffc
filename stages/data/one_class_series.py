"""A set of the UCR / UEA archive, one class against the rest: series of that class are normal, all others anomalies."""

from pathlib import Path

import numpy as np

from stages.data.ucr import ucr
from stages.dataset import Dataset, Split
from stages.errors import DataError
from stages.split import dataset, shares

_LEAST = 2  # rows of each part


def one_class_series(
    root: Path, *, set: str, normal: str, validation: float = 0.2, test: float = 0.3, length: int = 0, seed: int = 0
) -> Dataset:
    """Series of the class `normal` to train, validate and test on, shared out by `seed`; all others to test on.

    The set's own two parts are taken together, since of one class there would be few to train on. It is found, and
    `length` is, as `stages.data.ucr` says. Targets are 0 for the class and 1 for any other.
    """
    whole = ucr(root, set=set, length=length)
    labels = whole.info.labels
    if normal not in labels:
        raise DataError(f"{set}: has no class {normal!r}, expected one of {', '.join(labels)}; set data.normal")
    series = np.concatenate([whole.train.inputs, whole.test.inputs])
    new = np.concatenate([whole.train.targets, whole.test.targets]) != labels.index(normal)
    rows = np.random.default_rng(seed).permutation(np.flatnonzero(~new))
    train = 1 - validation - test
    counts = shares(len(rows), (train, validation, test)) if min(train, validation, test) > 0 else (0, 0, 0)
    if min(counts) < _LEAST:
        raise DataError(
            f"{set}: {len(rows)} series of class {normal!r} to share out {train:g} / {validation:g} / {test:g}, "
            f"expected {_LEAST} or more in each part; change data.validation and data.test"
        )
    first, second, third = (np.sort(part) for part in np.split(rows, np.cumsum(counts)[:-1]))
    tested = np.sort(np.concatenate([third, np.flatnonzero(new)]))
    parts = tuple(Split(series[part], new[part].astype(np.int64)) for part in (first, second, tested))
    return dataset(
        f"one_class_{set}_{normal}",
        whole.info.sample_shape,
        (normal, "other"),
        whole.info.licence,
        parts,  # type: ignore[arg-type]
    )
