"""What a data source returns: three splits of raw samples, as they come in production, and what they mean."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy.typing as npt

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class DataInfo:
    """The part of a dataset that later stages need without the data itself; written into every result.

    sample_shape    of one raw sample, with names for free sizes: ("height", "width", 3)
    labels          names of the classes, by index; empty when the task has none
    digest          SHA-256 over all samples, targets and the split
    sizes           rows by split
    """

    name: str
    sample_shape: tuple[int | str, ...]
    labels: tuple[str, ...]
    digest: str
    licence: str
    sizes: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Split:
    """Raw samples and their targets.

    inputs     one array (N, ...) when all samples have one shape, else a sequence of arrays, decoded when asked for
    targets    int64 (N,) for classes; other tasks say what theirs are
    """

    inputs: Array | Sequence[Array]
    targets: Array

    def __len__(self) -> int:
        return len(self.targets)


@dataclass(frozen=True)
class Dataset:
    """Train, validation and test splits; validation may be empty (then training keeps its last weights)."""

    info: DataInfo
    train: Split
    validation: Split
    test: Split
