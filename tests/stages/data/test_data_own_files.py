"""CSV, .npz, IDX and text files of one's own."""

import gzip

import numpy as np
import pytest

from stages.data.csv_series import csv_series
from stages.data.csv_text import csv_text
from stages.data.idx import idx
from stages.data.npz import npz
from stages.data.text_lines import text_lines
from tests.conftest import write_idx
from tests.stages.data.kit import refused, sound

GENERATOR = np.random.default_rng(0)


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "mine.csv"

    def write(text):
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return str(path)

    return write


def rows(count, end="\n"):
    return "".join(f"{i},{i + 1},{i * 2},{-i},{'up' if i % 2 else 'down'}{end}" for i in range(count))


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_series_in_csv(tmp_path, table, end):
    path = table(f"\ufeffa,b,c,d,label{end}{rows(20, end)}")
    data = csv_series(tmp_path, path=path)
    sound(data)
    assert data.info.labels == ("down", "up")
    assert data.info.sample_shape == (1, "length")
    two = csv_series(tmp_path, path=path, channels=2)
    sound(two)
    first = data.train.inputs[0, 0, 0]
    assert two.train.inputs[0].tolist() == [[first, first + 1], [2 * first, -first]]
    assert two.info.digest != data.info.digest


@pytest.mark.parametrize(
    ("text", "options", "words"),
    [
        ("a,b,label\n1,x,up\n", {}, ("line 2: column 'b' holds 'x', expected a number")),
        ("a,b,label\n1,,up\n2,3,down\n", {}, ("series 0 has 1 values that are no numbers")),
        ("a,b,label\n1,2,3,up\n", {}, ("line 2: 4 values, the header names 3 columns")),
        ('a,b,label\n1,"2,up\n', {}, ("line 2: ")),
        ("a,b,class\n1,2,up\n", {}, ("no column 'label'; choose from: a, b, class; --set data.label=COLUMN")),
        ("a,b,label\n", {}, ("has no rows")),
        ("", {}, ("has no rows")),
        ("a,b,c,label\n1,2,3,up\n", {"channels": 2}, ("3 columns of values do not make 2 channels")),
        ("a,label\n1,up\n2,down\n", {}, ("series 0 is 1 steps long")),
        ("a,b,label\n" + 9 * "1,2,up\n", {}, ("has 1 classes (only 'up')")),
        (b"a,b,label\n1,2,\xfc\n", {}, ("line 2: byte 0xfc at 14 is not UTF-8; convert the file: iconv")),
    ],
)
def test_bad_series_in_csv(tmp_path, table, text, options, words):
    path = table(text)
    assert path in refused(lambda: csv_series(tmp_path, path=path, **options), words)


def test_texts_in_csv(tmp_path, table):
    lines = "".join(f'"word {i}, and\nmore",{"good" if i % 2 else "bad"}\n' for i in range(20))
    path = table(f"text,label\n{lines}word both,good\nword both,bad\n{lines}")
    data = csv_text(tmp_path, path=path)
    sound(data)
    assert sum(data.info.sizes.values()) == 20
    texts = {"".join(map(chr, row)).rstrip("\0") for row in data.train.inputs}
    assert texts < {f"word {i}, and\nmore" for i in range(20)}
    assert data.train.inputs.dtype == np.int32
    assert csv_text(tmp_path, path=path, longest=6).train.inputs.shape[1] == 6


def test_bad_texts_in_csv(tmp_path, table):
    def call(text):
        path = table(text)
        return lambda: csv_text(tmp_path, path=path)

    refused(call("text,label\n  ,good\n"), "line 2: column 'text' is empty")
    refused(call("words,label\na,good\n"), "no column 'text'", "--set data.text=COLUMN")
    refused(call(b"text,label\n\xb2\xe2,good\n"), "line 2: byte 0xb2 at 11 is not UTF-8")
    refused(call("text,label\na\0b,good\nb,bad\n"), "U+0000")
    refused(lambda: csv_text(tmp_path, path=str(tmp_path / "no.csv")), "no.csv: cannot be read")
    (tmp_path / "mine.csv.gz").write_bytes(b"\x1f\x8b damaged")
    refused(lambda: csv_text(tmp_path, path=str(tmp_path / "mine.csv.gz")), "damaged .gz file")


def test_a_file_a_class(tmp_path):
    (tmp_path / "good.txt").write_text("".join(f"so good {i}\n\n" for i in range(20)) + "so so\n")
    (tmp_path / "bad.txt.gz").write_bytes(
        gzip.compress(b"so so\n" + b"".join(b"bad %d\n" % (i % 12) for i in range(30)))
    )
    data = text_lines(tmp_path, path=str(tmp_path))
    sound(data)
    assert data.info.labels == ("bad", "good")
    assert sum(data.info.sizes.values()) == 32
    (tmp_path / "empty.txt").write_text("\n \n")
    refused(lambda: text_lines(tmp_path, path=str(tmp_path)), "empty.txt: has no text")
    refused(lambda: text_lines(tmp_path, path=str(tmp_path / "nowhere")), "nowhere: no such folder")


FORMS = {
    "image": (np.uint8, (30, 6, 5, 3), ("height", "width", 3)),
    "series": (np.float64, (30, 2, 9), (2, "length")),
    "volume": (np.uint8, (30, 4, 5, 6), (4, 5, 6)),
    "spectral": (np.uint8, (30, 7, 3, 3), (7, 3, 3)),
}


def samples(kind):
    dtype, shape, _ = FORMS[kind]
    return GENERATOR.integers(0, 255, shape).astype(dtype)


def saved(tmp_path, **arrays):
    np.savez(tmp_path / "mine.npz", **arrays)
    return str(tmp_path / "mine.npz")


@pytest.mark.parametrize("kind", FORMS)
def test_arrays_of_each_kind(tmp_path, kind):
    x, y = samples(kind), np.arange(30) % 3 + 5
    data = npz(tmp_path, path=saved(tmp_path, x=x, y=y), kind=kind)
    sound(data)
    assert data.info.sample_shape == FORMS[kind][2]
    assert data.info.labels == ("5", "6", "7")
    given = saved(tmp_path, x_train=x, y_train=y, x_test=x[:5], y_test=y[:5])
    data = npz(tmp_path, path=given, kind=kind, validation=0.2)
    sound(data)
    assert data.info.sizes == {"train": 24, "validation": 6, "test": 5}


def test_an_axis_of_one_channel_may_be_left_out(tmp_path):
    y = np.repeat(["a", "b"], 10)
    pictures = npz(tmp_path, path=saved(tmp_path, x=np.zeros((20, 5, 4), np.uint8), y=y), kind="image")
    assert pictures.train.inputs.shape[1:] == (5, 4, 1)
    series = npz(tmp_path, path=saved(tmp_path, x=np.zeros((20, 8)), y=y), kind="series")
    assert series.train.inputs.shape[1:] == (1, 8)


X, Y = samples("image"), np.arange(30) % 3


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"x": X}, ("has no array 'y' (it has x), expected x, y",)),
        ({"x": X, "y": Y[:-1]}, ("29 labels for 30 samples",)),
        ({"x": X / 2, "y": Y}, ("samples are float64", "expected uint8 with (N, height, width, channels)")),
        ({"x": X, "y": Y[:, None]}, ("labels are int64 of shape (30, 1)",)),
        ({"x": X, "y": Y, "classes": np.array(["a", "b"])}, ("a label is 2, expected 0 to 1",)),
        ({"x": X, "y": Y - 1, "classes": np.array(["a", "b", "c"])}, ("a label is -1, expected 0 to 2",)),
        (
            {"x": X, "y": np.array(["a", "b", "z"])[Y], "classes": np.array(["a", "b"])},
            ("sample 2 has label 'z', expected one of a, b",),
        ),
        ({"x": X, "y": Y * 0}, ("has 1 classes (only '0')",)),
        ({"x": X, "y": np.array([0] * 28 + [1, 1])}, ("too few samples to split", "1 (2)")),
        ({"x_train": X, "y_train": Y, "x_test": X}, ("has no array 'y_test'",)),
        ({"x_train": X, "y_train": Y, "x_test": X[..., :1], "y_test": Y}, ("samples of x_test have the form",)),
        ({"x_train": X, "y_train": Y, "x_test": X, "y_test": Y[:2]}, ("2 labels for 30 samples",)),
        ({"x_train": X, "y_train": Y % 2, "x_test": X, "y_test": Y}, ("no sample to train on of 2 (0)",)),
        ({"x_train": X, "y_train": Y * 0, "x_test": X, "y_test": Y}, ("has 1 classes (only '0')",)),
    ],
)
def test_bad_arrays(tmp_path, arrays, words):
    path = saved(tmp_path, **arrays)
    assert path in refused(lambda: npz(tmp_path, path=path, kind="image"), *words)


def test_missing_and_single_arrays(tmp_path):
    refused(lambda: npz(tmp_path, path=str(tmp_path / "no.npz"), kind="image"), "no.npz: missing", "numpy.savez")
    np.save(tmp_path / "one.npy", X)
    refused(lambda: npz(tmp_path, path=str(tmp_path / "one.npy"), kind="image"), "holds one array")


def test_idx_files(generated_data, tmp_path):
    data = idx(tmp_path, path=str(generated_data / "mnist"))
    sound(data)
    assert data.info.labels == tuple("0123456789")
    assert data.info.sizes["test"] == 100
    assert data.info.sizes["train"] + data.info.sizes["validation"] == 400


def test_bad_idx_files(tmp_path):
    def call():
        return idx(tmp_path, path=str(tmp_path))

    refused(call, "train-images-idx3-ubyte: missing, and so is train-images-idx3-ubyte.gz", "--set data.path=FOLDER")
    for prefix in ("train", "t10k"):
        write_idx(tmp_path / f"{prefix}-images-idx3-ubyte.gz", np.zeros((8, 3, 3), np.uint8))
        write_idx(tmp_path / f"{prefix}-labels-idx1-ubyte.gz", np.arange(8, dtype=np.uint8) % 2)
    sound(call())
    write_idx(tmp_path / "train-labels-idx1-ubyte.gz", np.zeros(7, np.uint8))
    refused(call, "7 labels for the 8 pictures")
    write_idx(tmp_path / "train-labels-idx1-ubyte.gz", np.arange(8, dtype=np.uint8) // 7)
    refused(call, "fewer than 2 samples to train and validate on", "1 (1)")
    write_idx(tmp_path / "train-images-idx3-ubyte.gz", np.zeros((0, 3, 3), np.uint8))
    write_idx(tmp_path / "train-labels-idx1-ubyte.gz", np.zeros(0, np.uint8))
    refused(call, "has no pictures")
