"""Outputs as their largest values, in words: Triton's classification extension.

https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_classification.md
"""

from collections.abc import Mapping, Sequence

import numpy as np

from deploy.arrays import Array
from deploy.bundle import TensorSpec
from deploy.errors import InputError


def read_count(spec: TensorSpec, value: object) -> int:
    """Return the parameter `classification` of an output: how many classes are wanted, 0 for the tensor itself."""
    if value is None:
        return 0
    where = f"output {spec.name!r}"
    if type(value) is not int or not 0 <= value < 2**31:
        raise InputError(f"{where}: classification is {str(value)[:40]}, expected a whole number from 1 up")
    if value and (spec.dtype == "bool" or not spec.shape):
        raise InputError(f"{where}: {spec.dtype} of {len(spec.shape)} axes has no classes; ask for it without any")
    return value


def classified(outputs: Mapping[str, Array], counts: Mapping[str, int], labels: Sequence[str]) -> dict[str, Array]:
    """Return outputs with those in `counts` as (rows, count) of bytes, by `top`."""
    return {name: top(array, counts[name], labels) if name in counts else array for name, array in outputs.items()}


def top(array: Array, count: int, labels: Sequence[str] = ()) -> Array:
    """Return the `count` largest values of each row (all if there are fewer), as `value:index` or `value:index:label`.

    array    (rows, ...) of numbers; the index is into what is behind the first axis, row-major, and where that has as
             many values as there are labels, it has one. Equal values stand in the order of their indices.

    The result is (rows, count) of UTF-8, dtype object; real numbers have six decimals, as Triton writes them.
    """
    rows = array.reshape(len(array), -1)
    # both turn the order round, and neither overflows
    order = np.argsort(-rows if rows.dtype.kind == "f" else ~rows, axis=1, kind="stable")[:, :count]
    form = "%f:%d" if rows.dtype.kind == "f" else "%d:%d"
    named = len(labels) == rows.shape[1]
    made = np.empty(order.shape, object)
    for at, index in np.ndenumerate(order):
        words = form % (rows[at[0], index], index)
        made[at] = (f"{words}:{labels[int(index)]}" if named else words).encode()
    return made
