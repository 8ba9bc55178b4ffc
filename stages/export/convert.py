"""From a torch graph to an ONNX model with free sizes, and with the tensor where it can be cut."""

import itertools
import logging
import re
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import onnx
import torch
from torch import nn
from torch.export import Dim

from deploy.bundle import Signature, TensorSpec
from stages.deployed import Deployed
from stages.errors import ExportError
from stages.graph import Graph

_PRIMES = (3, 37, 41, 43, 47)  # unlike each other and any layer's size: no free size is taken for a fixed one
_REPOSITORY = Path(__file__).parents[2]
_STACK_FRAME = re.compile(r'File "([^"]+)"')


def convert(graph: Deployed, opset: int) -> onnx.ModelProto:
    """Export the graph with its output tensors and, last, where it can be cut: `preprocessed`.

    Free sizes of the input signature become symbolic dimensions by their names. Raises `ExportError` with torch's
    reason when the graph cannot be exported.
    """
    names = [tensor.name for tensor in graph.task.output.tensors]
    proto: onnx.ModelProto = export(exportable(graph), graph.input, [*names, *graph.inner], opset).model_proto
    _shorten_paths(proto)
    return proto


def exportable(graph: Deployed) -> nn.Module:
    """Return the graph as it is exported, in evaluation mode: it answers its outputs and, last, `preprocessed`."""
    return (_WithPreprocessed(graph) if isinstance(graph, Graph) else cast(nn.Module, graph)).eval()


def export(
    module: nn.Module, inputs: Signature, outputs: Sequence[str], opset: int, *, optimize: bool = True
) -> torch.onnx.ONNXProgram:
    """Export a module that takes the input tensors in order; `optimize` folds and fuses as the exporter does."""
    free = tuple(
        {
            axis: name if name.isidentifier() else Dim.AUTO
            for axis, name in enumerate(spec.shape)
            if isinstance(name, str)
        }
        for spec in inputs.tensors
    )
    _forget_recurrent_kernels()
    with warnings.catch_warnings(), _quiet():
        warnings.simplefilter("ignore")  # torch's own deprecations inside its exporter; ours are checked on the file
        try:
            program = torch.onnx.export(
                module,
                tuple(example(spec) for spec in inputs.tensors),
                dynamo=True,
                opset_version=opset,
                dynamic_shapes=free,
                input_names=[spec.name for spec in inputs.tensors],
                output_names=list(outputs),
                external_data=False,
                optimize=optimize,
                verbose=False,
            )
        except Exception as error:
            raise ExportError(f"torch could not export this graph: {_root_cause(error)}; see --debug") from error
    assert program is not None  # with dynamo=True a program is always returned
    return program


def example(spec: TensorSpec) -> torch.Tensor:
    """Return a batch for a tensor spec: free sizes are distinct primes, values are spread over its range."""
    primes = itertools.chain(_PRIMES)
    shape = [size if isinstance(size, int) else next(primes) for size in spec.shape]
    low, high = spec.range or (0, 1)
    return torch.from_numpy(np.linspace(low, high, int(np.prod(shape))).reshape(shape).astype(spec.dtype))


class _WithPreprocessed(nn.Module):
    """The graph, answering `preprocessed` too: as an output, no optimization may rename it or fuse it away.

    It shares the graph's parts under their own names, so that initializers are named as the weights are.
    """

    def __init__(self, graph: Graph) -> None:
        super().__init__()
        self.pre, self.net, self.head, self.post = graph.pre, graph.net, graph.head, graph.post

    def forward(self, raw: torch.Tensor) -> tuple[torch.Tensor, ...]:
        # Pictures come as NHWC: without this, torch traces kernels for channels-last strides (as_strided in the graph).
        preprocessed = self.pre(raw).contiguous()
        return (*self.post(self.head(self.net(preprocessed))), preprocessed)


def _shorten_paths(proto: onnx.ModelProto) -> None:
    """Keep the source lines that the exporter noted, without the folders of the machine it ran on."""

    def shorten(match: re.Match[str]) -> str:
        path = Path(match.group(1))
        inside = path.is_relative_to(_REPOSITORY) and "site-packages" not in path.parts
        return f'File "{path.relative_to(_REPOSITORY) if inside else path.name}"'

    for node in proto.graph.node:
        for entry in node.metadata_props:
            entry.value = _STACK_FRAME.sub(shorten, entry.value)


def _forget_recurrent_kernels() -> None:
    """Make torch look up the kernels of recurrent layers anew.

    Torch 2.14 keeps the one that unrolls the time steps from the first export in a process; the second one then finds a
    fixed length and fails.
    """
    for name in ("lstm", "gru", "rnn_tanh", "rnn_relu"):
        operator = getattr(torch.ops.aten, name)
        for overload in operator.overloads():
            getattr(operator, overload)._dispatch_cache.clear()


def _root_cause(error: BaseException) -> str:
    """Return the first line of what went wrong first: torch wraps it in advice about reports and issues."""
    while error.__cause__ is not None:
        error = error.__cause__
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"


class _quiet:  # noqa: N801
    """Silence the exporter's loggers: what matters is asserted on the saved file."""

    def __enter__(self) -> None:
        self.levels = {name: logging.getLogger(name).level for name in ("torch.onnx", "onnxscript", "onnx_ir")}
        for name in self.levels:
            logging.getLogger(name).setLevel(logging.ERROR)

    def __exit__(self, *_: Any) -> None:
        for name, level in self.levels.items():
            logging.getLogger(name).setLevel(level)
