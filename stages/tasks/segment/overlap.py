"""How well masks agree: Dice, intersection over union, and the share of places that are right."""

import re

import numpy as np

from stages.dataset import UNKNOWN, Array

_NAMED = 10  # classes whose own figures are among the metrics; the report has those of all


def matrix(targets: Array, decided: Array, classes: int) -> Array:
    """Return counts of known places int64 (classes, classes): true class by row, decided class by column."""
    known = targets != UNKNOWN
    pairs = targets[known].astype(np.int64) * classes + decided[known]
    return np.bincount(pairs, minlength=classes * classes).reshape(classes, classes)


def dice(counts: Array) -> Array:
    """Return 2 |A and B| / (|A| + |B|) of each class; NaN for a class that is neither there nor decided for."""
    both, either = np.diag(counts), counts.sum(axis=0) + counts.sum(axis=1)
    return ratio(2 * both, either)


def iou(counts: Array) -> Array:
    """Return |A and B| / |A or B| of each class; NaN for a class that is neither there nor decided for."""
    both = np.diag(counts)
    return ratio(both, counts.sum(axis=0) + counts.sum(axis=1) - both)


def figures(counts: Array, labels: tuple[str, ...], background: int) -> dict[str, float]:
    """Return the metrics; means are over the classes that are no background and there, or decided for.

    Where there is no such class at all, nothing was missed and nothing made up: 1. Dice of each of them is there too,
    unless there is one only, or very many.
    """
    overlap, union = dice(counts), iou(counts)
    things = [index for index in range(len(labels)) if index != background]
    counted = [index for index in things if not np.isnan(overlap[index])]
    found = {
        "dice": float(overlap[counted].mean()) if counted else 1.0,
        "iou": float(union[counted].mean()) if counted else 1.0,
        "pixel_accuracy": float(np.trace(counts) / max(1, counts.sum())),
    }
    if 1 < len(things) <= _NAMED:
        found |= {f"dice_{_word(labels[index]) or index}": float(overlap[index]) for index in counted}
    return found


def _word(label: str) -> str:
    return re.sub(r"[^0-9a-z]+", "_", label.lower()).strip("_")


def ratio(part: Array, whole: Array) -> Array:
    """Return part / whole, NaN where there is nothing to divide by."""
    ratios = np.full(len(whole), np.nan)
    np.divide(part, whole, out=ratios, where=whole > 0)
    return ratios
