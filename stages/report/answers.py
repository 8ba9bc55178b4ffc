"""What a task's own figures are made from."""

from dataclasses import dataclass

from stages.dataset import Array, Dataset
from stages.report.samples import Draw


@dataclass(frozen=True)
class Answers:
    """A run's answers on the test split.

    outputs    the exported graph's tensors by name, a row for each row of `dataset.test`
    metrics    what training measured on the test split
    draw       shows one raw sample as HTML, whatever kind it is of; takes words that say what it is
    """

    outputs: dict[str, Array]
    dataset: Dataset
    metrics: dict[str, float]
    draw: Draw
