"""Poems character by character: the form holds whatever a model answers, and draws are what they should be."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from deploy.generate import MAX_TITLE, Letters, Wish, quatrain
from deploy.quatrain import FORMS, LINES, STOPS, encode
from deploy.turns import held

CHARACTERS = "\0\ufffd\x05\x07\n，。 山水a春風"
LETTERS = Letters(CHARACTERS)
ALLOWED = "山水春風"
STATE = np.zeros((1, 2), np.float32)


def wish(**changes: object) -> Wish:
    known = {"title": "", "first_line": "", "form": 5, "temperature": 1.0, "top_k": 0, "seed": 0}
    return Wish(**{**known, **changes})  # type: ignore[arg-type]


def asked(wanted: Wish, probabilities: Callable[[int], np.ndarray]) -> tuple[str, list[int]]:
    """The verse, and the code points that were fed; the state counts the steps."""
    fed: list[int] = []

    def run(feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        assert feeds["character"].dtype == np.int32
        assert feeds["state"][0, 0] == len(fed)
        fed.append(int(feeds["character"][0]))
        return {"probabilities": probabilities(len(fed))[None], "next_state": feeds["state"] + 1}

    answer, first = held(quatrain(wanted, LETTERS, STATE), run)
    assert first["character"].tolist() == [wanted.form]
    return "".join(chr(point) for point in answer["verse"][0] if point), fed


ANY = arrays.arrays(np.float32, len(CHARACTERS), elements=st.floats(0, 1, width=32))


@given(
    ANY, st.sampled_from(FORMS), st.sampled_from([0.0, 1e-300, 1e-3, 1.0, 100.0]), st.integers(0, 20), st.integers(0)
)
def test_any_answers_make_a_poem_of_the_form(
    probabilities: np.ndarray, form: int, temperature: float, top_k: int, seed: int
) -> None:
    wanted = wish(form=form, temperature=temperature, top_k=top_k, seed=seed, title="題")
    verse, fed = asked(wanted, lambda _: probabilities)
    assert len(verse) == LINES * form
    assert set(verse) <= set(ALLOWED)
    assert fed == encode("題", verse, form)[: len(fed)]  # it hears of its own letters, and of the stops
    assert len(fed) == len(encode("題", verse, form)) - 2  # but not of the last letter and the stop behind it
    assert asked(wanted, lambda _: probabilities)[0] == verse


def test_a_first_line_is_taken_as_it_is_even_of_unknown_characters() -> None:
    verse, fed = asked(wish(first_line="未知未知未"), lambda _: np.ones(len(CHARACTERS), np.float32))
    assert verse.startswith("未知未知未")
    assert fed[2:8] == [*map(ord, "未知未知未"), ord(STOPS[0])]
    assert set(verse[5:]) <= set(ALLOWED)


def shares(of: dict[str, float], count: int = 4000, **changes: object) -> dict[str, float]:
    """How often each letter was drawn."""
    probabilities = np.array([of.get(character, 0.0) for character in CHARACTERS], np.float32)
    generator = np.random.default_rng(0)
    drawn = [chr(LETTERS.draw(probabilities, wish(**changes), generator)) for _ in range(count)]
    return {letter: drawn.count(letter) / count for letter in sorted(set(drawn))}


@pytest.mark.parametrize(("temperature", "expected"), [(1.0, 0.8), (0.5, 16 / 17), (2.0, 2 / 3), (0.0, 1.0)])
def test_letters_are_drawn_as_the_model_says_at_the_temperature(temperature: float, expected: float) -> None:
    found = shares({"山": 0.4, "水": 0.1, "，": 0.5}, temperature=temperature)
    assert set(found) <= {"山", "水"}
    assert abs(found["山"] - expected) < 0.03  # four standard deviations


def test_top_k_leaves_the_most_probable_letters() -> None:
    of = {"山": 0.2, "水": 0.1, "春": 0.3, "風": 0.25, "\n": 0.15}
    assert set(shares(of, top_k=2)) == {"春", "風"}
    assert set(shares(of, top_k=1)) == {"春"}
    assert set(shares(of, top_k=100)) == set(ALLOWED)


def test_where_no_letter_is_probable_all_count_alike() -> None:
    found = shares({"，": 1.0})
    assert set(found) == set(ALLOWED)
    assert max(found.values()) < 0.3


def test_poems_of_both_forms_have_one_width() -> None:
    def run(feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {"probabilities": np.ones((1, len(CHARACTERS)), np.float32), "next_state": feeds["state"]}

    found = [held(quatrain(wish(form=form), LETTERS, STATE), run)[0] for form in FORMS]
    assert {poem["verse"].shape for poem in found} == {(1, LINES * max(FORMS))}
    assert {poem["title"].shape for poem in found} == {(1, MAX_TITLE)}
