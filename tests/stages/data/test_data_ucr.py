import numpy as np
import pytest

from stages.data.ts import ts
from stages.data.ucr import ucr
from tests.stages.data.kit import refused, sound

GENERATOR = np.random.default_rng(0)
X = GENERATOR.standard_normal((12, 2, 9)).astype(np.float32)
Y = np.arange(12) % 3
GOOD = {"xtr": X, "ytr": Y, "xte": X[:6], "yte": Y[:6], "classes": np.array(["a", "b", "c"])}


@pytest.fixture
def root(tmp_path):
    (tmp_path / "timeseries").mkdir()
    return tmp_path


def written(root, name="Waves", **changes):
    arrays = {**GOOD, **changes}
    np.savez(root / "timeseries" / f"{name}.npz", **{key: value for key, value in arrays.items() if value is not None})
    return root


def as_ts(x, y, header="@problemName Waves\n@timeStamps false\n@classLabel true a b c\n@data\n"):
    lines = [
        ":".join(",".join(map(repr, row)) for row in one.tolist()) + f":{'abc'[label]}"
        for one, label in zip(x, y, strict=True)
    ]
    return header + "\n".join(lines) + "\n"


def test_a_set_by_name(root):
    data = ucr(written(root), set="Waves")
    sound(data)
    assert data.info.sizes == {"train": 12, "validation": 0, "test": 6}
    assert data.info.sample_shape == (2, "length")
    assert data.info.labels == ("a", "b", "c")
    assert np.array_equal(data.train.inputs, X)
    assert np.array_equal(data.test.targets, Y[:6])


def test_a_set_that_was_made_equally_long(root):
    data = ucr(written(root, "Waves_eq"), set="Waves")
    assert data.info.name == "Waves"


@pytest.mark.parametrize("folder", ["", "Waves"])
def test_the_archives_own_files_give_the_same(root, folder):
    place = root / "timeseries" / folder
    place.mkdir(exist_ok=True)
    (place / "Waves_TRAIN.ts").write_text(as_ts(X, Y))
    (place / "Waves_TEST.ts").write_text(as_ts(X[:6], Y[:6]))
    other = ucr(root, set="Waves").info
    assert other == ucr(written(root), set="Waves").info


def test_validation_is_taken_of_the_series_to_train_on_by_seed(root):
    written(root)
    data, other = (ucr(root, set="Waves", validation=0.25, seed=seed) for seed in (0, 1))
    sound(data)
    assert data.info.sizes == {"train": 9, "validation": 3, "test": 6}
    assert sorted(data.validation.targets.tolist()) == [0, 1, 2]
    assert data.info.digest != other.info.digest
    assert np.array_equal(data.test.inputs, other.test.inputs)


def test_labels_that_are_numbers_are_written_as_people_do(root):
    assert ucr(written(root, classes=np.array([0.0, 1.0, 2.5])), set="Waves").info.labels == ("0", "1", "2.5")


def test_a_length_cuts_and_continues(root):
    written(root)
    assert np.array_equal(ucr(root, set="Waves", length=5).test.inputs, X[:6, :, :5])
    longer = ucr(root, set="Waves", length=11).train.inputs
    assert np.array_equal(longer[:, :, :9], X)
    assert np.array_equal(longer[:, :, 10], X[:, :, 8])


def test_a_missing_set_says_what_there_is_and_where_to_fetch_it(root):
    written(root)
    refused(
        lambda: ucr(root, set="Wave"), "no Wave.npz", "there are Waves", "timeseriesclassification.com", "--data-root"
    )


def with_value(value):
    series = X.copy()
    series[3, 1, 7] = value
    return series


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"xtr": with_value(np.nan)},
            ("train: series 3", "1 values that are no numbers", "nan", "channel 1 at step 7"),
        ),
        ({"xte": with_value(np.inf)[:6]}, ("test: series 3", "inf")),
        ({"xtr": X[:, :, :1], "xte": X[:6, :, :1]}, ("series 0 is 1 steps long, expected 2 or more",)),
        ({"xtr": X[:, :, :0]}, ("series 0 is 0 steps long",)),
        ({"xtr": X[:, :1]}, ("test series have 2 channels, those to train on 1",)),
        ({"xtr": X.astype(str)}, ("expected numbers (N, channels, length)",)),
        ({"ytr": Y[:-1]}, ("train: 11 labels for 12 series",)),
        ({"ytr": Y + 1}, ("a label is 3, expected 0 to 2",)),
        ({"ytr": Y - 1}, ("a label is -1, expected 0 to 2",)),
        ({"ytr": Y * 0, "yte": Y[:6] * 0}, ("has 1 classes (only 'a')", "2 or more")),
        ({"ytr": np.minimum(Y, 1)}, ("no sample to train on of c (0)",)),
        ({"classes": None}, ("has no 'classes'",)),
    ],
)
def test_bad_files_are_explained(root, changes, words):
    text = refused(lambda: ucr(written(root, **changes), set="Waves"), *words)
    assert "Waves" in text


def test_one_sample_of_a_class_cannot_be_held_out(root):
    few = np.array([0] * 6 + [1] * 5 + [2])
    written(root, ytr=few)
    assert ucr(root, set="Waves").info.counts == (6, 5, 1)
    refused(lambda: ucr(root, set="Waves", validation=0.2), "fewer than 2 samples", "c (1)", "data.validation=0")


@pytest.mark.parametrize("share", [-0.1, 1.0])
def test_a_share_outside_is_named(root, share):
    refused(lambda: ucr(written(root), set="Waves", validation=share), "data.validation=", "expected a share from 0")


def test_what_is_no_archive_is_explained(root):
    path = root / "timeseries" / "Waves.npz"
    for content in (b"", b"<html>", b"PK\x03\x04 damaged"):
        path.write_bytes(content)
        refused(lambda: ucr(root, set="Waves"), str(path), "not an .npz file")
    np.savez(path, **{**GOOD, "classes": np.array([{}], dtype=object)})
    refused(lambda: ucr(root, set="Waves"), str(path), "not an .npz file of plain arrays")


def one(tmp_path, text, **options):
    path = tmp_path / "mine.ts"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return lambda: ts(tmp_path, path=str(path), **options)


def test_a_file_of_ones_own(tmp_path):
    x, y = np.tile(X, (3, 1, 1)), np.tile(Y, 3)
    data = one(tmp_path, as_ts(x, y))()
    sound(data)
    assert data.info.sizes == {"train": 24, "validation": 6, "test": 6}
    assert data.info.name == "mine"
    assert data.info.labels == ("a", "b", "c")


def test_a_file_of_ones_own_with_one_to_test(tmp_path):
    (tmp_path / "test.ts").write_text(as_ts(X[:6], Y[:6]))
    data = one(tmp_path, as_ts(X, Y), test_path=str(tmp_path / "test.ts"), validation=0.25)()
    sound(data)
    assert data.info.sizes == {"train": 9, "validation": 3, "test": 6}


def test_series_of_several_lengths_are_brought_to_one(tmp_path):
    text = "@data\n" + "".join(f"{','.join('12345'[: 3 + i % 3])}:{'ab'[i % 2]}\n" for i in range(20))
    refused(one(tmp_path, text), "3 to 5 steps long", "--set data.length=4")
    data = one(tmp_path, text, length=4)()
    assert data.train.inputs.shape[1:] == (1, 4)
    assert {tuple(row) for row in data.train.inputs[:, 0].astype(int).tolist()} == {(1, 2, 3, 3), (1, 2, 3, 4)}
    refused(one(tmp_path, text, length=1), "data.length=1: expected 2 or more")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("@data\n", ("has no series after its @data line",)),
        ("1,2:a\n", ("line 1: expected a header line",)),
        ("@problemName x\n", ("has no @data line",)),
        ("@data\n1,2:a\n1,x:b\n", ("line 3: could not convert string to float: 'x'",)),
        ("@data\n1,2\n", ("line 2: no label",)),
        ("@data\n1,2:1,2,3:a\n", ("line 2: channels of 2 and 3 steps",)),
        ("@data\n1,2:1,2:a\n1,2:b\n", ("series 1 has 1 channels, the first has 2",)),
        ("@data\n1,?:a\n1,2:b\n", ("series 0 has 1 values that are no numbers", "step 1")),
        ("@data\n:a\n1,2:b\n", ("series 0 is 0 steps long",)),
        ("@data\n1:a\n2:b\n", ("series 0 is 1 steps long",)),
        ("@timeStamps true\n@data\n", ("line 1: series with time stamps",)),
        ("@classLabel false\n@data\n", ("line 1: series without class labels",)),
        ("@targetLabel true\n@data\n", ("line 1: series without class labels",)),
        ("@classLabel true a b\n@data\n1,2:c\n", ("line 3: label 'c', the header states a, b",)),
        ("@data\n" + 4 * "1,2:a\n", ("has 1 classes (only 'a')",)),
        ("@data\n" + 40 * "1,2:a\n" + "1,2:b\n", ("too few samples to split", "b (1)")),
        (b"@data\n1,2:\xe4\n", ("line 2: byte 0xe4 at 10 is not UTF-8",)),
    ],
)
def test_bad_ts_files_are_named_with_the_line(tmp_path, text, words):
    text = refused(one(tmp_path, text), *words)
    assert str(tmp_path / "mine.ts") in text


def test_the_real_sets(real_data):
    sizes = {"GunPoint": (50, 150), "BasicMotions": (40, 40), "PickupGestureWiimoteZ": (50, 50)}
    for name, (train, test) in sizes.items():
        data = ucr(real_data, set=name)
        sound(data)
        assert (len(data.train), len(data.test)) == (train, test)
