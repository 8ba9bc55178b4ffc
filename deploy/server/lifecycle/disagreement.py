"""How far the answers of two versions of a model are apart."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from deploy.arrays import Array
from deploy.outputs import output_kind
from deploy.predictor import Info

CLASSES = "classes"


@dataclass(frozen=True)
class Disagreement:
    """What two versions made of the same rows.

    rows        how many
    decided     rows on which they decided differently
    largest     largest difference of each output of real numbers, in units of the first version's rounding noise
    """

    rows: int
    decided: int
    largest: dict[str, float] = field(default_factory=dict)


def compare(info: Info, answers: Mapping[str, Array], other: Info, others: Mapping[str, Array]) -> Disagreement:
    """Compare the answers of a version with those of another one to the same input.

    A decision among classes is its label. Where there is none, rows differ that the golden samples would not pass
    (`deploy.samples.compare`): whole numbers that are not equal, or real numbers further apart than
    2 * limit * noise (rms over the row), by the passport of the first version. Where the numbers behind it are no
    further apart than that, a pixel of a mask, the side of an anomaly and whether a point is found may differ: those
    are ties. Of boxes and ranked lists another order counts, whatever the reason.
    """
    rows = len(answers[info.output.tensors[0].name])
    differing = np.zeros(rows, bool)
    largest: dict[str, float] = {}
    for name in (spec.name for spec in info.output.tensors if spec.name in answers):
        left, right = answers[name], others[name]
        if left.shape != right.shape:
            differing[:] = True
            largest[name] = np.inf
        elif left.dtype.kind == "f":
            noise = _noise(info, name, left)
            apart = _by_row(_apart(left, right) / noise, rows)
            largest[name] = float(apart.max(initial=0.0))
            differing |= np.sqrt(np.mean(np.square(apart), axis=1)) > 2 * info.passport.limit
        else:
            differing |= _by_row((left != right) & ~_ties(info, name, answers, others), rows).any(axis=1)
    if info.output.kind == CLASSES:
        differing = _decided(info, answers) != _decided(other, others)
    return Disagreement(rows, int(differing.sum()), largest)


def _decided(info: Info, answers: Mapping[str, Array]) -> Array:
    return np.asarray(info.labels)[answers["class_index"]]


def _ties(info: Info, name: str, answers: Mapping[str, Array], others: Mapping[str, Array]) -> Array:
    """Return at which places of an output both versions have the same numbers, by which it is decided, but for noise.

    Nowhere, if the output is not decided by numbers at the same places.
    """
    by = output_kind(info.output).decided_by.get(name, "")
    if by not in answers or answers[by].shape != others[by].shape:
        return np.zeros(1, bool)
    apart = _apart(answers[by], others[by])
    if apart.ndim > answers[name].ndim:  # (N, classes, ...)
        apart = apart.max(axis=1)
    return np.asarray(apart <= 2 * info.passport.limit * _noise(info, by, answers[by]))


def _apart(left: Array, right: Array) -> Array:
    """Return the absolute difference, float64: 0 where both are the same, infinite where only one is a number."""
    with np.errstate(invalid="ignore"):
        apart = np.abs(left.astype(np.float64) - right)
    apart[np.isnan(apart)] = np.inf
    apart[(left == right) | (np.isnan(left) & np.isnan(right))] = 0.0
    return apart


def _noise(info: Info, name: str, values: Array) -> float:
    """Return the noise of an output; one that has none in the passport is held to the rounding of its own numbers."""
    known = info.passport.noise.get(name, 0.0)
    return known or float(np.finfo(values.dtype).eps * max(1.0, np.abs(values[np.isfinite(values)]).max(initial=0.0)))


def _by_row(values: Array, rows: int) -> Array:
    """Return values with a row for each row of the request; an output without that axis counts for all of them."""
    return values.reshape(rows, -1) if values.ndim and len(values) == rows else values.reshape(1, -1)
