"""Look-up of characters, pairs and words: against plain Python, whatever the padding."""

import functools
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from deploy.errors import UsageError
from deploy.inputs.text import encode_text
from stages.dataset import TEXT, DataInfo, alphabet
from stages.inputs.codepoints import (
    CODE_POINTS,
    LETTER,
    MARK,
    SEPARATOR,
    CodePointTable,
    by_code_point,
    kinds,
    lower,
    spread,
)
from stages.inputs.text import text

INFO = DataInfo("texts", TEXT, ("a", "b"), "0" * 64, "none", alphabet="etaoin shrdlu.,'é中")
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40)
ENGLISH = st.text("abcdeABCDE' .,!?-\n\t19", max_size=60)


@functools.cache
def made(**options: Any) -> torch.nn.Module:
    return text(INFO, **options)


def ids(texts: list[str], pre: torch.nn.Module, length: int = 0) -> list[list[int]]:
    tokens = pre(torch.from_numpy(encode_text(texts, length=length)))
    return [[int(token) for token in row if token] for row in tokens]


def words_of(sentence: str) -> list[str]:
    """The words and marks of a text, the slow way."""
    found: list[str] = []
    open_word = False
    for character in "".join(chr(lower().get(ord(c), ord(c))) for c in sentence):
        kind = kinds()[ord(character)]
        if kind == LETTER and open_word:
            found[-1] += character
        elif kind != SEPARATOR:
            found.append(character)
        open_word = kind == LETTER
    return found


def number_of(word: str, size: int) -> int:
    """The token id of a word, in Python's own integers."""
    factors = spread(64).tolist()
    total = sum(ord(letter) * factors[place % 64] % (2**31 - 1) for place, letter in enumerate(word))
    return 2 + total % (2**31 - 1) % size


@pytest.mark.parametrize("unit", ["character", "pair", "word"])
@settings(deadline=None, max_examples=60)
@given(texts=st.lists(st.one_of(TEXTS, ENGLISH), min_size=1, max_size=4), more=st.integers(0, 50))
def test_ids_do_not_depend_on_padding_nor_on_neighbours(unit: str, texts: list[str], more: int) -> None:
    pre = made(unit=unit, size=50)
    together = ids(texts, pre, max(map(len, texts)) + more)
    assert together == [ids([one], pre)[0] for one in texts]


@settings(deadline=None, max_examples=100)
@given(sentence=st.one_of(TEXTS, ENGLISH))
def test_words_are_hashed_as_plain_python_does(sentence: str) -> None:
    sentence = "".join(map(chr, encode_text([sentence])[0])).rstrip("\0")  # in normal form
    assert ids([sentence], made(unit="word", size=1000)) == [[number_of(w, 1000) for w in words_of(sentence)]]


@settings(deadline=None, max_examples=60)
@given(sentence=TEXTS)
def test_pairs_are_hashed_as_plain_python_does(sentence: str) -> None:
    points = [point for point in encode_text([sentence])[0].tolist() if point]
    this, following = spread(2).tolist()
    sums = [a * this + b * following for a, b in zip(points, [*points, 0][1:], strict=True)]
    assert ids([sentence], made(unit="pair", size=1000, lowercase=False)) == [
        [2 + total % (2**31 - 1) % 1000 for total in sums]
    ]


@settings(deadline=None, max_examples=60)
@given(sentence=TEXTS)
def test_characters_are_their_places_in_the_alphabet(sentence: str) -> None:
    sentence = "".join(map(chr, encode_text([sentence])[0])).rstrip("\0")
    place = {character: 2 + number for number, character in enumerate(INFO.alphabet)}
    assert ids([sentence], made(lowercase=False)) == [[place.get(character, 1) for character in sentence]]


def test_words_are_found_in_their_order() -> None:
    assert words_of("It's GOOD,really!  中文 x²") == ["it's", "good", ",", "really", "!", "中", "文", "x²"]
    first, second = ids(["dog bites man", "man bites dog"], text(INFO, unit="word"))
    assert first == second[::-1]
    assert len(set(first)) == 3


def test_words_that_differ_in_a_letter_or_in_order_have_other_ids() -> None:
    words = ["was", "saw", "wast", "as", "w", "s", "a", "x" * 64, "x" * 65, "x" * 63 + "yx"]
    found = ids([" ".join(words)], text(INFO, unit="word", size=10**6))[0]
    assert len(set(found)) == len(words)


def test_an_empty_text_is_padding_alone() -> None:
    for unit in ("character", "pair", "word"):
        assert text(INFO, unit=unit)(torch.zeros(1, 5, dtype=torch.int32)).tolist() == [[0]]


def test_capitals_are_small_letters_unless_told_otherwise() -> None:
    upper, small = ids(["TEA É", "tea é"], text(INFO))
    assert upper == small
    assert ids(["T"], text(INFO, lowercase=False)) == [[1]]


def test_only_the_first_of_the_alphabet_are_known() -> None:
    pre = text(INFO, size=2)
    assert pre.preprocessed_shape == ("length", 4)
    assert ids(["eta"], pre) == [[2, 3, 1]]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"size": -1}, "size is -1, expected 0"),
        ({"unit": "word", "alphabet": "abc"}, "words need no alphabet"),
        ({"unit": "pair", "alphabet": "abc"}, "pairs need no alphabet"),
    ],
)
def test_what_does_not_fit_is_refused(options: dict[str, object], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        text(INFO, **options)


def test_characters_need_an_alphabet() -> None:
    with pytest.raises(UsageError, match=r"names no characters; set input\.alphabet, or input\.unit=word"):
        text(DataInfo("pictures", ("height", "width", 3), (), "", ""))


@settings(deadline=None, max_examples=20)
@given(values=st.dictionaries(st.integers(0, CODE_POINTS - 1), st.integers(-5, 5)), points=st.data())
def test_a_table_gives_every_code_point_its_value(values: dict[int, int], points: st.DataObject) -> None:
    table = CodePointTable(by_code_point(values, default=9))
    asked = [*values, *points.draw(st.lists(st.integers(0, CODE_POINTS - 1), min_size=1))]
    assert table(torch.tensor(asked)).tolist() == [values.get(point, 9) for point in asked]


def test_what_code_points_are() -> None:
    found = kinds()
    assert {found[ord(c)] for c in "aZ9é'п"} == {LETTER}
    assert {found[ord(c)] for c in "!?,-日ひカ😀"} == {MARK}
    assert {found[ord(c)] for c in " \t\n\0\u3000"} == {SEPARATOR}


def test_an_alphabet_begins_with_what_is_frequent() -> None:
    assert alphabet(encode_text(["aab", "abc"])) == "abc"
    assert alphabet(np.zeros((2, 3), np.int32)) == ""
