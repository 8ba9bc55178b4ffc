"""Splitting, checking and digesting data: what every source needs once."""

import hashlib
from pathlib import Path

import numpy as np

from stages.dataset import TEXT, Array, DataInfo, Dataset, Split, alphabet
from stages.errors import DataError


def stratified(targets: Array, fractions: tuple[float, ...], seed: int) -> tuple[Array, ...]:
    """Return row numbers for each fraction, each class shared out in the same proportions, rows in file order.

    Fractions must sum to 1; the last part takes what rounding leaves.
    """
    generator = np.random.default_rng(seed)
    parts: list[list[Array]] = [[] for _ in fractions]
    for label in np.unique(targets):
        rows = generator.permutation(np.flatnonzero(targets == label))
        ends = np.cumsum(shares(len(rows), fractions))[:-1]
        for part, piece in zip(parts, np.split(rows, ends), strict=True):
            part.append(piece)
    return tuple(np.sort(np.concatenate(part)) for part in parts)


def shares(count: int, fractions: tuple[float, ...]) -> tuple[int, ...]:
    """Return how many of `count` rows each fraction gets; they sum to `count`."""
    ends = np.round(np.cumsum(fractions) * count).astype(int)
    return tuple(np.diff(ends, prepend=0).tolist())


def checked_split(
    where: str,
    targets: Array,
    labels: tuple[str, ...],
    validation: float,
    test: float,
    seed: int,
    unit: str = "samples",
) -> tuple[Array, Array, Array]:
    """Return row numbers to train, validate and test on, stratified, once every class is known to be large enough.

    Raises `DataError` that begins with `where` for fewer than 2 classes, for classes that leave a part without a row of
    theirs, and for shares that leave nothing to train or test on.
    """
    train = 1 - validation - test
    if validation < 0 or test <= 0 or train <= 1e-9:
        raise DataError(
            f"data.validation={validation:g} and data.test={test:g}: expected shares that leave some to train"
        )
    counts = require_classes(where, targets, labels)
    fractions = (train, validation, test)
    few = [label for label, count in enumerate(counts) if not _enough(count, fractions)]
    if few:
        needed = max(count for count in range(1, 10_000) if not _enough(count, fractions)) + 1
        raise DataError(
            f"{where}: too few {unit} to split {train:g} / {validation:g} / {test:g} in {len(few)} of {len(labels)} "
            f"classes: {_named(few, labels, counts)}; each needs {needed}, or change data.validation and data.test"
        )
    first, second, third = stratified(targets, fractions, seed)
    return first, second, third


def held_out(where: str, targets: Array, labels: tuple[str, ...], validation: float, seed: int) -> tuple[Array, Array]:
    """Return row numbers to train and to validate on, of training rows whose test rows are given; 0: all to train.

    Each class gives its share, at least one row when `validation` is above 0, and keeps one. Raises `DataError` for
    fewer than 2 classes, and for classes with too few rows.
    """
    if not 0 <= validation < 1:
        raise DataError(f"data.validation={validation:g}: expected a share from 0 to below 1")
    counts = require_classes(where, targets, labels)
    if not validation:
        return np.arange(len(targets)), np.empty(0, np.int64)
    few = [label for label, count in enumerate(counts) if count < 2]
    if few:
        raise DataError(
            f"{where}: fewer than 2 samples to train and validate on in {len(few)} of {len(labels)} classes: "
            f"{_named(few, labels, counts)}; add some, or hold none out: --set data.validation=0"
        )
    generator = np.random.default_rng(seed)
    chosen = [
        generator.permutation(np.flatnonzero(targets == label))[: min(count - 1, max(1, round(count * validation)))]
        for label, count in enumerate(counts)
    ]
    mask = np.zeros(len(targets), dtype=bool)
    mask[np.concatenate(chosen)] = True
    return np.flatnonzero(~mask), np.flatnonzero(mask)


def require_classes(where: str, targets: Array, labels: tuple[str, ...]) -> list[int]:
    """Return the rows of each class; `DataError` for one class only, targets outside and classes without a row."""
    present = np.unique(targets)
    if len(present) and not 0 <= present[0] <= present[-1] < len(labels):
        wrong = present[-1] if present[0] >= 0 else present[0]
        raise DataError(f"{where}: a label is {wrong}, expected 0 to {len(labels) - 1}; mend or remove that sample")
    if len(present) < 2:
        only = f"only {labels[present[0]]!r}" if len(present) else "none"
        raise DataError(
            f"{where}: has {len(present)} classes ({only}), a classifier needs 2 or more; add samples of others"
        )
    counts: list[int] = np.bincount(targets, minlength=len(labels)).tolist()
    empty = [label for label, count in enumerate(counts) if not count]
    if empty:
        raise DataError(f"{where}: no sample to train on of {_named(empty, labels, counts)}; add some to each class")
    return counts


def _named(which: list[int], labels: tuple[str, ...], counts: list[int]) -> str:
    named = ", ".join(f"{labels[label]} ({counts[label]})" for label in which[:5])
    return f"{named}{', ...' if len(which) > 5 else ''}"


def _enough(count: int, fractions: tuple[float, ...]) -> bool:
    return all(share > 0 for share, part in zip(shares(count, fractions), fractions, strict=True) if part > 0)


def dataset(
    name: str,
    sample_shape: tuple[int | str, ...],
    labels: tuple[str, ...],
    licence: str,
    parts: tuple[Split, Split, Split],
    *,
    digest_of: str = "",
    skipped: int = 0,
) -> Dataset:
    """Return train, validation and test as a `Dataset`, sizes and training rows by class (if they have any) counted.

    `digest_of` is given where samples are too many to be read twice; else the digest is taken over all of them.
    """
    train, validation, test = parts
    info = DataInfo(
        name=name,
        sample_shape=sample_shape,
        labels=labels,
        digest=digest_of or digest(*parts),
        licence=licence,
        sizes={"train": len(train), "validation": len(validation), "test": len(test)},
        counts=_by_class(train.targets, labels),
        skipped=skipped,
        alphabet=alphabet(train.inputs) if sample_shape == TEXT and isinstance(train.inputs, np.ndarray) else "",
    )
    return Dataset(info, train, validation, test)


def _by_class(targets: Array, labels: tuple[str, ...]) -> tuple[int, ...]:
    """Return how many rows each class has; empty where targets are no classes of rows."""
    classes = targets.ndim == 1 and targets.dtype.kind in "iu" and bool(labels)
    return tuple(np.bincount(targets, minlength=len(labels)).tolist()) if classes else ()


def split_of(
    path: Path,
    sample_shape: tuple[int | str, ...],
    labels: tuple[str, ...],
    inputs: Array,
    targets: Array,
    *,
    validation: float,
    test: float,
    seed: int,
    licence: str = "not stated (a file of your own)",
) -> Dataset:
    """Return the samples of one file, or folder, split by class as `checked_split` does, and named as the file."""
    rows = checked_split(str(path), targets, labels, validation, test, seed)
    train, held, tested = (Split(inputs[part], targets[part]) for part in rows)
    return dataset(path.name.partition(".")[0], sample_shape, labels, licence, (train, held, tested))


def digest(*splits: Split) -> str:
    """Return the SHA-256 over all samples and targets of the splits, with their shapes, dtypes and order."""
    total = hashlib.sha256()
    for split in splits:
        whole = isinstance(split.inputs, np.ndarray)
        for array in (*([split.inputs] if whole else split.inputs), split.targets):
            total.update(f"{array.dtype.str}{array.shape};".encode())
            total.update(np.ascontiguousarray(array).data)
        total.update(b"|")
    return total.hexdigest()
