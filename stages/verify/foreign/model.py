"""Another ONNX file as the reference: `--against b.onnx`, in float64 by onnx's numpy evaluator."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

from deploy.bundle import Signature
from deploy.providers import Session, open_session
from stages.dataset import Array
from stages.errors import VerifyError
from stages.recipe import Precision
from stages.verify.double import in_float64
from stages.verify.foreign.decision import deciding_output, largest_column
from stages.verify.precision import UNITS
from stages.verify.reference import Feeds, Outputs, Reference
from stages.verify.session import evaluator
from stages.verify.stated import Stated, stated_noise


class ModelReference:
    """The truth is the file with all its real numbers in float64; the yardstick is ONNX Runtime, not optimized.

    `Perturbable`, in its weights, and `Slow`.
    """

    yardstick = "ONNX Runtime on the reference, not optimized"
    slowness = 10  # numpy: 1.8 s for a row of ResNet-18 at 224 x 224 on one core

    def __init__(self, path: Path, inputs: Signature, outputs: Signature) -> None:
        self.input, self.output = inputs, outputs
        self._path = path
        self._proto = onnx.load(path)
        self._exact = evaluator(in_float64(self._proto), inputs, outputs)
        self._session = open_session(path, "cpu", optimize="none")
        self._moved: dict[int, Session] = {}
        self._deciding = deciding_output(outputs)

    def at(self, precision: Precision) -> Reference:
        """Return this reference; for lower precisions, which no session can imitate, one with a stated bound."""
        return self if precision == "fp32" else Stated(self, stated_noise(self._proto, precision))

    def truth(self, feeds: Feeds) -> Outputs:
        """Return float64 outputs by name."""
        exact = {name: array.astype(np.float64) if array.dtype.kind == "f" else array for name, array in feeds.items()}
        try:
            return self._exact(exact)
        except Exception as error:
            raise VerifyError(
                f"{self._path}: onnx's numpy evaluator cannot run it in float64 "
                f"({str(error).partition(chr(10))[0][:200]}); compare with the torch module instead: --torch"
            ) from error

    def rounded(self, feeds: Feeds) -> Outputs:
        """Return float32 outputs by name."""
        return self._session.run(feeds)

    def perturbed(self, feeds: Feeds, seed: int, *, alike: bool) -> Outputs:
        """Return outputs by name with every weight moved by up to one unit in the last place: alike in all places."""
        if seed not in self._moved:
            moved = _moved(self._proto, seed).SerializeToString()
            self._moved[seed] = open_session(moved, "cpu", optimize="none")
        return self._moved[seed].run(feeds)

    def reordered(self, feeds: Feeds, seed: int) -> Outputs:
        """Return the same as `rounded`: the yardstick is ONNX Runtime itself, which adds as it does."""
        return self.rounded(feeds)

    def decide(self, outputs: Outputs) -> tuple[Array, Array]:
        """Return the largest column of the deciding output, and its lead."""
        return largest_column(outputs, self._deciding)


def _moved(proto: onnx.ModelProto, seed: int) -> onnx.ModelProto:
    """Return the model with its float32 weights moved by up to one unit in the last place."""
    generator = np.random.default_rng(seed)
    moved = onnx.ModelProto()
    moved.CopyFrom(proto)
    for tensor in moved.graph.initializer:
        if tensor.data_type == TensorProto.FLOAT:
            values = numpy_helper.to_array(tensor)
            moves = generator.uniform(-2 * UNITS["fp32"], 2 * UNITS["fp32"], values.shape)
            tensor.CopyFrom(numpy_helper.from_array((values * (1 + moves)).astype(np.float32), tensor.name))
    return moved
