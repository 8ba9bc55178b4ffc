"""Data that the server would refuse is refused before training."""

import numpy as np
import pytest

from deploy.bundle import Signature, TensorSpec
from stages.dataset import Array, DataInfo, Dataset, Split
from stages.errors import DataError
from stages.fit import require_fit

SERIES = Signature("series", (TensorSpec("series", "float32", ("batch", 2, "length")),))
INFO = DataInfo("waves", (2, "length"), (), "", "")


def data(test: Array | list[Array]) -> Dataset:
    fine = Split(np.zeros((3, 2, 5), np.float32), np.zeros(3, np.int64))
    none = Split(np.zeros((0, 2, 5), np.float32), np.zeros(0, np.int64))
    return Dataset(INFO, fine, none, Split(test, np.zeros(len(test), np.int64)))


def test_what_fits_passes() -> None:
    require_fit(data(np.zeros((1, 2, 9), np.float32)), SERIES)
    require_fit(data([np.zeros((2, 9), np.float32), np.zeros((2, 4), np.float32)]), SERIES)


@pytest.mark.parametrize(
    ("test", "words"),
    [
        (np.full((1, 2, 4), np.nan, np.float32), "data 'waves', test samples: input 'series': holds nan"),
        (np.zeros((1, 2, 4)), "got dtype float64"),
        (np.zeros((1, 3, 4), np.float32), "got shape"),
        (np.zeros((1, 2, 0), np.float32), "holds nothing"),
        ([np.zeros((2, 9), np.float32), np.zeros((1, 9), np.float32)], "got shape"),
    ],
)
def test_what_does_not_fit(test: Array | list[Array], words: str) -> None:
    with pytest.raises(DataError, match=words):
        require_fit(data(test), SERIES)


def test_samples_that_are_decoded_when_asked_for_are_left_alone() -> None:
    class Lazy:
        def __len__(self) -> int:
            return 1

        def __getitem__(self, row: int) -> Array:
            raise AssertionError("decoded")

    require_fit(data(Lazy()), SERIES)  # type: ignore[arg-type]
