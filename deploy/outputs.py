"""Output tensors to typed results, by kind of output.

A kind is a frozen result class, an `OutputKind` that makes it, and an entry in `_KINDS`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np

from deploy.arrays import Array
from deploy.bundle import Signature
from deploy.errors import BundleError, UsageError


class Result:
    """What a prediction is: something with a JSON form."""

    def to_dict(self) -> dict[str, Any]:
        """Return the result as JSON values."""
        raise NotImplementedError


class OutputKind:
    """One kind of output: makes one result for each row."""

    def __init__(self, signature: Signature) -> None:
        self.signature = signature

    def read(self, arrays: Mapping[str, Array]) -> Sequence[Result]:
        """Return one result for each row of the output tensors."""
        raise NotImplementedError


@dataclass(frozen=True)
class Score:
    """One class and its probability in [0, 1]."""

    label: str
    index: int
    probability: float


@dataclass(frozen=True)
class Classification(Result):
    """One decision among labels: the class, its probability in [0, 1], and the probabilities of all (classes,)."""

    label: str
    index: int
    probability: float
    probabilities: Array = field(repr=False, compare=False)
    labels: tuple[str, ...] = field(repr=False)

    def top(self, k: int = 5) -> tuple[Score, ...]:
        """Return the `k` most probable classes (all of them when there are fewer); the first is the decision."""
        if k < 1:
            raise UsageError(f"top({k}): expected 1 or more")
        order = np.argsort(-self.probabilities, kind="stable")[: k + 1].tolist()
        chosen = [self.index, *(i for i in order if i != self.index)][:k]
        return tuple(Score(self.labels[i], i, float(self.probabilities[i])) for i in chosen)

    def to_dict(self, k: int = 5) -> dict[str, Any]:
        """Return label, index, probability and the top `k` as JSON values."""
        top = [vars(score) for score in self.top(k)]
        return {"label": self.label, "index": self.index, "probability": self.probability, "top": top}


class ClassesOutput(OutputKind):
    """Reads `probabilities` float32 (N, classes) and `class_index` int64 (N,)."""

    def read(self, arrays: Mapping[str, Array]) -> list[Classification]:
        """Return one `Classification` for each row."""
        # A copy: what results hold must not change when the session reuses its buffers, nor when a caller writes.
        probabilities = arrays["probabilities"].copy()
        probabilities.flags.writeable = False
        labels = self.signature.labels
        return [
            Classification(labels[index], index, float(row[index]), row, labels)
            for row, index in zip(probabilities, arrays["class_index"].tolist(), strict=True)
        ]


@dataclass(frozen=True)
class Tensors(Result):
    """One row of every output tensor, by name; read-only. `result["logits"]` is `result.outputs["logits"]`."""

    outputs: Mapping[str, Array] = field(compare=False)

    def __getitem__(self, name: str) -> Array:
        return self.outputs[name]

    def to_dict(self) -> dict[str, Any]:
        """Return nested lists by output name; null stands for NaN and infinity, which JSON lacks."""
        return {"outputs": {name: _numbers(array) for name, array in self.outputs.items()}}


class TensorsOutput(OutputKind):
    """Reads any tensors whose first axis is the rows."""

    def read(self, arrays: Mapping[str, Array]) -> list[Tensors]:
        """Return one `Tensors` for each row."""
        own = {spec.name: arrays[spec.name].copy() for spec in self.signature.tensors}  # as in `ClassesOutput`
        for array in own.values():
            array.flags.writeable = False
        rows = len(next(iter(own.values())))
        return [Tensors(MappingProxyType({n: array[i, ...] for n, array in own.items()})) for i in range(rows)]


def _numbers(array: Array) -> Any:
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        known = array.astype(object)
        known[~np.isfinite(array)] = None
        return known.tolist()
    return array.tolist()


_KINDS: dict[str, type[OutputKind]] = {"classes": ClassesOutput, "tensors": TensorsOutput}


def output_kind(signature: Signature) -> OutputKind:
    """Return the kind that a signature names; `BundleError` for one that this version does not know."""
    try:
        return _KINDS[signature.kind](signature)
    except KeyError:
        choices = ", ".join(sorted(_KINDS))
        raise BundleError(
            f"output kind {signature.kind!r}: this onnxway knows {choices}; upgrade: pip install -U onnxway"
        ) from None
