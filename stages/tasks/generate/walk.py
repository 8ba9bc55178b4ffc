"""Whole texts, a step at a time: the states within them, what is answered on the way, and poems that come of it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from deploy.generate import Letters, Wish, quatrain
from deploy.turns import held, together
from stages.dataset import Array
from stages.deployed import Answer

_ROWS = 128


@dataclass(frozen=True)
class Stride:
    """One step of several texts.

    place      of the character that is fed, from 0; rows: numbers of the texts
    state      before it, (rows, ...); outputs: what was answered, (rows, ...) by name
    """

    place: int
    rows: Array
    state: Array
    outputs: dict[str, Array]


def walk(points: Array, state_shape: tuple[int, ...], answer: Answer) -> Iterator[Stride]:
    """Yield all steps of texts (N, T), but for the one that feeds the last character: nothing comes behind it."""
    lengths = (points != 0).sum(axis=1)
    longest_first = np.argsort(-lengths, kind="stable")
    for start in range(0, len(points), _ROWS):
        rows = longest_first[start : start + _ROWS]
        state = np.zeros((len(rows), *state_shape), np.float32)
        for place in range(lengths[rows[0]] - 1):
            rows = rows[lengths[rows] > place + 1]
            state = state[: len(rows)]
            outputs = dict(answer({"character": points[rows, place], "state": state}))
            yield Stride(place, rows, state, outputs)
            state = outputs["next_state"]


def poems(wishes: Sequence[Wish], characters: str, state_shape: tuple[int, ...], answer: Answer) -> Array:
    """Return a verse for each wish, int32 (wishes, 28): code points without stops, and behind them 0."""
    letters, state = Letters(characters), np.zeros((1, *state_shape), np.float32)
    parts = []
    for start in range(0, len(wishes), _ROWS):
        talks = [quatrain(wish, letters, state) for wish in wishes[start : start + _ROWS]]
        parts.append(held(together(talks), answer)[0]["verse"])
    return np.concatenate(parts)
