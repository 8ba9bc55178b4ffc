"""The named sets: on made-up files of their form, and on the real ones where they lie."""

import gzip

import numpy as np
import pytest

from stages import discover
from stages.recipe import use
from tests import miniatures
from tests.stages.data.kit import refused, sound

SETS = {
    "reviews": ("text/rotten_tomatoes_corpus_full.csv.bz2", {"train": 77, "validation": 10, "test": 9}),
    "reviews_zh": ("text/zh_reviews_neg.txt.gz", {"train": 64, "validation": 8, "test": 8}),
    "landsat": ("landsat/satellite_landsat_6435x4x3x3.npz", {"test": 2000}),
    "hand_signs": ("emoji/emoji_32x32_rgb.npz", {"train": 215, "validation": 43, "test": 258}),
    "brain_lobes": ("volumes/ch2_aal_2mm.npz", {"train": 2100, "validation": 1050, "test": 1050}),
}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("miniatures")
    miniatures.write_all(folder)
    return folder


def read(root, name, **options):
    return discover.call("data", use(name, **options), root)


@pytest.mark.parametrize("name", SETS)
def test_sets_are_sound_and_split_by_seed(root, name):
    data, again, other = (read(root, name, seed=seed) for seed in (0, 0, 1))
    sound(data)
    assert data.info == again.info
    assert data.info.digest != other.info.digest
    for split, size in SETS[name][1].items():
        assert abs(data.info.sizes[split] - size) <= 1, data.info.sizes


@pytest.mark.parametrize("name", SETS)
def test_missing_files_are_named_with_what_to_do(tmp_path, name):
    refused(lambda: read(tmp_path, name), f"{tmp_path / SETS[name][0]}: missing", "--data-root")


def texts(split):
    return ["".join(map(chr, row)).rstrip("\0") for row in split.inputs]


def test_plots_repetitions_and_undecided_reviews_are_left_out(root):
    data = read(root, "reviews")
    everything = [text for split in (data.train, data.validation, data.test) for text in texts(split)]
    assert len(everything) == len(set(everything)) == 96
    assert "Undecided." not in everything
    for text, target in zip(texts(data.train), data.train.targets, strict=True):
        assert data.info.labels[target] == ("fresh" if any(f"is {w}," in text for w in miniatures._GOOD) else "rotten")


def test_chinese_reviews_are_taken_once_and_labelled_by_their_file(root):
    data = read(root, "reviews_zh")
    everything = [text for split in (data.train, data.validation, data.test) for text in texts(split)]
    assert len(everything) == len(set(everything)) == 80
    for text, target in zip(texts(data.test), data.test.targets, strict=True):
        assert data.info.labels[target] == ("positive" if text[-2] in "好棒快美" else "negative")


def test_text_that_is_not_utf8_is_named_with_its_line(root, tmp_path):
    (tmp_path / "text").mkdir()
    for name in ("pos", "neg"):
        lines = "好\n坏".encode("gbk" if name == "pos" else "utf-8")
        (tmp_path / "text" / f"zh_reviews_{name}.txt.gz").write_bytes(gzip.compress(lines))
    refused(lambda: read(tmp_path, "reviews_zh"), "zh_reviews_pos.txt.gz, line 1: byte 0xba at 0 is not UTF-8")


def test_the_landsat_test_rows_are_the_same_for_every_seed(root):
    first, second = (read(root, "landsat", seed=seed) for seed in (0, 1))
    assert np.array_equal(first.test.inputs, second.test.inputs)
    assert first.info.sizes["train"] + first.info.sizes["validation"] == 4435
    everything = np.concatenate([first.train.targets, first.validation.targets, first.test.targets])
    shares = np.bincount(everything) * 2000 / 6435
    assert np.abs(np.bincount(first.test.targets) - shares).max() < 1


def test_signs_are_tested_on_the_other_vendors_drawings(root):
    first, second = (read(root, "hand_signs", test_vendor=vendor) for vendor in (1, 0))
    assert first.info.sizes == second.info.sizes
    drawn = {picture.tobytes() for split in (first.train, first.validation) for picture in split.inputs}
    assert drawn == {picture.tobytes() for picture in second.test.inputs}
    whole = read(root, "hand_signs", validation_tones=0)
    assert whole.info.sizes == {"train": 258, "validation": 0, "test": 258}
    refused(lambda: read(root, "hand_signs", test_vendor=2), "test_vendor=2", "expected 0 or 1")
    refused(lambda: read(root, "hand_signs", validation_tones=6), "validation_tones=6", "0 to 5")


def test_a_sign_that_is_missing_is_named(root, tmp_path):
    arrays = dict(np.load(root / "emoji" / "emoji_32x32_rgb.npz"))
    arrays["name"][arrays["name"] == "fist"] = "fistula"
    (tmp_path / "emoji").mkdir()
    np.savez(tmp_path / "emoji" / "emoji_32x32_rgb.npz", **arrays)
    refused(lambda: read(tmp_path, "hand_signs"), "has not 12 pictures of 'fist'")


def test_lobes_of_one_brain_to_train_and_of_another_to_test(root):
    data = read(root, "brain_lobes", size=4, train_per_lobe=20, test_per_lobe=10)
    sound(data)
    assert data.info.sizes == {"train": 140, "validation": 70, "test": 70}
    for split in (data.train, data.validation, data.test):  # a region is the brighter, the higher its number
        middles = split.inputs[:, 2, 2, 2]
        brightness = {name: middles[split.targets == label] for label, name in enumerate(data.info.labels)}
        rising = [np.median(brightness[name]) for name in ("frontal", "limbic", "occipital", "parietal", "cerebellum")]
        assert rising == sorted(set(rising))
        assert rising[0] < np.median(brightness["deep nuclei"]) < rising[-1]
        assert np.ptp(brightness["temporal"]) > np.ptp(brightness["occipital"])
    assert abs(float(data.train.inputs.mean()) - float(data.test.inputs.mean())) < 20
    refused(lambda: read(root, "brain_lobes", size=3), "size=3, expected 4 or more")


@pytest.mark.parametrize(
    ("name", "sizes"),
    [
        ("reviews", {"train": 10201, "validation": 1276, "test": 1275}),
        ("reviews_zh", {"train": 13891, "validation": 1736, "test": 1736}),
        ("landsat", {"train": 3991, "validation": 444, "test": 2000}),
        ("hand_signs", {"train": 215, "validation": 43, "test": 258}),
        ("brain_lobes", {"train": 2100, "validation": 1050, "test": 1050}),
    ],
)
def test_the_real_files(real_data, name, sizes):
    data = read(real_data, name)
    sound(data)
    assert data.info.sizes == sizes
