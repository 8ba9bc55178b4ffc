"""Answers that take several runs of a model: what is fed next depends on what came before.

A *talk* is a generator that yields input tensors (a batch) and is sent the output tensors for them; what it returns in
the end is what a result is read from. `InputKind.converse` makes one for each payload; most talks are one run.
"""

import time
from collections.abc import Callable, Generator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from deploy.arrays import Array

if TYPE_CHECKING:
    from concurrent.futures import Future

Arrays = dict[str, Array]
Outputs = Mapping[str, Array]
Talk = Generator[Arrays, Outputs, Outputs]
Told = Callable[[Outputs | Exception], object]
Ask = Callable[[Arrays, Told, float | None], Callable[[], object]]
"""Input tensors, who is told the outputs or what went wrong, and seconds; returns what cancels the run."""


class Turns:
    """A talk that has begun.

    first      input tensors of its first run
    arrays     input tensors of the run that is to be made next
    answer     what it ended with; None while it goes on
    """

    def __init__(self, talk: Talk) -> None:
        self._talk = talk
        self.first = self.arrays = next(talk)
        self.answer: Outputs | None = None

    def hear(self, outputs: Outputs) -> None:
        """Go on with the output tensors for `arrays`."""
        try:
            self.arrays = self._talk.send(outputs)
        except StopIteration as end:
            self.answer = end.value


def held(talk: Talk, run: Callable[[Arrays], Outputs]) -> tuple[Outputs, Arrays]:
    """Make all runs of a talk; return its answer, and the input tensors of the first run."""
    turns = Turns(talk)
    while turns.answer is None:
        turns.hear(run(turns.arrays))
    return turns.answer, turns.first


def together(talks: Sequence[Talk]) -> Talk:
    """Return several talks as one: each run is a batch of all that still go on, the answer one of all, in order.

    Their tensors must have equal shapes but for the rows.
    """
    everyone = [Turns(talk) for talk in talks]
    while going := [turns for turns in everyone if turns.answer is None]:
        outputs = yield _stacked([turns.arrays for turns in going])
        start = 0
        for turns in going:
            end = start + len(next(iter(turns.arrays.values())))
            turns.hear({name: array[start:end] for name, array in outputs.items()})
            start = end
    return _stacked([turns.answer for turns in everyone if turns.answer is not None])


def _stacked(parts: Sequence[Outputs]) -> Arrays:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def submitted(turns: Turns, ask: Ask, deadline: float | None, change: Callable[[Outputs], Any]) -> "Future[Any]":
    """Return a future of what `change` makes of a talk's answer.

    Each run is handed to `ask` with the seconds that are left. Raises what `ask` raises for the first run. Cancelling
    the future cancels the run that the talk is at, and ends it.
    """
    from concurrent.futures import Future  # here, because only serving needs it

    began, whole = time.monotonic(), Future[Any]()
    cancel: Callable[[], object] | None = None

    def go_on() -> None:
        nonlocal cancel
        left = None if deadline is None else deadline - (time.monotonic() - began)
        cancel = ask(turns.arrays, heard, left)

    def heard(outputs: Outputs | Exception) -> None:
        if whole.cancelled():
            return
        if isinstance(outputs, Exception):
            failed(outputs)
            return
        try:
            turns.hear(outputs)
            if turns.answer is None:
                go_on()
                return
            result = change(turns.answer)
        except Exception as error:  # whatever it is, it belongs to whoever waits
            failed(error)
        else:
            if whole.set_running_or_notify_cancel():
                whole.set_result(result)

    def failed(error: Exception) -> None:
        if whole.set_running_or_notify_cancel():
            whole.set_exception(error)

    go_on()
    whole.add_done_callback(lambda done: cancel() if cancel and done.cancelled() else None)
    return whole
