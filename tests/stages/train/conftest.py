import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stages import discover
from stages.dataset import Dataset, Split
from stages.observer import Observer
from stages.recipe import Recipe, TrainConfig, replace, use

FAST = Recipe(
    name="fast",
    data=use("digits"),
    input=use("image", height=12, width=12),
    model=use("lenet5"),
    task=use("classify"),
    train=TrainConfig(epochs=4, batch_size=16, lr=6e-3, schedule="onecycle", warmup=0.3, device="cpu", threads=1),
)


@pytest.fixture(scope="session")
def digits() -> Dataset:
    """300 digits to train on (so the last batch of 16 is a smaller one), 60 to validate, 60 to test."""
    whole = discover.call("data", use("digits"), Path("unused"))
    cut = {
        name: Split(getattr(whole, name).inputs[:rows], getattr(whole, name).targets[:rows])
        for name, rows in {"train": 300, "validation": 60, "test": 60}.items()
    }
    return dataclasses.replace(whole, **cut)


@pytest.fixture
def fast() -> Callable[..., Recipe]:
    """A recipe that trains in a second, with changes to its TrainConfig and components."""

    def make(components: dict[str, Any] | None = None, **train: Any) -> Recipe:
        return replace(FAST, train=train, **(components or {}))

    return make


class Recorder(Observer):
    """Keeps what it hears, and calls `at(done)` after each step."""

    def __init__(self, at: Callable[[int], None] = lambda done: None) -> None:
        self.lines: list[str] = []
        self.steps: list[tuple[int, int]] = []
        self.figures: list[tuple[int, dict[str, float]]] = []
        self.at = at

    def say(self, line: str) -> None:
        self.lines.append(line)

    def progress(self, done: int, total: int, note: str = "") -> None:
        self.steps.append((done, total))
        self.at(done)

    def metrics(self, values: dict[str, float], step: int) -> None:
        self.figures.append((step, values))


@pytest.fixture
def recorder() -> type[Recorder]:
    return Recorder


@pytest.fixture(scope="session")
def ragged() -> Dataset:
    """The digits of `digits`, smaller and in two sizes, as a sequence of arrays."""
    whole = discover.call("data", use("digits"), Path("unused"))

    def cut(split: Split, rows: int) -> Split:
        pictures = [np.pad(p, ((0, i % 3), (i % 2, 0), (0, 0))) for i, p in enumerate(split.inputs[:rows])]
        return Split(pictures, split.targets[:rows])

    return dataclasses.replace(
        whole, train=cut(whole.train, 150), validation=cut(whole.validation, 30), test=cut(whole.test, 30)
    )
