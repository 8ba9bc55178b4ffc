"""Laws of the noise ratio."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.verify.noise import FLOOR, Pool


def pool(scale: float, error: float, noise: float, rows: int = 500) -> Pool:
    generator = np.random.default_rng(0)
    truth = generator.normal(0, scale, rows)
    made = Pool()
    made.add(truth + generator.normal(0, error, rows), truth + generator.normal(0, noise, rows), truth)
    return made


@given(st.floats(1e-6, 1e6))
def test_the_ratio_does_not_depend_on_the_scale_of_the_output(scale: float) -> None:
    assert pool(scale, 3e-6 * scale, 1e-6 * scale).ratio() == pytest.approx(pool(1, 3e-6, 1e-6).ratio(), rel=1e-3)


@given(st.integers(1, 499))
def test_pooling_in_parts_equals_pooling_at_once(cut: int) -> None:
    generator = np.random.default_rng(1)
    found, rounded, truth = generator.normal(size=(3, 500))
    whole, first, second = Pool(), Pool(), Pool()
    whole.add(found, rounded, truth)
    first.add(found[:cut], rounded[:cut], truth[:cut])
    second.add(found[cut:], rounded[cut:], truth[cut:])
    first.merge(second)
    assert first.ratio() == pytest.approx(whole.ratio(), rel=1e-12)
    assert (first.count, first.worst) == (whole.count, whole.worst)


def test_noise_is_never_below_what_float32_can_hold() -> None:
    truth = np.array([1.0, 2.0, 3.0])
    exact = Pool()
    exact.add(truth, truth, truth)
    assert exact.rms_noise() == pytest.approx(FLOOR * math.sqrt((1 + 4 + 9) / 3))
    assert exact.ratio() == 0


def test_the_floor_is_the_rounding_of_float32_itself() -> None:
    truth = np.random.default_rng(0).uniform(1, 2, 100_000)
    rounding = np.sqrt(np.square(truth.astype(np.float32) - truth).mean())
    assert rounding <= FLOOR * np.sqrt(np.square(truth).mean()) * 1.01


def test_a_quiet_group_is_judged_by_the_noise_of_the_pool() -> None:
    quiet = pool(1, 1e-6, 1e-9)
    assert quiet.ratio() > 8
    assert quiet.ratio(least_noise=1e-6) == pytest.approx(1, rel=0.2)


def test_nan_never_passes() -> None:
    broken = Pool()
    broken.add(np.array([np.nan, 1.0]), np.array([1.0, 1.0]), np.array([1.0, 1.0]))
    assert not broken.ratio() <= 8


def test_all_zero_outputs() -> None:
    zeros = Pool()
    zeros.add(np.zeros(5), np.zeros(5), np.zeros(5))
    assert zeros.ratio() == 0
    wrong = Pool()
    wrong.add(np.full(5, 1e-30), np.zeros(5), np.zeros(5))
    assert wrong.ratio() == math.inf
