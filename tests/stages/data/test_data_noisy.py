import numpy as np
import pytest

from stages.data.noisy_digits import noisy_digits
from stages.data.noisy_slices import noisy_slices
from stages.data.read.low_dose import low_dose
from stages.errors import DataError


def test_noise_is_poisson_s_and_normal_and_unbiased() -> None:
    generator = np.random.default_rng(0)
    for level, photons, sigma in ((100, 20.0, 0.0), (100, 20.0, 10.0), (120, 1e6, 15.0)):
        noisy = low_dose(np.full((200, 200), level, np.uint8), photons, sigma, generator).astype(float)
        assert noisy.mean() == pytest.approx(level, abs=1)
        expected = np.sqrt(level * 255 / photons + sigma**2)
        assert noisy.std() == pytest.approx(expected, rel=0.05)
    with pytest.raises(DataError, match="photons=0, sigma=1"):
        low_dose(np.zeros(3, np.uint8), 0, 1, generator)


def test_digits_come_with_their_clean_pictures(generated_data) -> None:
    data = noisy_digits(generated_data, train=30, validation=20, test=10)
    assert [len(part) for part in (data.train, data.validation, data.test)] == [30, 20, 10]
    assert data.test.targets.shape == (10, 2, 28, 28, 1)
    assert np.array_equal(data.test.targets[:, 1], data.test.inputs)
    assert not np.array_equal(data.test.targets[:, 0], data.test.inputs)
    again = noisy_digits(generated_data, train=30, validation=20, test=10)
    other = noisy_digits(generated_data, train=30, validation=20, test=10, seed=1)
    assert again.info.digest == data.info.digest != other.info.digest


def test_slices_are_patches_of_one_brain_and_whole_ones_of_another(generated_data) -> None:
    data = noisy_slices(generated_data, patch=8, patches=12)
    assert data.train.inputs.shape == (12, 8, 8, 1)
    assert data.test.inputs.shape[1:] == (66, 28, 1)
    assert np.array_equal(data.train.targets[:, 1], data.train.inputs)
    with pytest.raises(DataError, match="patch=999"):
        noisy_slices(generated_data, patch=999)
