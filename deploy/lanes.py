"""What a lane does with the jobs of a batch: merge their tensors, run the graph once, give each its own rows back.

Pictures of different sizes share a batch where the bundle holds its graph cut at `preprocessed`: each job goes through
`pre.onnx` alone and the rows, now of one size, through `net.onnx` together. Jobs of one size run the whole graph.

Lanes share one session, and so one copy of the weights: with one thread a session runs on the thread that calls it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from deploy.arrays import Array
from deploy.bundle import UNNAMED, TensorSpec
from deploy.errors import OnnxwayError

Arrays = Mapping[str, Array]
Run = Callable[[Arrays], Arrays]


@dataclass(frozen=True)
class CutRun:
    """The graph in two halves: `pre` gives the tensor that `net` takes, of one size whatever came in."""

    pre: Run
    net: Run

    def __call__(self, jobs: Sequence[Arrays]) -> Arrays:
        """Preprocess each job alone and run the rest of the graph on all of them."""
        halves = [self.pre(arrays) for arrays in jobs]
        return self.net({name: np.concatenate([half[name] for half in halves]) for name in halves[0]})


@dataclass(frozen=True)
class Runner:
    """Runs batches. Threads may share it as they may share its sessions.

    run     the whole graph
    cut     the same in two halves, where rows of different shapes are to share a batch
    """

    run: Run
    cut: CutRun | None = None

    def __call__(self, jobs: Sequence[Arrays], size: int) -> list[dict[str, Array]]:
        """Return the output tensors of each job, read-only, for the input tensors of each.

        size    rows to run: those of the jobs, or more, made up with copies of the last row
        """
        counts = [len(next(iter(arrays.values()))) for arrays in jobs]
        if len(jobs) > 1 and not _alike(jobs):
            if self.cut is None:
                raise OnnxwayError(
                    "jobs of different shapes in one batch; the model has no cut that lets them share it"
                )
            outputs = self.cut(jobs)
        else:
            outputs = self.run(_merge(jobs, size - sum(counts)))
        return _split(outputs, counts, size)


def share_rows(inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]) -> bool:
    """Tell whether every tensor begins with one free axis of one name: only then may rows of several jobs mix.

    Axes without a name need not be equal: the number of boxes found may happen to be the number of pictures asked for.
    """
    firsts = {spec.shape[0] if spec.shape else 1 for spec in (*inputs, *outputs)}
    return len(firsts) == 1 and all(isinstance(first, str) and first != UNNAMED for first in firsts)


def _alike(jobs: Sequence[Arrays]) -> bool:
    first = jobs[0]
    return all(arrays[name].shape[1:] == array.shape[1:] for name, array in first.items() for arrays in jobs)


def _merge(jobs: Sequence[Arrays], padding: int) -> Arrays:
    if len(jobs) == 1 and not padding:
        return jobs[0]
    merged = {}
    for name, last in jobs[-1].items():
        parts = [arrays[name] for arrays in jobs]
        merged[name] = np.concatenate(parts + [last[-1:]] * padding)
    return merged


def _split(outputs: Arrays, counts: Sequence[int], size: int) -> list[dict[str, Array]]:
    for name, values in outputs.items():
        if len(counts) > 1 and (not values.ndim or len(values) not in (size, sum(counts))):
            raise OnnxwayError(
                f"output {name!r} has shape {values.shape} for a batch of {size} rows; the model must not be batched"
            )
        values.flags.writeable = False  # neighbours hold views of the same memory
    if len(counts) == 1 and counts[0] == size:
        return [dict(outputs)]
    found, at = [], 0
    for count in counts:
        found.append({name: values[at : at + count] for name, values in outputs.items()})
        at += count
    return found
