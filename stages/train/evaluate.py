"""Figures of a split from the graph's own outputs: raw samples in, decisions out, in float32, as it will be served."""

from collections.abc import Callable, Iterator
from typing import cast

import numpy as np
import torch

from stages.dataset import Array, Split
from stages.graph import Graph
from stages.train.device import tf32

_ELEMENTS = 8_000_000  # of preprocessed input in one batch
_ROWS = 512


def evaluate(
    graph: Graph, split: Split, device: torch.device, tick: Callable[[], None] = lambda: None
) -> dict[str, float]:
    """Return the task's metrics over a split."""
    return graph.task.metrics(outputs(graph, split, device, tick), split.targets)


@torch.inference_mode()
def outputs(
    graph: Graph, split: Split, device: torch.device, tick: Callable[[], None] = lambda: None
) -> dict[str, Array]:
    """Return every output tensor over a split, by name; `tick` is called after each batch.

    Samples of one shape go through the whole graph in batches. Samples of several shapes are preprocessed each alone,
    as they will be when served, and share a batch after that.
    """
    was_training = graph.training
    graph.eval()
    try:
        with tf32(device, allowed=False):
            parts = []
            for answer in _answers(graph, split, device):
                parts.append([tensor.cpu().numpy() for tensor in answer])
                tick()
    finally:
        graph.train(was_training)
    names = [tensor.name for tensor in graph.task.output.tensors]
    return {name: np.concatenate(pieces) for name, pieces in zip(names, zip(*parts, strict=True), strict=True)}


def _answers(graph: Graph, split: Split, device: torch.device) -> Iterator[tuple[torch.Tensor, ...]]:
    rows = batch_rows(graph)
    for start in range(0, len(split), rows):
        if isinstance(split.inputs, np.ndarray):
            yield graph(torch.from_numpy(split.inputs[start : start + rows]).to(device))
            continue
        end = min(start + rows, len(split))
        singles = (torch.from_numpy(split.inputs[row])[None].to(device) for row in range(start, end))
        preprocessed = torch.cat([graph.pre(single) for single in singles])
        yield graph.post(graph.head(graph.net(preprocessed)))


def batch_rows(graph: Graph) -> int:
    """Return how many rows to evaluate at once, so that large inputs do not exhaust memory."""
    shape = cast(tuple[int, ...], graph.pre.preprocessed_shape)
    return max(1, min(_ROWS, _ELEMENTS // int(np.prod(shape))))
