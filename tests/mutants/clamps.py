"""Clamps just above all that the test rows reach: nothing shows them but an input that was looked for."""

from pathlib import Path

import onnx
import onnxruntime
from onnx import TensorProto, helper

from tests.mutants.edit import clamp, nodes
from tests.mutants.mutation import IMAGES, Model, Mutation
from tests.mutants.subjects import Subject

_MARGIN = 1.02


def above_test_rows(subject: Subject) -> Mutation:
    """Return the mutation that clamps the first ReLU 2 % above its largest value over all rows of the subject."""
    limit = _MARGIN * _reached(subject.model, subject)

    def clamped_above_all_test_rows(model: Model) -> str:
        return clamp(model, nodes(model, "Relu")[0].output[0], limit)

    apply = clamped_above_all_test_rows
    return Mutation(apply.__name__, apply, IMAGES, "hunted")


def _reached(path: Path, subject: Subject) -> float:
    model = onnx.load(path)
    tensor = nodes(model, "Relu")[0].output[0]
    model.graph.output.append(helper.make_tensor_value_info(tensor, TensorProto.FLOAT, None))
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    batches = [*subject.material.test(64), *subject.material.more(600, 64)]
    return max(float(session.run([tensor], feeds)[0].max()) for feeds in batches)
