"""A file that numpy cannot compute in float64 (an operator of ONNX Runtime's own): the reference of last resort.

Its own float32 answers, without optimization, are taken for the truth. There is nothing to measure their noise against,
so the yardstick is stated from the depth of the graph and the length of its sums (`stages.verify.stated`).
"""

from pathlib import Path

import numpy as np
import onnx

from deploy.bundle import Signature
from deploy.errors import BundleError
from deploy.providers import open_session
from stages.dataset import Array
from stages.errors import VerifyError
from stages.recipe import Precision
from stages.verify.foreign.decision import deciding_output, largest_column
from stages.verify.foreign.model import ModelReference
from stages.verify.material import row
from stages.verify.reference import Feeds, Outputs, Reference
from stages.verify.stated import Stated, stated_noise


class OpaqueReference:
    """ONNX Runtime's answers to the file, not optimized, in float64's clothes."""

    yardstick = "no yardstick of its own"

    def __init__(self, path: Path, inputs: Signature, outputs: Signature) -> None:
        self.input, self.output = inputs, outputs
        self._model = onnx.load(path)
        self._session = open_session(path, "cpu", optimize="none")
        self._deciding = deciding_output(outputs)

    def truth(self, feeds: Feeds) -> Outputs:
        """Return the file's float32 answers, as float64."""
        return {n: v.astype(np.float64) if v.dtype.kind == "f" else v for n, v in self._session.run(feeds).items()}

    def rounded(self, feeds: Feeds) -> Outputs:
        """Return the same answers: what they are away from the truth is for `at` to state."""
        return self.truth(feeds)

    def at(self, precision: Precision) -> Reference:
        """Return this reference with the noise that is stated for a precision."""
        return Stated(self, stated_noise(self._model, precision))

    def decide(self, outputs: Outputs) -> tuple[Array, Array]:
        """Return the largest column of the deciding output, and its lead."""
        return largest_column(outputs, self._deciding)


def reference_of(path: Path, inputs: Signature, outputs: Signature, sample: Feeds) -> Reference:
    """Return the file as a reference in float64 where numpy can run it on a row of `sample`, else an opaque one."""
    try:
        exact = ModelReference(path, inputs, outputs)
        exact.truth(row(sample, 0))
    except (VerifyError, NotImplementedError):  # the latter at once, for operators that onnx does not know
        return _opaque(path, inputs, outputs)
    return exact


def _opaque(path: Path, inputs: Signature, outputs: Signature) -> OpaqueReference:
    try:
        return OpaqueReference(path, inputs, outputs)
    except BundleError as error:
        raise VerifyError(f"{path}: {error}; neither numpy nor ONNX Runtime can run it") from None
