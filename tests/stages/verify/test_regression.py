"""The passport as a file of its own, and the worst inputs that are kept for the bundle."""

import numpy as np
import onnxruntime
import pytest

from deploy import passport, samples
from deploy.bundle import Signature, TensorSpec
from deploy.passport import SCHEMA
from stages.recipe import Precision
from stages.result import VerifyResult
from stages.verify.reference import Feeds, Outputs
from stages.verify.regression import regression_samples
from stages.verify.worst import Worst


def test_the_passport_lies_beside_the_result(colour_run: VerifyResult) -> None:
    written = passport.load(colour_run.folder / "passport.json")
    assert written == colour_run.passport
    trained = colour_run.exported.trained
    assert written.weights_sha256 == trained.weights_sha256
    assert written.data_sha256 == trained.data.digest
    assert written.schema == SCHEMA
    assert written.machine.onnxruntime == onnxruntime.__version__
    assert written.machine.cpu
    assert written.conditions.keys() == {"cpu"}
    assert written.conditions["cpu"].optimization == "all"
    assert all(check.detail for check in written.checks)


def test_the_worst_inputs_are_kept_with_the_truth(colour_run: VerifyResult) -> None:
    kept = samples.load(colour_run.worst)
    assert kept
    for sample in kept:
        assert sample.note.startswith("worst: ")
        assert sample.reference.keys() == sample.outputs.keys()
        assert {len(array) for array in sample.inputs.values()} == {1}


class Doubling:
    """y = 2 x."""

    input = Signature("tensor", (TensorSpec("x", "float32", ("batch", 2)),))
    output = Signature("tensor", (TensorSpec("y", "float32", ("batch", 2)),))
    yardstick = "torch float32"

    def truth(self, feeds: Feeds) -> Outputs:
        return {"y": 2 * feeds["x"].astype(np.float64)}

    def rounded(self, feeds: Feeds) -> Outputs:
        return {"y": 2 * feeds["x"]}

    def at(self, precision: Precision) -> "Doubling":
        return self

    def decide(self, outputs: Outputs) -> tuple[np.ndarray, np.ndarray]:
        return outputs["y"].argmax(axis=1), np.ones(len(outputs["y"]))


@pytest.mark.parametrize("row", [0, 2])
def test_of_a_batch_the_worst_row_is_kept(row: int) -> None:
    def answer(feeds: Feeds) -> Outputs:
        return {"y": 2 * feeds["x"] + (feeds["x"] == 7) * np.float32(0.5)}

    batch = np.arange(6, dtype=np.float32).reshape(3, 2) / 8
    batch[row, 1] = 7
    worst = Worst()
    worst.add(3.14159, {"x": batch}, "odd rows")
    (sample,) = regression_samples(worst, answer, Doubling())
    assert sample.inputs["x"].tolist() == [batch[row].tolist()]
    assert sample.reference["y"][0, 1] == 14
    assert sample.outputs["y"][0, 1] == 14.5
    assert sample.note == "worst: odd rows, 3.14 times the noise"


def test_malformed_answers_are_left_out() -> None:
    worst = Worst()
    worst.add(np.inf, {"x": np.ones((1, 2), np.float32)}, "rows")
    nan: Outputs = {"y": np.full((1, 2), np.nan, np.float32)}
    assert list(regression_samples(worst, lambda _: nan, Doubling())) == []
