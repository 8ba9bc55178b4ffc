import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.errors import TrainingError
from stages.tasks.anomaly.memory import Memory, coreset, stacked, to_nearest, whitening


def rows(count: int, features: int = 6, seed: int = 0) -> torch.Tensor:
    return torch.randn(count, features, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 8), st.integers(0, 99))
def test_the_distance_is_that_to_the_nearest(count: int, remembered: int, features: int, seed: int) -> None:
    a, b = rows(count, features, seed), rows(remembered, features, seed + 1)
    assert to_nearest(a, b) == pytest.approx(torch.cdist(a, b).amin(dim=1), abs=1e-12)


def test_small_distances_between_large_numbers_keep_their_digits() -> None:
    memory = (100 + 2 * rows(50)).float()
    asked = memory + 1e-2 * rows(50, seed=1).float()
    exact = to_nearest(asked.double(), memory.double())
    error = (to_nearest(asked, memory).double() - exact).abs().max() / exact.mean()
    product = asked.square().sum(1)[:, None] - 2 * asked @ memory.T + memory.square().sum(1)
    naive = (product.amin(dim=1).clamp_min(0).sqrt().double() - exact).abs().max() / exact.mean()
    assert error < 1e-3  # of the inputs: a float32 near 100 is within 4e-6
    assert naive > 100 * error  # what a product alone would give


def test_what_is_remembered_is_at_distance_0() -> None:
    memory = rows(20).float()
    assert not to_nearest(memory, memory).any()


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 60), st.integers(1, 20), st.integers(0, 99))
def test_a_coreset_covers_at_most_twice_as_badly_as_any_other_choice(count: int, size: int, seed: int) -> None:
    points = rows(count, 2, seed)
    chosen = coreset(points, size)
    assert chosen.shape == (size, 2)
    radius = to_nearest(points, chosen).max()
    if size >= count:
        assert not radius
    else:  # chosen points, and the one that is left worst, are this far from each other: no better cover has half of it
        apart = torch.cdist(chosen, chosen).fill_diagonal_(math.inf)
        assert apart.min() >= radius - 1e-12


def test_whitened_rows_have_unit_variance_where_there_is_some() -> None:
    spread = torch.tensor([100.0, 10.0, 1e-9], dtype=torch.float64)
    centred = (rows(5000, 3) * spread) @ torch.linalg.qr(rows(3, 3)).Q
    centred = centred - centred.mean(dim=0)
    variances = torch.linalg.eigvalsh((centred @ whitening(centred)).T.cov())
    assert variances.max() == pytest.approx(1, abs=0.1)
    assert variances.min() < 1e-6  # rounding is not blown up


def pyramid(seed: int, height: int = 17, width: int = 9) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(seed)
    sizes = ((1, height, width), (3, -(-height // 4), -(-width // 4)), (2, -(-height // 8), -(-width // 8)))
    return tuple(torch.randn(5, *size, generator=generator) for size in sizes)


def test_maps_are_stacked_as_the_finest_one() -> None:
    assert stacked(pyramid(0)).shape == (5, 5, 5, 3)


def test_distances_are_as_large_as_the_picture_and_sizes_as_the_map() -> None:
    memory = Memory(5, vectors=8, window=3)
    assert memory(pyramid(0)).shape == (5, 5, 3)
    memory.fit([pyramid(0), pyramid(1)])
    memory.eval()
    assert memory(pyramid(0)).shape == (5, 17, 9)
    assert memory(pyramid(0, 1, 1)).shape == (5, 1, 1)


def test_far_features_are_further_than_remembered_ones() -> None:
    memory = Memory(5, vectors=75, window=1).eval()
    memory.fit([pyramid(0)])
    assert memory(pyramid(0)).max() < 1e-3
    far = tuple(part + 20 for part in pyramid(0))
    assert memory(far).min() > 5


def test_the_memory_is_the_same_each_time_and_in_its_state() -> None:
    one, other = Memory(5, vectors=8, window=1), Memory(5, vectors=8, window=1)
    for memory in (one, other):
        memory.fit([pyramid(0)])
    assert torch.equal(one.memory, other.memory)
    again = Memory(5, vectors=8, window=1)
    again.load_state_dict(one.state_dict())
    assert torch.equal(again.eval()(pyramid(2)), one.eval()(pyramid(2)))


def test_features_that_are_all_alike_can_be_remembered() -> None:
    memory = Memory(5, vectors=8, window=1).eval()
    alike = tuple(torch.ones_like(part) for part in pyramid(0))
    memory.fit([alike])
    assert not memory(alike).any()
    assert memory(pyramid(0)).isfinite().all()


def test_features_that_are_not_finite_are_refused() -> None:
    with pytest.raises(TrainingError, match="lower train"):
        Memory(5, vectors=8, window=1).fit([tuple(part * np.inf for part in pyramid(0))])
