"""Series and spectral patches: arrays, numbers in lists, and files."""

import io
from pathlib import Path

import numpy as np
import pytest

from deploy.bundle import Signature, TensorSpec
from deploy.errors import InputError, NotFoundError, TooLargeError
from deploy.inputs import input_kind

ONE = input_kind(Signature("series", (TensorSpec("series", "float32", ("batch", 1, "length")),)))
TWO = input_kind(Signature("series", (TensorSpec("series", "float32", ("batch", 2, "length")),)))
PATCH = input_kind(Signature("spectral", (TensorSpec("patch", "uint16", ("batch", 2, 3, 3), (0, 65535)),)))


def npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "payload",
    [
        [1, 2, 3],
        [[1, 2, 3]],
        np.array([1, 2, 3], np.uint8),
        np.array([[1.0, 2.0, 3.0]]),
        b"1,2,3",
        b"1\n2\n3\n",
        b"value\n1\n2\n3\n",
        b"\xef\xbb\xbf1;2;3",
        b"1\t2\t3\r\n",
        b"1 2 3",
        npy(np.array([1, 2, 3])),
    ],
    ids=str,
)
def test_a_series_of_one_channel(payload: object) -> None:
    found = ONE.arrays(payload)["series"]
    assert found.dtype == np.float32
    assert found.tolist() == [[[1, 2, 3]]]
    assert not ONE.is_batch(payload)


def test_a_line_is_a_time_and_a_column_a_channel() -> None:
    assert TWO.arrays(b"x, y\n1, 10\n2, 20\n3, 3e1\n")["series"].tolist() == [[[1, 2, 3], [10, 20, 30]]]


def test_a_batch_of_series() -> None:
    batch = np.zeros((4, 2, 9), np.float32)
    assert TWO.is_batch(batch)
    assert TWO.is_batch(batch.tolist())
    assert TWO.arrays(batch)["series"] is batch


@pytest.mark.parametrize(
    ("payload", "words"),
    [
        (np.array([[1, np.nan]], np.float32), r"holds nan in row 0 at \[0, 1\], expected finite numbers"),
        (b"1\nnan\n", "holds nan"),
        ([1e39], "holds inf"),
        ([], "holds nothing"),
        (np.zeros((3, 2)), "got shape"),
        (["a", "b"], "expected numbers"),
        ([[1, 2], [3]], "expected numbers"),
        (b"", "holds no numbers"),
        (b"time,value\n", "holds no numbers"),
        (b"1\n2,3\n", "line 2 of numbers has 2 numbers, the first 1"),
        (b"1\nx\n", "line 2 of numbers has 'x'"),
        (b"1_0\n", "holds no numbers"),
        (b"\xff\xfe", "not text in UTF-8"),
        (b"1,2\n3,4\n", "has lines of 2 numbers, expected 1, one for each channel"),
        (7, "got int, expected a CSV file"),
        (npy(np.array(["a"])), "expected numbers"),
        (npy(np.zeros(3))[:-1], "damaged or cut short .npy"),
        (b"\x93NUMPY", "damaged or cut short .npy"),
    ],
    ids=str,
)
def test_what_is_no_series(payload: object, words: str) -> None:
    with pytest.raises(InputError, match=words):
        ONE.check(ONE.arrays(payload))


def test_pickles_are_never_read() -> None:
    buffer = io.BytesIO()
    np.save(buffer, np.array([{}], object), allow_pickle=True)
    with pytest.raises(InputError, match="holds object, expected numbers"):
        ONE.arrays(buffer.getvalue())


def test_a_file_that_promises_too_much_is_not_read() -> None:
    data = npy(np.zeros(8, np.float32)).replace(b"(8,)", b"(9000000000,)")
    with pytest.raises(TooLargeError, match="more than"):
        ONE.arrays(data)


def test_files_by_path(tmp_path: Path) -> None:
    (tmp_path / "series.csv").write_bytes(b"1\n2\n")
    assert ONE.arrays(tmp_path / "series.csv")["series"].tolist() == [[[1, 2]]]
    with pytest.raises(NotFoundError, match="no such file"):
        ONE.arrays(str(tmp_path / "none.csv"))
    with pytest.raises(InputError, match="cannot be read"):
        ONE.arrays(tmp_path)


def test_patches_are_converted_where_the_dtype_holds_them() -> None:
    patch = np.arange(18).reshape(2, 3, 3)
    for payload in (patch, patch.astype(np.float32).astype(np.uint16), patch.tolist(), npy(patch)):
        found = PATCH.arrays(payload)["patch"]
        assert found.dtype == np.uint16
        assert np.array_equal(found[0], patch)
    for wrong in (patch * 10_000, -patch - 1, patch + 0.5):
        with pytest.raises(InputError, match="cannot hold"):
            PATCH.arrays(wrong)


def test_a_file_gets_one_answer(tmp_path: Path) -> None:
    """A file of several samples would else be answered for the first of them, without a word."""
    batch = np.zeros((3, 1, 4), np.float32)
    (tmp_path / "batch.npy").write_bytes(npy(batch))
    for payload in (tmp_path / "batch.npy", npy(batch)):
        with pytest.raises(InputError, match="holds 3 samples, expected one"):
            ONE.arrays(payload)
    assert ONE.arrays(npy(batch[:1]))["series"].shape == (1, 1, 4)
    assert ONE.is_batch(batch)
