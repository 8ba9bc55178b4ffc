import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.dataset import Split
from stages.errors import DataError
from stages.split import checked_split, dataset, digest, held_out, require_classes, shares, stratified


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


@given(st.lists(st.integers(0, 2), min_size=1, max_size=60), st.floats(0.01, 0.9), st.integers(0, 3))
def test_rows_held_out_are_of_every_class_and_leave_one_of_each(labels, share, seed):
    targets = np.array([*labels, 0, 0, 1, 1, 2, 2])
    rows, held = held_out("here", targets, ("a", "b", "c"), share, seed)
    assert sorted([*rows.tolist(), *held.tolist()]) == list(range(len(targets)))
    assert set(targets[rows].tolist()) == set(targets[held].tolist()) == {0, 1, 2}
    for label, count in enumerate(np.bincount(targets)):
        assert abs(int((targets[held] == label).sum()) - count * share) <= 1


def test_none_are_held_out_where_none_are_asked_for():
    rows, held = held_out("here", np.array([0, 1]), ("a", "b"), 0.0, 0)
    assert rows.tolist() == [0, 1]
    assert held.tolist() == []


@pytest.mark.parametrize(
    ("targets", "words"),
    [
        ([0, 1, 2, 3], "here: a label is 3, expected 0 to 2"),
        ([0, 1, -1], "here: a label is -1, expected 0 to 2"),
        ([1, 1], r"here: has 1 classes \(only 'b'\)"),
        ([], r"here: has 0 classes \(none\)"),
        ([0, 0, 1], r"here: no sample to train on of c \(0\)"),
    ],
)
def test_targets_that_make_no_classifier_are_named(targets, words):
    with pytest.raises(DataError, match=words):
        require_classes("here", np.array(targets, dtype=np.int64), ("a", "b", "c"))


def test_a_checked_split_gives_every_part_rows_of_every_class_or_says_what_is_missing():
    targets = np.repeat([0, 1], [40, 9])
    for part in checked_split("here", targets, ("a", "b"), 0.1, 0.2, 0):
        assert set(targets[part].tolist()) == {0, 1}
    with pytest.raises(DataError, match=r"here: too few songs to split .* in 1 of 2 classes: b \(3\); each needs 9"):
        checked_split("here", np.repeat([0, 1], [40, 3]), ("a", "b"), 0.1, 0.2, 0, unit="songs")


def test_a_dataset_counts_its_rows():
    parts = (Split(np.zeros((3, 2)), np.array([0, 2, 2])), Split(np.zeros((0, 2)), np.array([], np.int64)),
             Split(np.zeros((1, 2)), np.array([1])))  # fmt: skip
    info = dataset("set", (2,), ("a", "b", "c"), "free", parts, skipped=4).info
    assert info.sizes == {"train": 3, "validation": 0, "test": 1}
    assert info.counts == (1, 0, 2)
    assert info.skipped == 4
    assert info.digest == digest(*parts)


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
