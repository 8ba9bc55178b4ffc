"""Talks: several runs to one answer, alone, together and by way of futures."""

import threading
from collections.abc import Iterator
from concurrent.futures import Future
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.errors import InputError
from deploy.turns import Talk, Turns, held, submitted, together


def count_down(start: int) -> Talk:
    """Ask for each number down to 0; end with the sum of what was answered."""
    total = np.zeros(1)
    for number in range(start, -1, -1):
        outputs = yield {"n": np.array([number])}
        total = total + outputs["squared"]
    return {"total": total, "start": np.array([start])}


def squared(feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {"squared": feeds["n"].astype(float) ** 2}


def test_a_talk_ends_with_its_answer() -> None:
    answer, first = held(count_down(3), squared)
    assert answer["total"].tolist() == [14]
    assert first["n"].tolist() == [3]


@given(st.lists(st.integers(0, 6), min_size=1, max_size=6))
def test_talks_share_runs_and_keep_their_order(starts: list[int]) -> None:
    batches: list[int] = []

    def run(feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        batches.append(len(feeds["n"]))
        return squared(feeds)

    answer, first = held(together([count_down(start) for start in starts]), run)
    assert answer["start"].tolist() == first["n"].tolist() == starts
    assert answer["total"].tolist() == [sum(n * n for n in range(start + 1)) for start in starts]
    assert len(batches) == max(starts) + 1
    assert sum(batches) == sum(start + 1 for start in starts)


def later(feeds: dict[str, np.ndarray], left: float | None = None) -> "Future[Any]":
    """The answer from another thread."""
    answer: Future[Any] = Future()
    threading.Thread(target=lambda: answer.set_result(squared(feeds))).start()
    return answer


def test_a_submitted_talk_is_answered_by_a_future() -> None:
    assert submitted(Turns(count_down(4)), later, None).result(30)["total"].tolist() == [30]


def test_the_deadline_is_for_all_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    clock: Iterator[float] = iter([100.0, 100.0, 102.5, 104.0])
    monkeypatch.setattr("time.monotonic", lambda: next(clock))
    seen: list[float | None] = []

    def run(feeds: dict[str, np.ndarray], left: float | None) -> "Future[Any]":
        seen.append(left)
        answer: Future[Any] = Future()
        answer.set_result(squared(feeds))
        return answer

    submitted(Turns(count_down(2)), run, 5.0).result(0)
    assert seen == [5.0, 2.5, 1.0]


def test_what_goes_wrong_belongs_to_whoever_waits() -> None:
    def failing(feeds: dict[str, np.ndarray], left: float | None) -> "Future[Any]":
        if feeds["n"][0] == 1:
            raise InputError("refused")
        return later(feeds)

    with pytest.raises(InputError, match="refused"):
        submitted(Turns(count_down(3)), failing, None).result(30)
    with pytest.raises(InputError, match="refused"):  # at once, for the first run
        submitted(Turns(count_down(1)), failing, None)


def test_a_cancelled_talk_asks_no_more() -> None:
    waiting: list[tuple[dict[str, np.ndarray], Future[Any]]] = []

    def run(feeds: dict[str, np.ndarray], left: float | None) -> "Future[Any]":
        waiting.append((feeds, Future()))
        return waiting[-1][1]

    whole = submitted(Turns(count_down(3)), run, None)
    assert whole.cancel()
    waiting[0][1].set_result(squared(waiting[0][0]))
    assert len(waiting) == 1
