"""MNIST, one digit against the rest: the digit is normal, all others are anomalies that training never sees."""

from pathlib import Path

import numpy as np

from stages.data.mnist import mnist
from stages.dataset import Dataset, Split
from stages.errors import DataError
from stages.split import dataset

_LEAST = 2  # rows to validate on


def one_class_digits(root: Path, *, normal: int = 3, validation: int = 5000, seed: int = 0) -> Dataset:
    """Pictures of the digit `normal` to train on, and others of it to validate on; all 10,000 test pictures to test on.

    Of the 60,000 pictures of the training file `validation` are held out by `seed`, of which those of the digit are
    used. Targets are 0 for the digit and 1 for any other.
    """
    if not 0 <= normal <= 9:
        raise DataError(f"one_class_digits: normal={normal}, expected a digit from 0 to 9; set data.normal")
    whole = mnist(root, validation=validation, seed=seed)
    train, held = (_only(part, normal) for part in (whole.train, whole.validation))
    if len(held) < _LEAST:
        raise DataError(
            f"one_class_digits: {len(held)} pictures of {normal} to validate on, expected {_LEAST} or more, by which "
            "the threshold is set; set data.validation"
        )
    test = Split(whole.test.inputs, (whole.test.targets != normal).astype(np.int64))
    return dataset(
        f"one_class_digits_{normal}", whole.info.sample_shape, (str(normal), "other"), whole.info.licence,
        (train, held, test),
    )  # fmt: skip


def _only(split: Split, normal: int) -> Split:
    rows = np.flatnonzero(split.targets == normal)
    return Split(np.asarray(split.inputs)[rows], np.zeros(len(rows), np.int64))
