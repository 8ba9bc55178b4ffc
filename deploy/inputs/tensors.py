"""Tensors as a graph takes them, for models whose inputs are of no kind that is known here."""

from collections.abc import Mapping

import numpy as np

from deploy.arrays import Array
from deploy.bundle import TensorSpec
from deploy.errors import InputError
from deploy.inputs.checks import describe
from deploy.inputs.kind import InputKind
from deploy.inputs.numbers import axes, from_lists


class TensorsInput(InputKind):
    """Tensors as the graph takes them: arrays by input name, or the array of the only input.

    Arrays with the batch axis are a batch, arrays without it one row. Lists of numbers become arrays of the input's
    dtype; arrays must have it. What they may hold is for the graph to say.
    """

    finite = False

    def is_batch(self, payload: object) -> bool:
        """Return whether the arrays have the batch axis."""
        given = payload if isinstance(payload, Mapping) else {self.signature.tensors[0].name: payload}
        specs = {spec.name: spec for spec in self.signature.tensors}
        return any(axes(value) == len(specs[name].shape) for name, value in given.items() if name in specs)

    def arrays(self, payload: object) -> dict[str, Array]:
        """Return the input tensors by name, with the batch axis."""
        given = self._named(payload)
        single = [name for name, spec in self._specs().items() if given[name].ndim == len(spec.shape) - 1]
        if not single:
            return given
        if len(single) < len(given):
            names = ", ".join(map(repr, single))
            raise InputError(f"inputs {names} are single rows, and the others are batches; give all of one kind")
        return {name: array[None] for name, array in given.items()}

    def _specs(self) -> dict[str, TensorSpec]:
        return {spec.name: spec for spec in self.signature.tensors}

    def _named(self, payload: object) -> dict[str, Array]:
        specs = self._specs()
        if not isinstance(payload, Mapping):
            if len(specs) > 1 or not isinstance(payload, np.ndarray | list | tuple):
                alone = "" if len(specs) > 1 else ", or the array alone"
                wanted = ", ".join(map(_describe_named, specs.values()))
                raise InputError(f"got {type(payload).__name__}, expected a mapping with {wanted}{alone}")
            payload = {next(iter(specs)): payload}
        for name in payload:
            if name not in specs:
                raise InputError(f"input {str(name)!r}: the model has no such input; expected {', '.join(specs)}")
        missing = [spec for name, spec in specs.items() if name not in payload]
        if missing:
            raise InputError(f"input {missing[0].name!r}: missing; expected {describe(missing[0])}")
        return {name: from_lists(payload[name], spec) for name, spec in specs.items()}


def _describe_named(spec: TensorSpec) -> str:
    return f"{spec.name!r}: {describe(spec)}"
