"""Figures of a split from the graph's own outputs: raw samples in, decisions out, in float32, as it will be served."""

from collections.abc import Callable, Iterator
from typing import cast

import numpy as np
import torch

from stages.dataset import Array, Dataset, Split
from stages.graph import Graph
from stages.task import Scores
from stages.train.device import tf32
from stages.train.distributed import Group

_ELEMENTS = 8_000_000  # of preprocessed input in one batch
_ROWS = 512

Tick = Callable[[], None]


def evaluate(
    graph: Graph,
    split: Split,
    device: torch.device,
    tick: Tick = lambda: None,
    group: Group = Group(),  # noqa: B008
) -> dict[str, float]:
    """Return the task's metrics over a split."""
    return graph.task.metrics(outputs(graph, split, device, tick, group), split.targets)


def outputs(
    graph: Graph,
    split: Split,
    device: torch.device,
    tick: Tick = lambda: None,
    group: Group = Group(),  # noqa: B008
) -> dict[str, Array]:
    """Return every output tensor over a split, by name; `tick` is called after each batch.

    Samples of one shape go through the whole graph in batches. Samples of several shapes are preprocessed each alone,
    as they will be when served, and share a batch after that. The processes of a group share the rows out.
    """
    return _named(graph, _over(graph, split, device, tick, group, graph.post))


def fitted(
    graph: Graph,
    dataset: Dataset,
    device: torch.device,
    tick: Tick = lambda: None,
    group: Group = Group(),  # noqa: B008
) -> dict[str, float]:
    """Fit what is fitted after training, as `stages.task.Task` says; return the task's metrics over the test split.

    What `post.fit` returns about what it found is among them, and so are metrics as they were before it, where they
    changed: `<name>_uncalibrated`.
    """
    remember = getattr(graph.head, "fit", None)
    if remember is not None:
        remember(_features(graph, dataset.train, device, tick))
    fit = getattr(graph.post, "fit", None)
    if fit is None or not len(dataset.validation):
        return evaluate(graph, dataset.test, device, tick, group)
    held, tested = (_over(graph, split, device, tick, group, _several) for split in (dataset.validation, dataset.test))
    before = _decided(graph, tested, dataset.test.targets, device)
    found: dict[str, float] = fit(_one(held), dataset.validation.targets)
    after = _decided(graph, tested, dataset.test.targets, device)
    changed = {f"{name}_uncalibrated": value for name, value in before.items() if value != after[name]}
    return after | changed | found


@torch.no_grad()
def _features(graph: Graph, split: Split, device: torch.device, tick: Tick) -> Iterator[torch.Tensor]:
    """Yield the features of all rows, a batch at a time, in evaluation mode."""
    graph.eval()
    with tf32(device, allowed=False):
        for preprocessed in _preprocessed(graph, split, device):
            yield graph.net(preprocessed)
            tick()


def _several(scores: Scores) -> tuple[torch.Tensor, ...]:
    return (scores,) if isinstance(scores, torch.Tensor) else scores


def _one(scores: list[torch.Tensor]) -> Scores:
    return scores[0] if len(scores) == 1 else tuple(scores)


@torch.inference_mode()
def _decided(graph: Graph, scores: list[torch.Tensor], targets: Array, device: torch.device) -> dict[str, float]:
    answers = [tensor.cpu() for tensor in graph.post(_one([part.to(device) for part in scores]))]
    return graph.task.metrics(_named(graph, answers), targets)


def _named(graph: Graph, answers: list[torch.Tensor]) -> dict[str, Array]:
    names = [tensor.name for tensor in graph.task.output.tensors]
    return {name: answer.numpy() for name, answer in zip(names, answers, strict=True)}


@torch.inference_mode()
def _over(
    graph: Graph,
    split: Split,
    device: torch.device,
    tick: Tick,
    group: Group,
    answer: Callable[[Scores], tuple[torch.Tensor, ...]],
) -> list[torch.Tensor]:
    """Return what `answer` makes of the scores of all rows, on the CPU."""
    mine = group.rows(len(split))
    was_training = graph.training
    graph.eval()
    try:
        with tf32(device, allowed=False):
            parts = []
            for preprocessed in _preprocessed(graph, Split(split.inputs[mine], split.targets[mine]), device):
                parts.append([tensor.cpu() for tensor in answer(graph.head(graph.net(preprocessed)))])
                tick()
    finally:
        graph.train(was_training)
    return [group.gathered(torch.cat(pieces), len(split)) for pieces in zip(*parts, strict=True)]


def _preprocessed(graph: Graph, split: Split, device: torch.device) -> Iterator[torch.Tensor]:
    rows = batch_rows(graph, split)
    for start in range(0, len(split), rows):
        if isinstance(split.inputs, np.ndarray):
            yield graph.pre(torch.from_numpy(split.inputs[start : start + rows]).to(device))
            continue
        end = min(start + rows, len(split))
        singles = (torch.from_numpy(split.inputs[row])[None].to(device) for row in range(start, end))
        yield torch.cat([graph.pre(single) for single in singles])


def batch_rows(graph: Graph, split: Split) -> int:
    """Return how many rows to evaluate at once, so that large inputs do not exhaust memory.

    Counted as preprocessed; where sizes are free, as raw.
    """
    shape = cast(tuple[int | str, ...], graph.pre.preprocessed_shape)
    known = [size for size in shape if isinstance(size, int)]
    raw = split.inputs[0].size if len(known) < len(shape) and len(split) else 1
    return max(1, min(_ROWS, _ELEMENTS // max(int(np.prod(known)), raw)))
