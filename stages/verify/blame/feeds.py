"""Which inputs to follow through the graph: few rows that show the failure."""

from collections.abc import Iterator

import numpy as np

from deploy.errors import OnnxwayError
from stages.verify.blame.steps import Judge
from stages.verify.cases import edges
from stages.verify.material import Material, count, head, repeated, row
from stages.verify.reference import Answer, Feeds, Reference
from stages.verify.worst import Batch, Worst

_FEW = 4
_MANY = 16


def candidates(worst: Worst, material: Material | None, reference: Reference, seed: int = 0) -> Iterator[Batch]:
    """Yield batches that may show the failure, likeliest first: those that were worst, then ordinary ones and edges."""
    yield from worst.batches
    if material is None:
        return
    sample = next(material.test(_MANY))
    for rows in (1, 7, _MANY):
        yield Batch(0.0, head(repeated(sample, rows), rows), "test rows")
    for number in range(1, count(sample)):
        yield Batch(0.0, row(sample, number), f"row {number} alone")
    for name, feeds in edges(reference.input, sample, seed):
        yield Batch(0.0, feeds, name)


def fewer(judge: Judge, batch: Batch, answer: Answer) -> Iterator[Batch]:
    """Yield parts of a batch, small ones first, then all of it: a failure may need its neighbours."""
    rows = count(batch.feeds)
    if rows > _FEW:
        yield Batch(batch.score, _rows(batch.feeds, _worst_rows(judge, batch.feeds, answer)), batch.where)
    for size in (_FEW, _MANY):
        if rows > size:
            yield Batch(batch.score, head(batch.feeds, size), batch.where)
    yield batch


def exactly(batches: Iterator[Batch], rows: int) -> Iterator[Batch]:
    """Yield the same rows in batches of exactly so many, filled up from their start, for a file that takes no other."""
    for batch in batches:
        for start in range(0, count(batch.feeds), rows):
            part = {name: array[start : start + rows] for name, array in batch.feeds.items()}
            yield Batch(batch.score, repeated(part, rows), batch.where)


def _worst_rows(judge: Judge, feeds: Feeds, answer: Answer) -> list[int]:
    """Return the rows with the largest differences to the truth."""
    rows = count(feeds)
    try:
        truth, found = judge.reference.truth(feeds), answer(feeds)
    except OnnxwayError:
        return list(range(_FEW))
    score = np.zeros(rows)
    for name, exact in truth.items():
        value = found.get(name)
        if value is None or value.shape != exact.shape or len(exact) != rows:
            continue
        apart = np.abs(value.astype(np.float64) - exact).reshape(rows, -1).max(axis=1, initial=0.0)
        scale = np.abs(exact).max(initial=0.0) or 1.0
        score = np.maximum(score, np.nan_to_num(apart / scale, nan=np.inf, posinf=np.inf))
    return sorted(np.argsort(-score, kind="stable")[:_FEW].tolist())


def _rows(feeds: Feeds, numbers: list[int]) -> Feeds:
    return {name: array[numbers] for name, array in feeds.items()}
