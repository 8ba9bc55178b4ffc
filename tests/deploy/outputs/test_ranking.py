import dataclasses
import json

import numpy as np
import pytest

from deploy.bundle import Signature
from deploy.errors import UsageError
from deploy.outputs import output_kind
from deploy.outputs.ranking import Item, Ranking

FILMS = Signature("ranking", (), ("Alien", "Brazil", "Cube", "Dune"), {"ids": [3, 5, 8, 13]})


def read(*rows: tuple[list[int], list[float]]) -> list[Ranking]:
    arrays = {
        "items": np.array([items for items, _ in rows], np.int64),
        "scores": np.array([scores for _, scores in rows], np.float32),
        "all_scores": np.tile(np.array([0.5, 4.0, -1.0, 2.0], np.float32), (len(rows), 1)),
    }
    found = list(output_kind(FILMS).read(arrays, {}))
    for array in arrays.values():
        array[:] = 0  # as a session does that reuses its buffers
    return found  # type: ignore[return-value]


def test_items_have_their_titles() -> None:
    first, second = read(([5, 13], [4.0, 2.0]), ([13, 3], [2.0, 0.5]))
    assert first.items == (Item(5, "Brazil", 4.0), Item(13, "Dune", 2.0))
    assert [item.title for item in second.items] == ["Dune", "Alien"]


def test_lists_are_shorter_where_nothing_is_left() -> None:
    one, none = read(([3, 0], [0.5, 0.0]), ([0, 0], [0.0, 0.0]))
    assert [item.id for item in one.items] == [3]
    assert none.items == ()
    assert none.to_dict() == {"best": None, "items": []}


def test_items_of_ones_own_are_ranked() -> None:
    (result,) = read(([5, 13], [4.0, 2.0]))
    assert [item.id for item in result.rank([8, 3, 13])] == [13, 3, 8]
    assert result.rank([]) == ()
    with pytest.raises(UsageError, match="item 4 is not among the 4 that are known"):
        result.rank([3, 4])


def test_it_is_json_and_frozen() -> None:
    (result,) = read(([5, 13], [4.0, 2.0]))
    plain = json.loads(json.dumps(result.to_dict()))
    assert plain == {
        "best": "Brazil",
        "items": [{"id": 5, "title": "Brazil", "score": 4.0}, {"id": 13, "title": "Dune", "score": 2.0}],
    }
    with pytest.raises(dataclasses.FrozenInstanceError):
        result.items = ()  # type: ignore[misc]
    with pytest.raises(ValueError, match="read-only"):
        result.all_scores[0] = 1
