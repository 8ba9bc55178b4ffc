"""MNIST split by class: what is retrieved in the end is digits that training has not seen."""

from pathlib import Path

import numpy as np

from stages.data.mnist import mnist
from stages.dataset import Dataset, Split
from stages.errors import DataError
from stages.split import dataset, held_out


def unseen_digits(
    root: Path,
    *,
    seen: tuple[int, ...] = (0, 1, 2, 3, 4, 5, 6),
    unseen: tuple[int, ...] = (7, 8, 9),
    validation: float = 0.1,
    seed: int = 0,
) -> Dataset:
    """Digits `seen` of MNIST's training file to train and (a share, by `seed`) validate on; `unseen` of its test file.

    Labels are the seen digits and then the unseen ones; targets are indices into them. To choose options without the
    digits of the test, take some of the others: seen=(0, 1, 2, 4, 6), unseen=(3, 5).
    """
    digits = (*seen, *unseen)
    if len(set(digits)) < len(digits) or not set(digits) <= set(range(10)) or min(len(seen), len(unseen)) < 2:
        raise DataError(
            f"unseen_digits: seen={seen} and unseen={unseen}, expected two digits or more each, of 0 to 9, none twice"
        )
    labels = tuple(map(str, digits))
    everything = mnist(root, validation=0)
    known, tested = _of(everything.train, seen), _of(everything.test, unseen)
    rows, held = held_out("unseen_digits", known.targets, labels[: len(seen)], validation, seed)
    train, kept = (Split(np.asarray(known.inputs)[part], known.targets[part]) for part in (rows, held))
    test = Split(tested.inputs, tested.targets + len(seen))
    return dataset("unseen_digits", ("height", "width", 1), labels, everything.info.licence, (train, kept, test))


def _of(split: Split, digits: tuple[int, ...]) -> Split:
    """Return the rows of some digits, with their places among these as targets."""
    place = np.full(10, -1, np.int64)
    place[list(digits)] = np.arange(len(digits))
    targets = place[split.targets]
    return Split(np.asarray(split.inputs)[targets >= 0], targets[targets >= 0])
