"""Weights of a whole graph as safetensors bytes and back, and the trained graph of a result."""

from typing import Any

import safetensors.torch
import torch
from torch import nn

from deploy import files
from deploy.errors import NotFoundError
from stages.errors import TrainingError
from stages.graph import Graph, build
from stages.result import TrainResult

Weights = dict[str, torch.Tensor]


def snapshot(module: nn.Module) -> Weights:
    """Return a copy of the state dict on the CPU, as `dense` does."""
    return dense(module.state_dict())


def dense(weights: Weights) -> Weights:
    """Return a copy on the CPU, each tensor in its own dense memory (what safetensors asks for)."""
    return {name: torch.empty(tensor.shape, dtype=tensor.dtype).copy_(tensor) for name, tensor in weights.items()}


def to_bytes(weights: Weights) -> bytes:
    """Return the safetensors file's content."""
    return safetensors.torch.save(weights)  # type: ignore[no-any-return]


def from_bytes(data: bytes) -> Weights:
    """Return the tensors of a safetensors file's content."""
    return safetensors.torch.load(data)  # type: ignore[no-any-return]


def load_graph(result: TrainResult) -> Graph:
    """Return the trained graph of a result, on the CPU and in eval mode.

    Raises `NotFoundError` when the weights are gone, `TrainingError` when their SHA-256 is not the result's.
    """
    path, again = result.weights, f"train again: pipeline train {result.recipe.name} --force"
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise NotFoundError(f"{path}: no weights there; {again}") from None
    found: Any = files.sha256(data)
    if found != result.weights_sha256:
        raise TrainingError(
            f"{path}: SHA-256 is {found[:12]}..., result.json says {result.weights_sha256[:12]}...; {again}"
        )
    with torch.random.fork_rng(devices=[]):
        graph = build(result.recipe, result.data, training=False)
    graph.load_state_dict(from_bytes(data))
    return graph.eval()
