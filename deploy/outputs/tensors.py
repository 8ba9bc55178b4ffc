"""Any tensors, row by row."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np

from deploy.arrays import Array
from deploy.outputs.kind import OutputKind, Result


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

    def read(self, arrays: Mapping[str, Array], inputs: Mapping[str, Array]) -> list[Tensors]:
        """Return one `Tensors` for each row."""
        own = {
            spec.name: arrays[spec.name].copy() for spec in self.signature.tensors
        }  # what results hold must not change with the buffers
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
