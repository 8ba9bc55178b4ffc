"""Wishes for poems, in every form that an application may hold."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.bundle import Signature, TensorSpec
from deploy.errors import InputError, TooLargeError
from deploy.generate import Wish
from deploy.inputs import input_kind
from deploy.inputs.poem import TEMPERATURE, TOP_K, wish
from deploy.outputs import output_kind
from deploy.quatrain import is_verse
from deploy.turns import held

CHARACTERS = "\0\ufffd\x05\x07\n，。春夜"
SPECS = (
    TensorSpec("character", "int32", ("batch",), (0, 0x10FFFF), "code point"),
    TensorSpec("state", "float32", ("batch", 2, 3)),
)
KIND = input_kind(Signature("poem", SPECS, (), {"characters": CHARACTERS}))
POEMS = output_kind(Signature("poem", (), tuple(CHARACTERS)))


def run(feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    KIND.check(feeds)
    rows = len(feeds["state"])
    return {"probabilities": np.ones((rows, len(CHARACTERS)), np.float32), "next_state": feeds["state"]}


def poems(payload: object) -> list[Any]:
    return list(POEMS.read(*held(KIND.converse(payload), run)))


def test_titles_come_as_strings_bytes_files_and_in_objects(tmp_path: Path) -> None:
    (tmp_path / "title.txt").write_text("春夜\n", encoding="utf-8-sig")
    for payload in ("春夜", " 春夜\n", "春夜".encode(), tmp_path / "title.txt", {"title": "春夜"}):
        assert wish(payload).title == "春夜"
    assert wish("").title == wish({}).title == ""
    assert wish("e\u0301  f").title == "é f"


def test_what_is_not_said_has_a_default() -> None:
    assert wish({"seed": 1}) == Wish("", "", 5, TEMPERATURE, TOP_K, 1)
    assert wish({"seed": 1, "first_line": "一二三四五六七。"}) == Wish("", "一二三四五六七", 7, TEMPERATURE, TOP_K, 1)
    assert wish("").seed != wish("").seed


@given(st.fixed_dictionaries({}, optional={
    "title": st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=20),
    "form": st.sampled_from([5, 7]), "temperature": st.floats(0, 100), "top_k": st.integers(0, 10),
    "seed": st.integers(0, 2**53 - 1)}))  # fmt: skip
def test_every_wish_makes_a_poem(payload: dict[str, Any]) -> None:
    (poem,) = poems(payload)
    form = payload.get("form", 5)
    assert [len(line) for line in poem.lines] == [form + 1] * 4
    assert is_verse("".join(line[:-1] for line in poem.lines))
    assert poems({**payload, "seed": poem.seed}) == [poem]
    assert poem.seed == payload.get("seed", poem.seed)


def test_a_list_of_wishes_is_a_batch() -> None:
    wishes = ["春", {"form": 7, "seed": 3}, {"first_line": "春夜春夜春", "seed": 4}]
    assert KIND.is_batch(wishes)
    together = poems(wishes)
    assert together[1:] == [poems(one)[0] for one in wishes[1:]]
    assert together[0].title == "春"


@pytest.mark.parametrize(
    ("payload", "words"),
    [
        ({"form": 6}, "form: is '6', expected 5 or 7"),
        ({"form": True}, "form: is 'True'"),
        ({"form": [5]}, "form: is"),
        ({"form": 7, "first_line": "春夜春夜春"}, "first_line has 5 characters; leave one of them out"),
        ({"first_line": "spring"}, "first_line: is 'spring', expected 5 or 7 Chinese characters"),
        ({"temperature": -0.1}, "temperature: is '-0.1', expected a number from 0.0 to"),
        ({"temperature": float("nan")}, "temperature: is 'nan'"),
        ({"temperature": "hot"}, "temperature: is 'hot'"),
        ({"top_k": 1.5}, "top_k: is '1.5', expected a whole number"),
        ({"seed": -1}, "seed: is '-1'"),
        ({"seed": 2**53}, "seed: is"),
        ({"sead": 1}, "wish: has 'sead'; did you mean 'seed'"),
        ({"title": 3}, "title: got int, expected a string"),
        ({"title": "\ud800"}, "title: holds half of a surrogate pair"),
        ({"title": "a\x05"}, "title: holds the control character U\\+0005"),
        (b"\xff", "byte 0 is not UTF-8"),
        (3, "got int, expected a title, or an object"),
        ([], "holds no wish"),
    ],
)
def test_what_cannot_be_is_refused_in_words(payload: object, words: str) -> None:
    with pytest.raises(InputError, match=words):
        KIND.converse(payload)


def test_long_titles_are_too_large() -> None:
    with pytest.raises(TooLargeError, match="65 characters, more than 64"):
        KIND.converse("長" * 65)


def test_the_first_run_takes_the_form_and_a_state_of_zeros() -> None:
    arrays = KIND.arrays({"form": 7})
    assert KIND.check(arrays) == 1
    assert arrays["character"].tolist() == [7]
    assert arrays["state"].shape == (1, 2, 3)
    assert not arrays["state"].any()
