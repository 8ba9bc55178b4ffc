"""What a lane does with the jobs of a batch: merge their tensors, run the graph once, give each its own rows back.

Pictures of different sizes share a batch where the bundle holds its graph cut at `preprocessed`: each job goes through
`pre.onnx` alone and the rows, now of one size, through `net.onnx` together. Jobs of one size run the whole graph.
On CUDA both go through `deploy.buckets`.

Lanes share one session, and so one copy of the weights: with one thread a session runs on the thread that calls it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from deploy.arrays import Array
from deploy.bundle import UNNAMED, TensorSpec
from deploy.errors import OnnxwayError
from deploy.rows import count, joined

Arrays = Mapping[str, Array]
Run = Callable[[Arrays], Arrays]


@dataclass(frozen=True)
class CutRun:
    """The graph in two halves: `pre` gives the tensor that `net` takes, of one size whatever came in."""

    pre: Run
    net: Run

    def __call__(self, jobs: Sequence[Arrays]) -> Arrays:
        """Preprocess each job alone and run the rest of the graph on all of them."""
        return self.net(joined([self.pre(arrays) for arrays in jobs]))


@dataclass(frozen=True)
class Runner:
    """Runs batches. Threads may share it as they may share its sessions.

    run     the whole graph
    cut     the same for rows of different shapes, where they are to share a batch: such as a `CutRun`
    """

    run: Run
    cut: Callable[[Sequence[Arrays]], Arrays] | None = None

    def __call__(self, jobs: Sequence[Arrays]) -> list[dict[str, Array]]:
        """Return the output tensors of each job, read-only, for the input tensors of each."""
        counts = [count(arrays) for arrays in jobs]
        if len(jobs) == 1:
            outputs = self.run(jobs[0])
        elif _alike(jobs):
            outputs = self.run(joined(jobs))
        elif self.cut is None:
            raise OnnxwayError("jobs of different shapes in one batch; the model has no cut that lets them share it")
        else:
            outputs = self.cut(jobs)
        return _split(outputs, counts)


def share_rows(inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]) -> bool:
    """Tell whether every tensor begins with one free axis of one name: only then may rows of several jobs mix.

    Axes without a name need not be equal: the number of boxes found may happen to be the number of pictures asked for.
    """
    firsts = {spec.shape[0] if spec.shape else 1 for spec in (*inputs, *outputs)}
    return len(firsts) == 1 and all(isinstance(first, str) and first != UNNAMED for first in firsts)


def _alike(jobs: Sequence[Arrays]) -> bool:
    first = jobs[0]
    return all(arrays[name].shape[1:] == array.shape[1:] for name, array in first.items() for arrays in jobs)


def _split(outputs: Arrays, counts: Sequence[int]) -> list[dict[str, Array]]:
    rows = sum(counts)
    for name, values in outputs.items():
        if len(counts) > 1 and (not values.ndim or len(values) != rows):
            raise OnnxwayError(
                f"output {name!r} has shape {values.shape} for a batch of {rows} rows; the model must not be batched"
            )
        values.flags.writeable = False  # neighbours hold views of the same memory
    if len(counts) == 1:
        return [dict(outputs)]
    found, at = [], 0
    for its in counts:
        found.append({name: values[at : at + its] for name, values in outputs.items()})
        at += its
    return found
