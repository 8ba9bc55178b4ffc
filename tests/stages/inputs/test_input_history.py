"""Ids to places, inside the graph."""

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from deploy.errors import UsageError
from stages.dataset import DataInfo
from stages.inputs.history import NONE, Places, history

LAST = 2**31 - 1
INFO = DataInfo("d", ("ids",), ("a", "b", "c"), "0" * 64, "none", ids={"users": (3, 9), "items": (2, 40, LAST)})


@given(st.sets(st.integers(1, LAST), min_size=1, max_size=70), st.lists(st.integers(-5, LAST), max_size=20))
def test_places_are_counted_from_1_and_all_others_have_none(known: set[int], others: list[int]) -> None:
    ids = tuple(sorted(known))
    asked = [*ids, *others, 0]
    found = Places(ids)(torch.tensor([asked]))
    expected = {number: place for place, number in enumerate(ids, 1)}
    assert found.tolist() == [[expected.get(number, NONE) for number in asked]]


def test_a_history_is_looked_up() -> None:
    pre = history(INFO)
    assert pre.preprocessed_shape == ("ids", 2, 3)
    rows = torch.tensor([[9, 0, 40, 2], [4, 5, 41, LAST]], dtype=torch.int32)
    assert pre(rows).tolist() == [[2, 0, 0, 2, 1], [0, 0, 0, 0, 3]]
    assert pre(rows[:, :1]).tolist() == [[2, 0], [0, 0]]


def test_edges_and_other_forms_are_histories() -> None:
    pre = history(INFO)
    like = np.array([[9, 0, 0, 2], [3, 40, 2, 40]], np.int32)
    cases = dict(pre.cases(like)) | {"without a history": next(iter(pre.cases(like[:, :1])))[1]}
    assert len(cases) > 5
    assert all(rows.dtype == np.int32 and rows.ndim == 2 and rows.shape[1] >= 2 for rows in cases.values())
    assert sorted(cases["all items"][0, 1:].tolist()) == [2, 40, LAST]
    for _, rows in pre.restated(like):
        shorter = pre(torch.from_numpy(rows))[:, -3:]
        assert torch.equal(shorter, pre(torch.from_numpy(like))[:, -3:])
        assert rows[:, 0].tolist() == [9, 3]


def test_data_without_users_is_refused() -> None:
    with pytest.raises(UsageError, match="names no users and items"):
        history(dataclasses.replace(INFO, ids={}))
