"""Talks: several runs to one answer, alone, together and by way of futures."""

import threading
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.errors import InputError
from deploy.turns import Outputs, Talk, Told, Turns, held, submitted, together


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


def at_once(feeds: dict[str, np.ndarray], told: Told, left: float | None = None) -> Callable[[], object]:
    told(squared(feeds))
    return lambda: None


def later(feeds: dict[str, np.ndarray], told: Told, left: float | None = None) -> Callable[[], object]:
    """The answer from another thread."""
    threading.Thread(target=at_once, args=(feeds, told)).start()
    return lambda: None


def total(answer: Outputs) -> float:
    return float(answer["total"][0])


def test_a_submitted_talk_is_answered_by_a_future() -> None:
    assert submitted(Turns(count_down(4)), later, None, total).result(30) == 30


def test_the_deadline_is_for_all_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    clock: Iterator[float] = iter([100.0, 100.0, 102.5, 104.0])
    monkeypatch.setattr("time.monotonic", lambda: next(clock))
    seen: list[float | None] = []

    def run(feeds: dict[str, np.ndarray], told: Told, left: float | None) -> Callable[[], object]:
        seen.append(left)
        return at_once(feeds, told)

    submitted(Turns(count_down(2)), run, 5.0, total).result(0)
    assert seen == [5.0, 2.5, 1.0]


def test_what_goes_wrong_belongs_to_whoever_waits() -> None:
    def failing(feeds: dict[str, np.ndarray], told: Told, left: float | None) -> Callable[[], object]:
        if feeds["n"][0] == 1:
            raise InputError("refused")
        return later(feeds, told)

    def wrong(feeds: dict[str, np.ndarray], told: Told, left: float | None) -> Callable[[], object]:
        told(InputError("it failed"))
        return lambda: None

    with pytest.raises(InputError, match="refused"):
        submitted(Turns(count_down(3)), failing, None, total).result(30)
    with pytest.raises(InputError, match="refused"):  # at once, for the first run
        submitted(Turns(count_down(1)), failing, None, total)
    with pytest.raises(InputError, match="it failed"):
        submitted(Turns(count_down(1)), wrong, None, total).result(0)
    with pytest.raises(KeyError, match="none"):
        submitted(Turns(count_down(1)), at_once, None, lambda answer: answer["none"]).result(0)


def test_a_cancelled_talk_asks_no_more_and_leaves_the_queue() -> None:
    waiting: list[tuple[dict[str, np.ndarray], Told]] = []
    cancelled: list[int] = []

    def run(feeds: dict[str, np.ndarray], told: Told, left: float | None) -> Callable[[], object]:
        number = len(waiting)
        waiting.append((feeds, told))
        return lambda: cancelled.append(number)

    whole = submitted(Turns(count_down(3)), run, None, total)
    feeds, told = waiting[0]
    told(squared(feeds))
    assert whole.cancel()
    assert cancelled == [1]
    feeds, told = waiting[1]
    told(squared(feeds))
    assert len(waiting) == 2
