"""Search without gradients, on scores that are known."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deploy.bundle import Signature, TensorSpec
from stages.dataset import Array
from stages.verify.hunt.evolve import evolve
from stages.verify.hunt.found import neighbours
from stages.verify.reference import Feeds

WHOLE = TensorSpec("x", "uint8", ("batch", 6, 5), (10.0, 200.0))
REAL = TensorSpec("x", "float32", ("batch", 30), (-1.0, 1.0))
SCALAR = TensorSpec("x", "float32", ("batch",), None)


def total(feeds: Feeds) -> Array:
    return feeds["x"].astype(np.float64).reshape(len(feeds["x"]), -1).sum(1)


@pytest.mark.parametrize("spec", [WHOLE, REAL], ids=lambda s: s.dtype)
@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), rows=st.integers(1, 5))
def test_scores_rise_within_range_and_dtype(spec: TensorSpec, seed: int, rows: int) -> None:
    generator = np.random.default_rng(seed)
    low, high = spec.range or (0, 1)
    start = generator.uniform(low, high, (rows, *spec.shape[1:])).astype(spec.dtype)
    found, before, after, steps = evolve(total, {"x": start}, Signature("x", (spec,)), range(30), generator)
    assert found["x"].dtype == start.dtype
    assert low <= found["x"].min() <= found["x"].max() <= high
    assert (after > before).all()
    assert np.array_equal(total(found), after)
    assert steps == 30


def test_a_long_search_comes_near_the_top() -> None:
    start = np.full((4, 6, 5), 100, np.uint8)
    generator = np.random.default_rng(0)
    _, _, after, _ = evolve(total, {"x": start}, Signature("x", (WHOLE,)), range(300), generator)
    assert after.min() > 0.9 * 200 * 30


def test_inputs_without_axes_and_without_range() -> None:
    start = {"x": np.linspace(0, 1, 5, dtype=np.float32)}
    found, before, after, _ = evolve(total, start, Signature("x", (SCALAR,)), range(50), np.random.default_rng(0))
    assert (after >= before).all()
    assert found["x"].max() <= 1


def test_neighbours_are_a_hair_away_and_the_row_comes_first() -> None:
    rows = np.random.default_rng(0).integers(10, 201, (3, 6, 5)).astype(np.uint8)
    crowd = neighbours({"x": rows}, Signature("x", (WHOLE,)), 4, np.random.default_rng(0))["x"]
    assert np.array_equal(crowd[::5], rows)
    apart = np.abs(crowd.reshape(3, 5, 6, 5).astype(int) - rows[:, None])
    assert apart.max() == 1
    assert (apart[:, 1:].reshape(12, -1).max(1) == 1).all()
