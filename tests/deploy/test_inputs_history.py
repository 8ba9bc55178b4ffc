"""Who asks and what was taken last, as objects, JSON and numbers, to ids."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.bundle import Signature, TensorSpec
from deploy.errors import InputError, NotFoundError, TooLargeError
from deploy.inputs import input_kind
from deploy.inputs.history import MAX_RECENT

LAST = 2**31 - 1
KIND = input_kind(Signature("history", (TensorSpec("history", "int32", ("batch", "ids"), (0.0, float(LAST)), "id"),)))
IDS = st.integers(1, LAST)
OBJECTS = st.fixed_dictionaries({}, optional={"user": st.integers(0, LAST), "recent": st.lists(IDS, max_size=40)})


def ids(payload: object) -> list[list[int]]:
    """What stands in the rows, without the padding in front of the items."""
    rows = KIND.arrays(payload)["history"]
    return [[int(row[0]), *row[1:][np.cumsum(row[1:]) > 0].tolist()] for row in rows.astype(np.int64)]


@given(st.lists(OBJECTS, min_size=1, max_size=4))
def test_objects_become_the_user_and_the_items_behind_padding(objects: list[dict[str, object]]) -> None:
    arrays = KIND.arrays(objects)
    assert arrays["history"].dtype == np.int32
    assert KIND.check(arrays) == len(objects)
    assert KIND.is_batch(objects)
    assert ids(objects) == [[one.get("user", 0), *one.get("recent", [])] for one in objects]  # type: ignore[misc]


@given(OBJECTS)
def test_json_is_the_object_that_it_holds(one: dict[str, object]) -> None:
    text = json.dumps(one)
    for payload in (one, text, text.encode(), bytearray(text.encode()), memoryview(text.encode())):
        assert not KIND.is_batch(payload)
        assert np.array_equal(KIND.arrays(payload)["history"], KIND.arrays([one])["history"])


def test_histories_of_many_lengths_come_in_few() -> None:
    assert len({KIND.arrays({"recent": [1] * length})["history"].shape for length in range(600)}) < 20


def test_numbers_are_taken_as_the_graph_takes_them() -> None:
    assert KIND.arrays([7, 0, 318, 296])["history"].tolist() == [[7, 0, 318, 296]]
    assert KIND.arrays(np.array([[7, 318], [0, 296]]))["history"].dtype == np.int32
    assert not KIND.is_batch([7, 318])
    assert KIND.is_batch([[7, 318]])
    assert KIND.arrays({"user": np.int64(7), "recent": np.array([318])})["history"][0, [0, -1]].tolist() == [7, 318]


def test_a_path_is_a_file_and_a_string_is_json(tmp_path: Path) -> None:
    (tmp_path / "ann.json").write_text('{"user": 7}')
    assert ids(tmp_path / "ann.json") == [[7]]
    with pytest.raises(InputError, match="not a JSON file"):
        KIND.arrays(str(tmp_path / "ann.json"))
    with pytest.raises(NotFoundError, match=r"bob\.json: no such file"):
        KIND.arrays(tmp_path / "bob.json")


@pytest.mark.parametrize(
    ("payload", "words"),
    [
        ({"usr": 7}, "history 0: has 'usr'; did you mean 'user'"),
        ([{"user": 7}, {"user": -1}], f"history 1: user has '-1', expected whole numbers from 0 to {LAST}"),
        ({"user": True}, "user has 'True'"),
        ({"user": 1.0}, r"user has '1\.0'"),
        ({"user": None}, "user has 'None'"),
        ({"recent": [318, 0]}, f"recent has '0', expected whole numbers from 1 to {LAST}"),
        ({"recent": [LAST + 1]}, "recent has '2147483648'"),
        ({"recent": "318"}, "recent is str, expected a list of ids"),
        ([{"user": 7}, 7], "history 1: got int, expected an object"),
        (7, "got int, expected an object"),
        (b"[1]", "JSON: holds list, expected one object"),
        (b"\xff", "JSON: not a JSON file"),
        ("[" * 100_000, "JSON: not a JSON file"),
        ([7.5, 1], "got list, expected numbers"),
    ],
)
def test_what_is_no_history_is_refused_in_words(payload: object, words: str) -> None:
    with pytest.raises(InputError, match=words):
        KIND.arrays(payload)


def test_a_history_without_end_is_refused() -> None:
    with pytest.raises(TooLargeError, match="more than 65536; give the last ones"):
        KIND.arrays({"recent": [1] * (MAX_RECENT + 1)})


@pytest.mark.parametrize(("rows", "words"), [([[7, 5, 0, 3]], "row 0 has 0 at 2"), ([[7, 5], [-1, 5]], "from -1 to 7")])
def test_tensors_that_mean_nothing_are_refused(rows: list[list[int]], words: str) -> None:
    with pytest.raises(InputError, match=words):
        KIND.check({"history": np.array(rows, np.int32)})


def test_one_column_is_a_user_alone() -> None:
    assert KIND.check({"history": np.array([[7], [0]], np.int32)}) == 2
