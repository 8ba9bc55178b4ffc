"""What runs answered on their test rows, so that two of them can be compared row by row."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from deploy.errors import OnnxwayError
from pipeline.intervals import bootstrap
from pipeline.run import read_data
from stages import discover
from stages.dataset import Array, Dataset
from stages.recipe import Component
from stages.result import TrainResult, VerifyResult
from stages.split import digest
from stages.verify.statistics import mcnemar, paired_interval


class NoAnswersError(OnnxwayError):
    """There is nothing to compare row by row, and why."""


@dataclass(frozen=True)
class Answers:
    """A run's answers on its test split.

    task          that of the recipe: metrics and decisions
    test_sha256   digest of the test samples and their targets
    """

    task: Any
    outputs: dict[str, Array]
    targets: Array
    test_sha256: str

    @property
    def related(self) -> bool:
        """Whether figures hold rows against each other, so that a row that is drawn twice would find itself."""
        return bool(getattr(self.task, "rows_relate", False))

    def interval(self, metric: str) -> tuple[float, float]:
        """Return the 95 % bootstrap interval of one of the task's metrics."""

        def one(outputs: Mapping[str, Array], targets: Array) -> float:
            return float(self.task.metrics(outputs, targets)[metric])

        return bootstrap(one, self.outputs, self.targets)

    def right(self) -> Array:
        """Return which rows were decided rightly, bool (N,); `NoAnswersError` where a row has no one decision."""
        decided, _ = self.task.decide(self.outputs)
        if not getattr(self.task, "names_targets", False):
            raise NoAnswersError("its task has no one decision a row")
        right: Array = decided == self.targets
        return right


@dataclass(frozen=True)
class Pair:
    """Two runs on the same rows: how many only the first and only the second decided rightly, of how many."""

    first_only: int
    second_only: int
    rows: int

    @property
    def difference(self) -> float:
        """Accuracy of the second less that of the first."""
        return (self.second_only - self.first_only) / self.rows

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval of the difference, by a bootstrap over the rows."""
        return paired_interval(self.second_only, self.first_only, self.rows)

    @property
    def p(self) -> float:
        """McNemar's exact two-sided p-value that they are right equally often."""
        return mcnemar(self.second_only, self.first_only)


def pair(first: Answers, second: Answers) -> Pair:
    """Compare two runs row by row; `NoAnswersError` when their test rows are not the same."""
    if first.test_sha256 != second.test_sha256:
        raise NoAnswersError("its test rows are others")
    one, two = first.right(), second.right()
    return Pair(int((one & ~two).sum()), int((two & ~one).sum()), len(one))


class Reader:
    """Reads runs' answers, and each dataset once."""

    def __init__(self, data_root: Path) -> None:
        self.data_root = data_root
        self._data: list[tuple[Component, Dataset, str]] = []

    def read(self, trained: TrainResult, verified: VerifyResult | None) -> Answers:
        """Return a run's answers; `NoAnswersError` when it has none, or when its data is not here as it was."""
        if verified is None or not verified.answers.is_file():
            raise NoAnswersError("it is not verified, so its answers are not known")
        dataset, test_sha256 = self._dataset(trained)
        with np.load(verified.answers, allow_pickle=False) as archive:
            outputs = dict(archive)
        if not outputs:
            raise NoAnswersError("its answers were malformed")
        task = discover.call("tasks", trained.recipe.task, dataset.info)
        return Answers(task, outputs, dataset.test.targets, test_sha256)

    def _dataset(self, trained: TrainResult) -> tuple[Dataset, str]:
        kept = [(dataset, sha256) for component, dataset, sha256 in self._data if component == trained.recipe.data]
        dataset, test_sha256 = kept[0] if kept else self._read(trained)
        if dataset.info.digest != trained.data.digest:
            raise NoAnswersError("its data has changed since")
        return dataset, test_sha256

    def _read(self, trained: TrainResult) -> tuple[Dataset, str]:
        try:
            dataset = read_data(trained.recipe, self.data_root)
        except OnnxwayError as error:
            raise NoAnswersError(f"its data cannot be read ({error})") from None
        self._data.append((trained.recipe.data, dataset, digest(dataset.test)))
        return self._data[-1][1:]
