"""Texts to code points, as training and serving both make them."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.bundle import Signature, TensorSpec
from deploy.errors import InputError, NotFoundError, TooLargeError
from deploy.inputs import input_kind
from deploy.inputs.text import MAX_CHARACTERS, encode_text, padded_length

KIND = input_kind(Signature("text", (TensorSpec("text", "int32", ("batch", "length"), (0, 0x10FFFF), "code point"),)))


def decoded(points: np.ndarray) -> list[str]:
    return ["".join(map(chr, row)).rstrip("\0") for row in points]


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")), min_size=1, max_size=5))
def test_texts_come_back_from_their_code_points(texts: list[str]) -> None:
    points = encode_text(texts)
    assert points.dtype == np.int32
    assert np.array_equal(encode_text(decoded(points)), points)
    assert [len(text) for text in decoded(KIND.arrays(texts)["text"])] == [len(text) for text in decoded(points)]
    assert KIND.check(KIND.arrays(texts)) == len(texts)


@given(st.integers(0, MAX_CHARACTERS))
def test_lengths_are_few_and_never_much_more_than_needed(characters: int) -> None:
    length = padded_length(characters)
    assert characters <= length <= max(16, characters + 16, characters * 1.25)
    assert length % 16 == 0


def test_there_are_few_lengths() -> None:
    assert len({padded_length(characters) for characters in range(4096)}) <= 32


def test_accents_are_one_character_however_they_are_written() -> None:
    assert np.array_equal(encode_text(["e\u0301"]), encode_text(["\u00e9"]))


def test_an_empty_text_is_one_place_of_padding() -> None:
    assert encode_text([""]).tolist() == [[0]]
    assert KIND.check(KIND.arrays("")) == 1


@pytest.mark.parametrize("payload", ["grüße", "grüße".encode(), "\ufeffgrüße".encode(), bytearray("grüße".encode())])
def test_a_text_or_its_bytes(payload: object) -> None:
    assert decoded(KIND.arrays(payload)["text"]) == ["grüße"]
    assert not KIND.is_batch(payload)


def test_a_path_is_a_file_and_a_string_is_a_text(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("inside", encoding="utf-8")
    assert decoded(KIND.arrays(tmp_path / "a.txt")["text"]) == ["inside"]
    assert decoded(KIND.arrays("a.txt")["text"]) == ["a.txt"]
    with pytest.raises(NotFoundError, match="no such file"):
        KIND.arrays(tmp_path / "none.txt")


def test_lists_of_texts_and_code_points() -> None:
    assert KIND.is_batch(["a", "bc"])
    assert decoded(KIND.arrays(["a", "bc"])["text"]) == ["a", "bc"]
    points = np.array([[97, 98, 0]], np.int32)
    assert KIND.is_batch(points)
    assert KIND.arrays(points)["text"] is points
    assert not KIND.is_batch([97, 98])
    assert decoded(KIND.arrays([97, 98])["text"]) == ["ab"]


@pytest.mark.parametrize(
    ("payload", "words"),
    [
        (b"caf\xe9", "byte 3 is 0xe9, which is not UTF-8; save it in UTF-8"),
        ("a\ud800", "character 1 is half of a surrogate pair"),
        (["fine", "a\0b"], r"text 1: holds U\+0000"),
        (7, "got int, expected a text"),
        ([], "expected numbers"),
        (np.array([1.5]), "got dtype float64"),
        (np.array([[0x110000]], np.int32), "values run from 1114112"),
        (np.array([[97, 0, 98]], np.int32), "row 0 has 0 at 1 and characters behind"),
        ([[1], [2, 3]], "expected numbers"),
    ],
)
def test_what_is_no_text(payload: object, words: str) -> None:
    with pytest.raises(InputError, match=words):
        KIND.check(KIND.arrays(payload))


def test_a_text_that_is_too_long() -> None:
    with pytest.raises(TooLargeError, match="131073 characters, more than 131072"):
        KIND.arrays("x" * (MAX_CHARACTERS + 1))
