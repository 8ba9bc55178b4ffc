"""Decisions at many places of a row, and what they come to for the row.

A mask decides at every pixel, a list at every rank. A row is decided otherwise when any of its places is, and that is
as grave as the gravest of them: the flipped place with the largest margin.
"""

import numpy as np

from stages.dataset import Array
from stages.task import Matched, Matching
from stages.verify.reference import Outputs, Reference


def held(reference: Reference, found: Outputs, truth: Outputs) -> Matched:
    """Return answers in the truth's order, and the decisions by place; where nothing is matched, a row is a thing."""
    if isinstance(reference, Matching):
        return reference.match(found, truth)
    expected, margins = reference.decide(truth)
    decided, _ = reference.decide(found)
    return Matched(found, expected, decided, margins, np.ones(len(expected), np.int64))


def aligned(reference: Reference, found: Outputs, truth: Outputs) -> Outputs:
    """Return answers in the truth's order, so that they can be subtracted."""
    return dict(reference.match(found, truth).aligned) if isinstance(reference, Matching) else found


def worst_places(matched: Matched) -> tuple[Array, Array, Array]:
    """Return expected and found decisions and the margin (N,) at one place of each row.

    The flipped one with the largest margin or, where none is flipped, the one with the smallest.
    """
    expected, decided, margins = matched.expected, matched.decided, matched.margins
    if expected.ndim == 1:
        return expected, decided, margins
    rows = len(expected)
    expected, decided, margins = (values.reshape(rows, -1) for values in (expected, decided, margins))
    if not expected.shape[1]:
        return np.zeros(rows, np.int64), np.zeros(rows, np.int64), np.full(rows, np.inf)
    flipped = np.asarray(expected != decided)
    gravest = np.where(flipped, margins, -np.inf).argmax(axis=1)
    place = np.where(flipped.any(axis=1), gravest, margins.argmin(axis=1))
    one, other, margin = (values[np.arange(rows), place] for values in (expected, decided, margins))
    return one, other, margin


def by_row(decisions: Array, margins: Array) -> tuple[Array, Array]:
    """Return numbers (N,) that are equal where all decisions of two rows are, and the smallest margin of each row."""
    if decisions.ndim == 1:
        return decisions, margins
    rows = len(decisions)
    _, numbers = np.unique(decisions.reshape(rows, -1), axis=0, return_inverse=True)
    return numbers.reshape(rows), margins.reshape(rows, -1).min(axis=1, initial=np.inf)
