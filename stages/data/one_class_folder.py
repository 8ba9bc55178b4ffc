"""A folder of pictures, one of its sub-folders against the rest: pictures in it are normal, all others anomalies."""

import hashlib
from pathlib import Path

import numpy as np

from stages.data.image_folder import Pictures, image_folder
from stages.dataset import Array, Dataset, Split
from stages.errors import DataError
from stages.split import dataset


def one_class_folder(
    root: Path,
    *,
    path: str,
    normal: str,
    channels: int = 3,
    validation: float = 0.2,
    test: float = 0.2,
    seed: int = 0,
    skip_unreadable: bool = False,
) -> Dataset:
    """Pictures in `path`/`normal`/ to train, validate and test on; those in its other sub-folders to test on.

    Each other sub-folder is a kind of anomaly. Targets are 0 for normal pictures, else the number of the kind. All else
    is as `stages.data.image_folder` says.
    """
    whole = image_folder(
        root, path=path, channels=channels, validation=validation, test=test, seed=seed, skip_unreadable=skip_unreadable
    )
    labels = whole.info.labels
    if normal not in labels:
        raise DataError(f"{path}: has no sub-folder {normal!r}, expected one of {', '.join(labels)}; set data.normal")
    mine = labels.index(normal)
    order = (mine, *(number for number in range(len(labels)) if number != mine))
    kinds = np.argsort(order)  # from the number of a sub-folder to that of a kind
    train, held = (_only(part, part.targets == mine, kinds) for part in (whole.train, whole.validation))
    parts = (
        _only(whole.test, np.ones(len(whole.test), bool), kinds),
        *(_only(part, part.targets != mine, kinds) for part in (whole.train, whole.validation)),
    )
    info = whole.info
    return dataset(
        f"{info.name}_{normal}",
        info.sample_shape,
        tuple(labels[number] for number in order),
        info.licence,
        (train, held, _joined(parts, channels)),
        digest_of=hashlib.sha256(f"{info.digest} {normal}".encode()).hexdigest(),
        skipped=info.skipped,
    )


def _only(split: Split, chosen: Array, kinds: Array) -> Split:
    rows = np.flatnonzero(chosen)
    inputs = split.inputs
    if isinstance(inputs, Pictures):
        return Split(Pictures([inputs.files[row] for row in rows], inputs.channels), kinds[split.targets[rows]])
    return Split(np.asarray(inputs)[rows], kinds[split.targets[rows]])


def _joined(parts: tuple[Split, ...], channels: int) -> Split:
    targets = np.concatenate([part.targets for part in parts])
    listed = [part.inputs.files for part in parts if isinstance(part.inputs, Pictures)]
    if listed:
        return Split(Pictures([file for files in listed for file in files], channels), targets)
    return Split(np.concatenate([np.asarray(part.inputs) for part in parts]), targets)
