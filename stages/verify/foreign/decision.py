"""What is taken for a decision where no task says it."""

import numpy as np

from deploy.bundle import Signature
from stages.dataset import Array
from stages.verify.reference import Outputs


def deciding_output(outputs: Signature) -> str | None:
    """Return the output whose largest column decides: the first real-valued (N, classes), classes above 1."""
    for spec in outputs.tensors:
        if spec.dtype.startswith("float") and len(spec.shape) == 2 and spec.shape[1] != 1:
            return spec.name
    return None


def largest_column(outputs: Outputs, name: str | None) -> tuple[Array, Array]:
    """Return the index of each row's largest value and its lead over the second; without a name no row decides."""
    if name is None:
        rows = len(next(iter(outputs.values())))
        return np.zeros(rows, np.int64), np.full(rows, np.inf)
    ranked = np.sort(outputs[name], axis=1)
    return outputs[name].argmax(axis=1), ranked[:, -1] - ranked[:, -2]
