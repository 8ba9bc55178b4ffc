"""One class against the rest: digits and series, on miniatures."""

import numpy as np
import pytest

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
