"""Quatrains, character by character: what the model finds probable, within the form.

The form holds by construction: four lines of five or seven letters, stops between them, nothing else. The model is
only asked which letter comes next; all others of its characters have probability 0 here.
"""

from dataclasses import dataclass

import numpy as np

from deploy.arrays import Array
from deploy.quatrain import FORMS, LINES, encode, is_verse, written
from deploy.turns import Talk

MAX_TITLE = 64
"""Characters of a title, at most."""


@dataclass(frozen=True)
class Wish:
    """What poem is wanted.

    title          may be empty
    first_line     `form` letters, or nothing
    form           letters in a line, 5 or 7
    temperature    0 takes the most probable letter always, 1 draws as the model says, more is bolder
    top_k          draw among so many letters only, the most probable ones; 0: all
    seed           of the draws: the same wish gives the same poem
    """

    title: str
    first_line: str
    form: int
    temperature: float
    top_k: int
    seed: int


class Letters:
    """The characters of a model by the index of their probability, and which of them may stand in a line."""

    def __init__(self, characters: str) -> None:
        self.points = np.array([*map(ord, characters)], np.int32)
        self.allowed = np.array([is_verse(character) for character in characters])

    def draw(self, probabilities: Array, wish: Wish, generator: np.random.Generator) -> int:
        """Return the code point of a letter, drawn from probabilities (characters,) as `wish` says.

        Where no letter has any, each of them counts alike.
        """
        with np.errstate(divide="ignore"):
            logs = np.where(self.allowed, np.log(probabilities.astype(np.float64)), -np.inf)
        if not np.isfinite(logs).any():
            logs = np.where(self.allowed, 0.0, -np.inf)
        if wish.temperature == 0:
            return int(self.points[logs.argmax()])
        if 0 < wish.top_k < len(logs):
            logs[np.argsort(-logs, kind="stable")[wish.top_k :]] = -np.inf
        with np.errstate(over="ignore"):  # of a temperature near 0
            shares = np.exp((logs - logs.max()) / wish.temperature)
        ends = shares.cumsum()
        return int(self.points[np.searchsorted(ends, generator.random() * ends[-1], side="right")])


def quatrain(wish: Wish, letters: Letters, state: Array) -> Talk:
    """Return a talk that ends with a poem as `deploy.outputs.poem` reads it.

    state    what a model begins with, (1, ...) zeros

    Each run takes `character` int32 (1,) and `state`, and answers `probabilities` (1, characters) and `next_state`. The
    poem is `title` int32 (1, MAX_TITLE) and `verse` int32 (1, 28), code points and behind them 0, the verse without
    stops; `form` int64 (1,) and `seed` int64 (1,).
    """
    generator = np.random.default_rng(wish.seed)
    verse = [ord(letter) for letter in wish.first_line]
    points = encode(wish.title, wish.first_line, wish.form)
    while True:
        for point in points:
            outputs = yield {"character": np.array([point], np.int32), "state": state}
            state = outputs["next_state"]
        points = written(letters.draw(outputs["probabilities"][0], wish, generator), len(verse), wish.form)
        verse.append(points[0])
        if len(verse) == LINES * wish.form:
            break
    return {
        "title": _row([*map(ord, wish.title)], MAX_TITLE),
        "verse": _row(verse, LINES * max(FORMS)),
        "form": np.array([wish.form]),
        "seed": np.array([wish.seed]),
    }


def _row(points: list[int], length: int) -> Array:
    return np.array([points + [0] * (length - len(points))], np.int32)
