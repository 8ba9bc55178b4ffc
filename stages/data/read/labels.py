"""Labels as they stand in files, brought to class numbers."""

from collections.abc import Sequence

import numpy as np

from stages.dataset import Array
from stages.errors import DataError


def as_text(value: object) -> str:
    """Return a label as people write it: whole numbers without a fraction."""
    return str(int(value)) if isinstance(value, float | np.floating) and float(value).is_integer() else str(value)


def numbered(where: str, named: Sequence[str], known: Sequence[str] = ()) -> tuple[tuple[str, ...], Array]:
    """Return the names of the classes, sorted (numbers by value), and the class of each row as int64 (N,).

    `known` are the names that may occur, in their order; another one is a `DataError` that names its row.
    """
    labels = tuple(known) or tuple(sorted(set(named), key=_by_value))
    index = {label: number for number, label in enumerate(labels)}
    for row, label in enumerate(named):
        if label not in index:
            raise DataError(
                f"{where}: sample {row} has label {label!r}, expected one of {', '.join(labels[:10])}"
                f"{', ...' if len(labels) > 10 else ''}; mend or remove it"
            )
    return labels, np.array([index[label] for label in named], dtype=np.int64)


def _by_value(label: str) -> tuple[float, str]:
    try:
        return float(label), label
    except ValueError:
        return float("inf"), label
