"""A stated noise, for references that cannot be rounded: integer or opaque models of which there is only a file.

Rounding once to a unit u moves a value by u / sqrt(3) rms of itself. A sum of K products, added pairwise or by blocks
as kernels do, rounds about 1 + log2(K) times (Higham, Accuracy and Stability of Numerical Algorithms, section 4.2).
Roundings of one layer after the other are taken for independent, neither damped nor amplified on their way:

    relative noise = u / sqrt(3) * sqrt(sum of (1 + log2 K) along the longest path of the graph)

with K = 1 for operators that sum nothing, and no rounding for those that only move or choose values.
"""

import math
from collections.abc import Mapping

import numpy as np
import onnx

from deploy.bundle import Signature
from stages.dataset import Array
from stages.recipe import Precision
from stages.verify.precision import UNITS
from stages.verify.reference import Feeds, Outputs, Reference

# fmt: off
_EXACT = frozenset({
    "Shape", "Size", "Constant", "ConstantOfShape", "Identity", "Gather", "GatherElements", "GatherND", "Concat",
    "Slice", "Split", "Squeeze", "Unsqueeze", "Reshape", "Flatten", "Transpose", "Expand", "Tile", "Pad", "Cast",
    "Relu", "Clip", "MaxPool", "GlobalMaxPool", "ReduceMax", "ReduceMin", "Max", "Min", "Neg", "Abs", "Sign", "ArgMax",
    "ArgMin", "TopK", "Where", "Equal", "Less", "Greater", "LessOrEqual", "GreaterOrEqual", "And", "Or", "Not",
    "DepthToSpace", "SpaceToDepth", "Dropout", "NonMaxSuppression", "Range",
})
# fmt: on
"""Operators that move, choose or compare values and round none."""


def stated_noise(model: onnx.ModelProto, precision: Precision) -> float:
    """Return the relative rms noise to be expected of a model's outputs, by the formula above."""
    shapes = {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
    longest: dict[str, float] = {}
    for node in model.graph.node:  # in topological order, as ONNX demands
        before = max((longest.get(name, 0.0) for name in node.input), default=0.0)
        total = before + (0.0 if node.op_type in _EXACT else 1.0 + math.log2(_terms(node, shapes)))
        longest.update(dict.fromkeys(node.output, total))
    roundings = max((longest.get(value.name, 0.0) for value in model.graph.output), default=0.0)
    return UNITS[precision] / math.sqrt(3) * math.sqrt(max(1.0, roundings))


def _terms(node: onnx.NodeProto, shapes: Mapping[str, tuple[int, ...]]) -> int:
    """Return how many products a node's weights add up to one value; 1 where it has none."""
    weight = next((shapes[name] for name in node.input[1:] if len(shapes.get(name, ())) > 1), ())
    if not weight:
        return 1
    if node.op_type == "Conv":
        return math.prod(weight[1:])
    if node.op_type == "ConvTranspose":
        return weight[0] * math.prod(weight[2:])
    if node.op_type in ("Gemm", "MatMul"):
        return max(weight[0], 1) if not _transposed(node) else weight[1]
    return weight[-1] if node.op_type in ("LSTM", "GRU", "RNN") else 1


def _transposed(node: onnx.NodeProto) -> bool:
    return any(attribute.name == "transB" and attribute.i for attribute in node.attribute)


class Stated:
    """A reference with a stated bound for a yardstick: the truth is another's, the noise a fraction of each value."""

    def __init__(self, reference: Reference, noise: float) -> None:
        self.input: Signature = reference.input
        self.output: Signature = reference.output
        self.noise = noise
        self.yardstick = f"a stated bound, as there is no twin to round: {noise:.1e} of each value"
        self._reference = reference

    def truth(self, feeds: Feeds) -> Outputs:
        """Return the reference's answers, in float64."""
        return self._reference.truth(feeds)

    def rounded(self, feeds: Feeds) -> Outputs:
        """Return the truth moved by the stated noise, up and down in turn."""
        return {name: self._moved(value) for name, value in self.truth(feeds).items()}

    def at(self, precision: Precision) -> Reference:
        """Return the reference at another precision."""
        return self._reference.at(precision)

    def decide(self, outputs: Outputs) -> tuple[Array, Array]:
        """Return the reference's decisions."""
        return self._reference.decide(outputs)

    def _moved(self, value: Array) -> Array:
        if value.dtype.kind != "f":
            return value
        signs = np.where(np.arange(value.size).reshape(value.shape) % 2, -1.0, 1.0)
        return np.asarray(value * (1 + self.noise * signs))
