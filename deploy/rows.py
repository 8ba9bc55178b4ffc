"""Models with a fixed batch: the file takes exactly so many rows at a time, and callers may have any number of them.

Rows go through in batches of that size, the last one filled up with copies of its last row, and what was filled up is
cut off again. Everything above a session sees a free first axis.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from deploy.arrays import Array
from deploy.bundle import Signature, TensorSpec
from deploy.errors import InputError

BATCH = "batch"
"""What the first axis is called where it is made free."""

Exactly = Callable[[dict[str, Array]], dict[str, Array]]
AnyRows = Callable[[Mapping[str, Array]], dict[str, Array]]


def fixed_batch(inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]) -> int | None:
    """Return the number with which the shapes of all tensors begin; None where there is no such one."""
    firsts = {spec.shape[0] if spec.shape else None for spec in (*inputs, *outputs)}
    only = firsts.pop() if len(firsts) == 1 else None
    return only if isinstance(only, int) and only > 0 else None


def freed(signature: Signature) -> Signature:
    """Return the signature with a free first axis in all its tensors."""
    return replace(signature, tensors=free_specs(signature.tensors))


def free_specs(specs: Sequence[TensorSpec]) -> tuple[TensorSpec, ...]:
    """Return the tensors with a free first axis."""
    return tuple(replace(spec, shape=(BATCH, *spec.shape[1:])) for spec in specs)


def by_batch(run: Exactly, batch: int) -> AnyRows:
    """Return what runs any number of rows (1 or more) in batches of exactly `batch`; outputs are by row, as inputs."""

    def run_all(arrays: Mapping[str, Array]) -> dict[str, Array]:
        rows = len(next(iter(arrays.values())))
        if rows == batch:
            return run(dict(arrays))
        if rows == 0:
            raise InputError(f"no rows; the model takes {batch} at a time, give 1 or more")
        answers = [run(_part(arrays, start, batch)) for start in range(0, rows, batch)]
        return {name: np.concatenate([answer[name] for answer in answers])[:rows] for name in answers[0]}

    return run_all


def _part(arrays: Mapping[str, Array], start: int, batch: int) -> dict[str, Array]:
    part = {name: array[start : start + batch] for name, array in arrays.items()}
    missing = batch - len(next(iter(part.values())))
    if not missing:
        return part
    return {name: np.concatenate([array, np.repeat(array[-1:], missing, axis=0)]) for name, array in part.items()}
