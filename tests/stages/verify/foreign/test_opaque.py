"""Files that numpy cannot run in float64: a stated bound, and words that say so."""

from pathlib import Path

import numpy as np
import onnx
import pytest

from stages.recipe import VerifyConfig
from stages.verify.foreign import verify_file
from stages.verify.foreign.model import ModelReference
from stages.verify.foreign.opaque import OpaqueReference, reference_of
from stages.verify.foreign.signature import signatures

# QuickGelu is an operator of ONNX Runtime's own, which onnx's numpy evaluator does not know.
TEXT = """<ir_version: 10, opset_import: ["": 20, "com.microsoft": 1]>
g (float[batch, 4] x) => (float[batch, 3] y) <float[4, 3] w = {%s}> {
    a = com.microsoft.QuickGelu<alpha = 1.702>(x)
    y = MatMul(a, w)
}"""
WEIGHTS = np.random.default_rng(0).normal(size=12).astype(np.float32)
QUICK = VerifyConfig(rows=200, max_batch=16, budget_s=0)


def saved(path: Path, weights: np.ndarray, text: str = TEXT) -> Path:
    path.write_bytes(onnx.parser.parse_model(text % ", ".join(map(str, weights))).SerializeToString())
    return path


def test_an_opaque_file_is_judged_by_a_stated_bound(tmp_path: Path) -> None:
    trusted, same = saved(tmp_path / "b.onnx", WEIGHTS), saved(tmp_path / "a.onnx", WEIGHTS)
    verdict = verify_file(same, against=trusted, config=QUICK, out=tmp_path / "out")
    assert verdict.passport, verdict.passport.failures()
    noise = next(check for check in verdict.passport.checks if check.name == "noise of y")
    assert "a stated bound, as there is no twin to round" in noise.detail


@pytest.mark.parametrize("column", [0, 7])
def test_one_weight_by_a_thousandth_is_refused_all_the_same(tmp_path: Path, column: int) -> None:
    wrong = WEIGHTS.copy()
    wrong[column] *= 1.001
    trusted, other = saved(tmp_path / "b.onnx", WEIGHTS), saved(tmp_path / "a.onnx", wrong)
    verdict = verify_file(other, against=trusted, config=QUICK, out=tmp_path / "out")
    assert "noise of y" in [check.name for check in verdict.passport.failures()]


def test_what_numpy_can_run_is_judged_in_float64(tmp_path: Path) -> None:
    plain = saved(tmp_path / "plain.onnx", WEIGHTS, TEXT.replace("com.microsoft.QuickGelu<alpha = 1.702>", "Tanh"))
    feeds = {"x": np.ones((2, 4), np.float32)}
    assert isinstance(reference_of(plain, *signatures(plain), feeds), ModelReference)
    opaque = saved(tmp_path / "opaque.onnx", WEIGHTS)
    assert isinstance(reference_of(opaque, *signatures(opaque), feeds), OpaqueReference)
