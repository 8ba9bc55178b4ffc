"""How poems are written as code points."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.quatrain import FORMS, LINES, SEPARATOR, STOPS, encode, is_verse, lines

LETTERS = st.characters(min_codepoint=0x4E00, max_codepoint=0x9FFF)


def test_a_poem_as_it_is_written() -> None:
    points = encode("春曉", "春眠不覺曉處處聞啼鳥夜來風雨聲花落知多少", 5)
    assert (points[0], points[3]) == (5, SEPARATOR)
    assert "".join(map(chr, points[1:])) == "春曉\n春眠不覺曉，處處聞啼鳥。夜來風雨聲，花落知多少。"


@given(form=st.sampled_from(FORMS), data=st.data())
def test_the_beginning_of_a_poem_is_a_beginning_of_what_is_written(form: int, data: st.DataObject) -> None:
    verse = data.draw(st.text(LETTERS, min_size=LINES * form, max_size=LINES * form))
    length = data.draw(st.integers(0, len(verse)))
    whole, part = encode("", verse, form), encode("", verse[:length], form)
    assert whole[: len(part)] == part
    assert length == len(verse) or chr(whole[len(part)]) == verse[length]  # what comes next is always a letter


@given(form=st.sampled_from(FORMS), data=st.data())
def test_lines_are_the_verse_with_its_stops(form: int, data: st.DataObject) -> None:
    verse = data.draw(st.text(LETTERS, min_size=LINES * form, max_size=LINES * form))
    found = lines(verse, form)
    assert [line[-1] for line in found] == list(STOPS * 2)
    assert "".join(line[:-1] for line in found) == verse
    assert list(map(ord, "".join(found))) == encode("", verse, form)[2:]


@pytest.mark.parametrize(("characters", "is_one"), [("春眠", True), ("𠜴", True), ("", True), ("春，", False),
                                                    ("a", False), ("春 ", False), ("□", False), ("○", False),
                                                    ("\x05", False), ("\ufffd", False)])  # fmt: skip
def test_what_may_stand_in_a_line(characters: str, is_one: bool) -> None:
    assert is_verse(characters) is is_one
