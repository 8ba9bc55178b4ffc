"""What a task's problem is made of, for `tests/contract/test_tasks.py`: each module here has `PROBLEM`."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from stages.dataset import Dataset
from stages.recipe import Component, TrainConfig, VerifyConfig


@dataclass(frozen=True)
class Problem:
    """A small problem for one task.

    dataset      small data: some tens of training rows
    sample       one sample as an application holds it
    file         the same sample as the bytes of a file; None where there is none
    right        asserts that the typed result for `sample` is what it should be
    least        figures that the answers on the test split must reach
    edges        payloads that must be answered all the same: empty, tiny, unknown
    wrong        payloads that must be refused, with words of the refusal
    drawn        results can be drawn (over the sample)
    rehearsed    placement is tried with the CUDA provider
    """

    dataset: Callable[[], Dataset]
    input: Component
    model: Component
    task: Component
    sample: Callable[[Dataset], Any]
    right: Callable[[Any, Dataset], None]
    file: Callable[[Any], bytes] | None = None
    train: TrainConfig = field(default_factory=lambda: TrainConfig(epochs=3, batch_size=16, lr=5e-3))
    verify: VerifyConfig = field(default_factory=lambda: VerifyConfig(rows=60, max_batch=16, budget_s=1, witness=2))
    least: Mapping[str, float] = field(default_factory=dict)
    edges: Callable[[Dataset], list[Any]] = field(default=lambda _: [])
    wrong: list[tuple[Any, str]] = field(default_factory=list)
    drawn: bool = True
    rehearsed: bool = True


def png(pixels: np.ndarray) -> bytes:
    """The file of a picture (H, W, C)."""
    from deploy.outputs import pictures

    return pictures.png(pixels)
