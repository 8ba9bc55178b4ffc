"""Laws of the noise ratio."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.verify.noise import FLOOR, Pool, bins, ulp_distance, ulp_histogram


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


FLOAT32 = st.floats(width=32, allow_nan=False)


@given(FLOAT32, FLOAT32)
def test_ulp_distance_is_a_distance(first: float, second: float) -> None:
    one, other = np.float32([first]), np.float32([second])
    distance = ulp_distance(one, other.astype(np.float64))[0]
    assert distance == ulp_distance(other, one.astype(np.float64))[0]
    assert (distance == 0) == (first == second)


@given(FLOAT32, st.integers(0, 50))
def test_ulp_distance_counts_the_values_in_between(start: float, steps: int) -> None:
    value = np.float32(start)
    for _ in range(steps):
        value = np.nextafter(value, np.float32(np.inf))
    reached = min(steps, ulp_distance(np.float32([np.inf]), np.array([start]))[0])
    assert ulp_distance(np.array([value]), np.array([start], np.float64))[0] == reached


def test_ulp_distance_across_zero_and_beyond_the_largest() -> None:
    tiny = np.float32([1e-45])
    assert ulp_distance(tiny, -tiny.astype(np.float64)).tolist() == [2]
    assert ulp_distance(np.float32([0.0]), np.array([-0.0])).tolist() == [0]
    assert ulp_distance(np.float32([3.4028235e38]), np.array([1e39])).tolist() == [1]
    assert ulp_distance(np.float32([1.0]), np.array([1 + 2.0**-26])).tolist() == [0]


@given(st.integers(0, 2**31))
def test_every_distance_falls_into_the_bin_that_begins_at_or_below_it(distance: int) -> None:
    truth = np.int32([-(2**30)]).view(np.float32)  # -2, by its bits
    bits = np.clip(distance - 2**30, -(2**30), 2**30)
    values = np.array([bits], np.int32).view(np.float32)
    exact = int(ulp_distance(values, truth.astype(np.float64))[0])
    ((least, count),) = bins(ulp_histogram(values, truth.astype(np.float64)))
    assert count == 1
    assert least <= exact < max(2 * least, 1)


@given(st.integers(1, 499))
def test_all_figures_pool_in_parts(cut: int) -> None:
    generator = np.random.default_rng(2)
    truth = generator.normal(size=500)
    found, rounded = (truth + generator.normal(0, 1e-6, (2, 500))).astype(np.float32)
    whole, first, second = Pool(), Pool(), Pool()
    whole.add(found, rounded, truth)
    first.add(found[:cut], rounded[:cut], truth[:cut])
    second.add(found[cut:], rounded[cut:], truth[cut:])
    first.merge(second)
    assert first.figures() == {k: v if isinstance(v, list) else pytest.approx(v) for k, v in whole.figures().items()}
    assert sum(count for _, count in first.figures()["ulps"]) == 500


def test_one_wrong_row_in_ten_thousand_is_seen_by_the_largest_error_only() -> None:
    generator = np.random.default_rng(0)
    truth = generator.normal(size=(10_000, 10))
    found, rounded = truth + generator.normal(0, 1e-6, (2, 10_000, 10))
    found[17, 3] += 1e-3
    pooled = Pool()
    pooled.add(found, rounded, truth)
    assert pooled.ratio() < 8 < pooled.worst_ratio()


@given(st.floats(0.1, 10))
def test_cosine_does_not_depend_on_scale_and_sees_direction(scale: float) -> None:
    truth = np.random.default_rng(0).normal(size=1000)
    same, turned = Pool(), Pool()
    same.add(truth * scale, truth, truth)
    turned.add(truth[::-1] * scale, truth, truth)
    assert same.cosine() == pytest.approx(1)
    assert abs(turned.cosine()) < 0.2


def test_infinities_that_agree_do_not_differ() -> None:
    truth = np.array([1.0, np.inf, -np.inf, np.nan])
    agreed, opposed = Pool(), Pool()
    agreed.add(truth.astype(np.float32), truth, truth)
    opposed.add(-truth, truth, truth)
    assert agreed.ratio() == agreed.worst_ratio() == 0
    assert opposed.worst == np.inf or math.isnan(opposed.worst)
    assert not opposed.ratio() <= 8


def test_a_twin_that_overflows_is_no_yardstick() -> None:
    broken = Pool()
    broken.add(np.array([5.0]), np.array([np.inf]), np.array([1.0]))
    assert not broken.ratio() <= 8
    assert not broken.worst_ratio() <= 8
    assert broken.figures()["rms_yardstick"] is None
