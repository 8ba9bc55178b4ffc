"""Where a file came from, as far as that is at hand: what the torch module becomes on its way to the file."""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import onnx
import torch
from torch import nn
from torch.utils._pytree import tree_leaves

from deploy.bundle import Signature
from stages.dataset import Array
from stages.deployed import Deployed
from stages.export import convert, cut
from stages.verify.reference import Feeds, Outputs


@dataclass(frozen=True)
class TorchOrigin:
    """A torch module in float32 and evaluation mode, to be exported again; each form is made when first asked for.

    module            takes the input tensors in order
    inputs, outputs   the tensors of the file; inner: what the module answers beside them
    """

    module: nn.Module
    inputs: Signature
    outputs: Signature
    opset: int
    inner: tuple[str, ...] = ()

    @classmethod
    def of(cls, graph: Deployed, opset: int) -> "TorchOrigin":
        """Return the origin of a file that `stages.export` wrote."""
        return cls(convert.exportable(graph), graph.input, graph.task.output, opset, graph.inner)

    @property
    def names(self) -> list[str]:
        """The outputs of the file."""
        return [spec.name for spec in self.outputs.tensors]

    def traced(self, feeds: Feeds) -> Outputs:
        """Return the answers of what torch.export traced, in float32."""
        with torch.inference_mode():
            answer = self.program.module()(*(torch.from_numpy(array) for array in self.in_order(feeds)))
        values = tree_leaves(answer)
        return {name: value.numpy() for name, value in zip(self.names, values, strict=False)}

    def in_order(self, feeds: Feeds) -> list[Array]:
        """Return the input arrays in the module's order."""
        return [np.ascontiguousarray(feeds[spec.name]) for spec in self.inputs.tensors]

    @property
    def program(self) -> torch.export.ExportedProgram:
        """What torch.export traced, decomposed to the operators that the exporter translates."""
        return self._forms[0]  # type: ignore[no-any-return]

    @property
    def unoptimized(self) -> onnx.ModelProto:
        """What the exporter writes before it folds and fuses."""
        return self._forms[1]

    @property
    def optimized(self) -> onnx.ModelProto:
        """What the exporter writes."""
        return self._forms[2]

    @cached_property
    def _forms(self) -> tuple[Any, onnx.ModelProto, onnx.ModelProto]:
        exported = convert.export(self.module, self.inputs, [*self.names, *self.inner], self.opset, optimize=False)
        program = copy.deepcopy(exported.exported_program)
        unoptimized = exported.model_proto
        exported.optimize()
        return program, cut.whole(unoptimized, self.names), cut.whole(exported.model_proto, self.names)


@dataclass(frozen=True)
class OnnxOrigin:
    """Another ONNX file that is trusted."""

    proto: Callable[[], onnx.ModelProto]


Origin = TorchOrigin | OnnxOrigin | None
