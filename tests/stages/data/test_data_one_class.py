"""One class against the rest: digits, series and pictures, on miniatures."""

import numpy as np
import pytest
from PIL import Image

from stages import discover
from stages.recipe import use
from tests.stages.data.kit import refused, sound


def read(root, name, **options):
    return discover.call("data", use(name, **options), root)


@pytest.mark.parametrize("normal", [0, 7])
def test_a_digit_is_normal_and_all_others_are_tested_on_only(generated_data, normal):
    data = read(generated_data, "one_class_digits", normal=normal, validation=100)
    sound(data)
    assert data.info.labels == (str(normal), "other")
    assert not data.train.targets.any()
    assert not data.validation.targets.any()
    whole = read(generated_data, "mnist", validation=100)
    assert np.array_equal(data.train.inputs, whole.train.inputs[whole.train.targets == normal])
    assert np.array_equal(data.test.targets, whole.test.targets != normal)


def test_digits_that_are_none_or_too_few_are_refused(generated_data):
    refused(lambda: read(generated_data, "one_class_digits", normal=10), "normal=10", "data.normal")
    refused(lambda: read(generated_data, "one_class_digits", validation=0), "0 pictures of 3", "data.validation")


def test_a_class_of_series_is_shared_out_and_all_others_are_tested_on(generated_data):
    data = read(generated_data, "one_class_series", set="ItalyPowerDemand", normal="1")
    sound(data)
    assert data.info.labels == ("1", "other")
    assert data.info.sizes == {"train": 32, "validation": 13, "test": 19 + 64}
    assert not data.train.targets.any()
    assert data.test.targets.sum() == 64
    other = read(generated_data, "one_class_series", set="ItalyPowerDemand", normal="1", seed=1)
    assert other.info.digest != data.info.digest


def test_series_of_an_unknown_class_or_too_few_are_refused(generated_data):
    def ask(**options):
        return lambda: read(generated_data, "one_class_series", set="GunPoint", **options)

    refused(ask(normal="gun"), "no class 'gun'", "expected one of 0, 1", "data.normal")
    refused(ask(normal="1", validation=0.0), "64 series", "data.validation")
    refused(ask(normal="1", test=0.99), "data.test")


@pytest.mark.parametrize("sizes", [(20, 20), (20, 31)])
def test_a_folder_of_pictures_is_normal_and_its_neighbours_are_kinds_of_anomalies(tmp_path, sizes):
    for label, light in (("crack", 10), ("good", 120), ("stain", 250)):
        (tmp_path / label).mkdir()
        for number in range(10):
            pixels = np.full((16, sizes[number % 2], 3), light + number % 5, np.uint8)
            Image.fromarray(pixels).save(tmp_path / label / f"{number}.png")
    data = read(tmp_path, "one_class_folder", path=str(tmp_path), normal="good")
    sound(data)
    assert data.info.labels == ("good", "crack", "stain")
    assert data.info.sizes == {"train": 6, "validation": 2, "test": 22}
    assert np.bincount(data.test.targets).tolist() == [2, 10, 10]
    for split in (data.train, data.validation, data.test):
        lights = [int(np.asarray(sample).mean()) // 100 for sample in split.inputs]
        assert lights == [{0: 1, 1: 0, 2: 2}[target] for target in split.targets.tolist()]
    other = read(tmp_path, "one_class_folder", path=str(tmp_path), normal="crack")
    assert other.info.digest != data.info.digest
    refused(
        lambda: read(tmp_path, "one_class_folder", path=str(tmp_path), normal="fine"),
        "no sub-folder 'fine'", "expected one of crack, good, stain",
    )  # fmt: skip
