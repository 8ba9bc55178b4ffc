import gzip
import shutil
import struct
import urllib.error
from pathlib import Path

import numpy as np
import pytest

from stages.data.mnist import mnist, read_idx
from stages.errors import DataError

IMAGES, LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"


@pytest.fixture
def root(generated_data, tmp_path):
    shutil.copytree(generated_data / "mnist", tmp_path / "mnist")
    return tmp_path


def idx(array):
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


def test_splits_and_what_they_mean(generated_data):
    data = mnist(generated_data, validation=50)
    assert data.info.sizes == {"train": 350, "validation": 50, "test": 100}
    assert [len(split) for split in (data.train, data.validation, data.test)] == [350, 50, 100]
    assert data.train.inputs.shape == (350, 28, 28, 1)
    assert data.train.inputs.dtype == np.uint8
    assert data.train.targets.dtype == np.int64
    assert data.info.labels == tuple("0123456789")
    assert data.info.sample_shape == ("height", "width", 1)


def test_validation_is_drawn_by_seed_and_keeps_the_order_of_the_file(generated_data):
    whole = mnist(generated_data, validation=0)
    assert len(whole.validation) == 0
    split = mnist(generated_data, validation=50)
    rows = [picture.tobytes() for picture in whole.train.inputs]
    kept = [rows.index(picture.tobytes()) for picture in split.train.inputs]
    held = [rows.index(picture.tobytes()) for picture in split.validation.inputs]
    assert kept == sorted(kept)
    assert sorted(kept + held) == list(range(400))
    assert mnist(generated_data, validation=50).info == split.info
    assert mnist(generated_data, validation=50, seed=1).info.digest != split.info.digest
    assert len({whole.info.digest, split.info.digest}) == 2


def test_plain_files_are_read_like_gzipped_ones(root):
    before = mnist(root, validation=0).info
    for path in sorted((root / "mnist").glob("*.gz")):
        path.with_suffix("").write_bytes(gzip.decompress(path.read_bytes()))
        path.unlink()
    assert mnist(root, validation=0).info == before


@pytest.mark.parametrize("validation", [-1, 400])
def test_a_validation_size_that_leaves_nothing_is_named(generated_data, validation):
    with pytest.raises(DataError, match=f"validation={validation}, expected 0 to 399"):
        mnist(generated_data, validation=validation)


def refused(path, content, dimensions, *words):
    path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        read_idx(path, dimensions=dimensions)
    text = str(caught.value)
    assert text.startswith(f"{path}: ")
    assert text.endswith("delete it and run again to fetch it")
    assert "\n" not in text
    for word in words:
        assert word in text


GOOD = idx(np.arange(24, dtype=np.uint8).reshape(2, 4, 3))


def test_an_idx_file_is_read(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(GOOD)
    array = read_idx(path, dimensions=3)
    assert np.array_equal(array, np.arange(24).reshape(2, 4, 3))
    assert array.flags.writeable


@pytest.mark.parametrize("compress", [bytes, gzip.compress], ids=["plain", "gzip"])
@pytest.mark.parametrize(
    ("content", "words"),
    [
        (GOOD[:-1], ("39 bytes, expected 40", "2 x 4 x 3")),
        (GOOD + b"x", ("41 bytes, expected 40",)),
        (GOOD[:10], ("10 bytes, expected a header of 16",)),
        (b"", ("begins with nothing, expected 00000803",)),
        (idx(np.zeros(5, np.uint8)), ("begins with 00000801, expected 00000803",)),
        (b"\0\0\x0d\3" + GOOD[4:], ("begins with 00000d03",)),
        (b"<html>", ("begins with 3c68746d",)),
        (struct.pack(">BBBBIII", 0, 0, 8, 3, 2**32 - 1, 2**32 - 1, 2**32 - 1), ("16 bytes, expected 79,",)),
    ],
    ids=["truncated", "too long", "header", "empty", "labels", "floats", "web page", "huge"],
)
def test_damaged_files_are_named_with_what_was_found(tmp_path, compress, content, words):
    refused(tmp_path / "file.gz", compress(content), 3, *words)


def test_damaged_gzip(tmp_path):
    whole = gzip.compress(GOOD * 100)
    refused(tmp_path / "file.gz", whole[:-9], 3, "damaged gzip file")
    refused(tmp_path / "file.gz", whole[:-5] + b"\0" + whole[-4:], 3, "damaged gzip file")
    refused(tmp_path / "file.gz", whole[:12] + b"\xff" * 9 + whole[21:], 3, "damaged gzip file")


def test_labels_that_do_not_fit_are_named(root):
    path = root / "mnist" / f"{LABELS}.gz"
    path.write_bytes(idx(np.zeros(399, np.uint8)))
    with pytest.raises(DataError, match="399 labels for the 400 pictures of train-images"):
        mnist(root)
    path.write_bytes(idx(np.full(400, 11, np.uint8)))
    with pytest.raises(DataError, match="a label is 11, expected 0 to 9"):
        mnist(root)


@pytest.fixture
def web(monkeypatch, generated_data):
    """Stand-ins for torchvision's mirrors: the first one always fails, the second one is a folder."""
    import hashlib

    from torchvision.datasets import MNIST, utils

    files = sorted((generated_data / "mnist").glob("*.gz"))
    monkeypatch.setattr(MNIST, "mirrors", ["https://broken.test/", "https://good.test/"])
    monkeypatch.setattr(MNIST, "resources", [(f.name, hashlib.md5(f.read_bytes()).hexdigest()) for f in files])

    fetched = []

    def retrieve(url, filename, chunk_size=0):
        fetched.append(url)
        if "broken" in url:
            raise urllib.error.URLError("no route")
        shutil.copy(generated_data / "mnist" / Path(url).name, filename)

    monkeypatch.setattr(utils, "_urlretrieve", retrieve)
    monkeypatch.setattr(utils, "_get_redirect_url", lambda url, max_hops: url)
    return fetched


def test_missing_files_are_fetched_once(web, generated_data, tmp_path):
    fetched = mnist(tmp_path, validation=0)
    assert fetched.info == mnist(generated_data, validation=0).info
    assert len([url for url in web if "good" in url]) == 4
    assert len(list((tmp_path / "mnist").iterdir())) == 4
    web.clear()
    mnist(tmp_path, validation=0)
    assert web == []


def test_a_download_that_is_not_what_it_should_be_is_not_kept(web, monkeypatch, tmp_path):
    from torchvision.datasets import MNIST

    monkeypatch.setattr(MNIST, "resources", [(name, "0" * 32) for name, _ in MNIST.resources])
    with pytest.raises(DataError, match="corrupted"):
        mnist(tmp_path)
    assert list((tmp_path / "mnist").iterdir()) == []


def test_without_network_the_error_says_where_to_put_files(web, monkeypatch, tmp_path):
    from torchvision.datasets import MNIST

    monkeypatch.setattr(MNIST, "mirrors", ["https://broken.test/"])
    with pytest.raises(DataError) as caught:
        mnist(tmp_path)
    text = str(caught.value)
    assert "\n" not in text
    assert "no route" in text
    assert (
        f"put {IMAGES}.gz, {LABELS}.gz, t10k-images-idx3-ubyte.gz, t10k-labels-idx1-ubyte.gz into {tmp_path / 'mnist'}"
        in text
    )
    assert list((tmp_path / "mnist").iterdir()) == []


def test_the_real_files(real_data):
    data = mnist(real_data, validation=0)
    assert data.info.sizes == {"train": 60_000, "validation": 0, "test": 10_000}
    assert data.train.inputs.mean() / 255 == pytest.approx(0.1307, abs=1e-4)
    assert data.train.targets[:5].tolist() == [5, 0, 4, 1, 9]
