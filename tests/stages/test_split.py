import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.dataset import Split
from stages.split import digest, shares, stratified


@given(st.integers(0, 10_000), st.lists(st.floats(0.01, 1), min_size=1, max_size=4))
def test_shares_sum_to_the_count(count, weights):
    fractions = tuple(weight / sum(weights) for weight in weights)
    parts = shares(count, fractions)
    assert sum(parts) == count
    assert all(abs(part - count * fraction) <= 1 for part, fraction in zip(parts, fractions, strict=True))


@given(st.lists(st.integers(0, 3), min_size=1, max_size=60), st.integers(0, 5))
def test_a_stratified_split_shares_out_every_row_once(labels, seed):
    targets = np.array(labels)
    fractions = (0.6, 0.1, 0.3)
    parts = stratified(targets, fractions, seed)
    assert sorted(np.concatenate(parts).tolist()) == list(range(len(targets)))
    for part in parts:
        assert np.array_equal(part, np.sort(part))
    for label in np.unique(targets):
        counts = tuple(int((targets[part] == label).sum()) for part in parts)
        assert counts == shares(int((targets == label).sum()), fractions)


def test_a_split_is_a_function_of_its_seed():
    targets = np.repeat(np.arange(3), 50)
    first, again, other = (stratified(targets, (0.5, 0.5), seed)[0] for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


INPUTS, TARGETS = np.arange(24, dtype=np.uint8).reshape(4, 3, 2), np.arange(4)


@pytest.mark.parametrize(
    "other",
    [
        Split(INPUTS[::-1], TARGETS),
        Split(INPUTS, TARGETS[::-1]),
        Split(INPUTS.reshape(4, 2, 3), TARGETS),
        Split(INPUTS.astype(np.int8), TARGETS),
        Split(INPUTS[:3], TARGETS[:3]),
    ],
    ids=["order", "targets", "shape", "dtype", "fewer"],
)
def test_a_digest_changes_with_everything_that_matters(other):
    assert digest(Split(INPUTS, TARGETS)) == digest(Split(INPUTS.copy(), TARGETS.copy()))
    assert digest(other) != digest(Split(INPUTS, TARGETS))


def test_a_digest_tells_one_split_from_two():
    whole, first, second = Split(INPUTS, TARGETS), Split(INPUTS[:2], TARGETS[:2]), Split(INPUTS[2:], TARGETS[2:])
    assert len({digest(whole), digest(first, second), digest(second, first)}) == 3


def test_a_digest_of_ragged_samples():
    samples = [np.zeros((2, 3), np.uint8), np.ones((1, 3), np.uint8)]
    assert digest(Split(samples, TARGETS[:2])) != digest(Split(samples[::-1], TARGETS[:2]))
