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

Arrays = Mapping[str, Array]
Exactly = Callable[[dict[str, Array]], dict[str, Array]]
AnyRows = Callable[[Arrays], dict[str, Array]]


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

    def run_all(arrays: Arrays) -> dict[str, Array]:
        rows = count(arrays)
        if rows == batch:
            return run(dict(arrays))
        if rows == 0:
            raise InputError(f"no rows; the model takes {batch} at a time, give 1 or more")
        return in_parts(lambda part: filled_up(run, part, batch), arrays, batch)

    return run_all


def count(arrays: Arrays) -> int:
    """Return the number of rows."""
    return len(next(iter(arrays.values())))


def in_parts(run: AnyRows, arrays: Arrays, most: int) -> dict[str, Array]:
    """Run rows, at most `most` at a time, and return the answers of all."""
    rows = count(arrays)
    if rows <= most:
        return run(arrays)
    parts = ({name: array[start : start + most] for name, array in arrays.items()} for start in range(0, rows, most))
    return joined([run(part) for part in parts])


def filled_up(run: Exactly, arrays: Arrays, rows: int) -> dict[str, Array]:
    """Run exactly `rows` rows: those of `arrays`, or fewer, and copies of the last one, whose answers are cut off."""
    found = count(arrays)
    if found == rows:
        return run(dict(arrays))
    more = {name: np.repeat(array[-1:], rows - found, axis=0) for name, array in arrays.items()}
    return first(run(joined([arrays, more])), found)


def joined(parts: Sequence[Arrays]) -> dict[str, Array]:
    """Return the rows of all parts in new memory; they are of one shape."""
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def first(outputs: dict[str, Array], rows: int) -> dict[str, Array]:
    """Return the first rows of all outputs."""
    return {name: values[:rows] for name, values in outputs.items()}
