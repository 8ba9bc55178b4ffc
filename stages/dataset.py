"""What a data source returns: three splits of raw samples, as they come in production, and what they mean."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

TEXT = ("length",)
"""Sample shape of texts: code points (N, length), int32, as `deploy.inputs.text.encode_text` makes them."""

UNKNOWN = 255
"""Class of a pixel that nobody has marked: in masks it counts neither for the loss nor for any figure."""


@dataclass(frozen=True)
class DataInfo:
    """The part of a dataset that later stages need without the data itself; written into every result.

    sample_shape    of one raw sample, with names for free sizes: ("height", "width", 3)
    labels          names of the classes, by index; empty when the task has none
    digest          SHA-256 over all samples, targets and the split
    sizes           rows by split
    counts          training rows by class, in the order of `labels`; empty when the task has none
    alphabet        characters of the training texts, the most frequent first; empty where samples are no texts
    skipped         samples left out because they could not be read, where a source was told to go on without them
    ids             what samples name by number: the numbers, sorted, by what they stand for ("users", "items")
    """

    name: str
    sample_shape: tuple[int | str, ...]
    labels: tuple[str, ...]
    digest: str
    licence: str
    sizes: dict[str, int] = field(default_factory=dict)
    counts: tuple[int, ...] = ()
    skipped: int = 0
    alphabet: str = ""
    ids: dict[str, tuple[int, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Split:
    """Raw samples and their targets.

    inputs     one array (N, ...) when all samples have one shape, else a sequence of arrays, decoded when asked for
    targets    int64 (N,) for classes; uint8 (N, H, W) or (N, D, H, W) for masks, of classes or `UNKNOWN`; other tasks
               say what theirs are
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


def alphabet(points: Array) -> str:
    """Return the characters of code points (N, length), the most frequent first; padding is none."""
    found, counts = np.unique(points, return_counts=True)
    order = np.argsort(-counts, kind="stable")
    return "".join(chr(point) for point in found[order].tolist() if point)
