"""Models that were not trained here: judged against a torch module, or against another ONNX file."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import safetensors.torch
import torch
from onnx import numpy_helper
from torch import nn

from deploy.errors import OnnxwayError, UsageError
from deploy.files import sha256_file
from stages.errors import VerifyError
from stages.recipe import VerifyConfig
from stages.verify.certify import Verdict
from stages.verify.foreign import verify_file
from stages.verify.foreign.model import in_float64
from stages.verify.foreign.signature import material, signatures

QUICK = VerifyConfig(rows=200, max_batch=16)
MODULE = """
import torch
from torch import nn


class Two(nn.Module):
    '''Two inputs, one of them whole numbers; a dict of two outputs.'''

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.a, self.e, self.o = nn.Linear(4, 8), nn.Embedding(10, 8), nn.Linear(8, 3)

    def forward(self, x, ids):
        h = torch.relu(self.a(x) + self.e(ids).mean(1))
        return {"logits": self.o(h), "h": h}


def build():
    return Two()


def no_module():
    return 3


def another():
    return nn.Linear(4, 3)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as users have them: `nets.py`, `two.onnx` exported by torch itself, `two.safetensors`."""
    made = tmp_path_factory.mktemp("foreign")
    (made / "nets.py").write_text(MODULE)
    namespace: dict[str, Any] = {"__name__": "nets"}
    exec(compile(MODULE, "nets.py", "exec"), namespace)
    module: nn.Module = namespace["build"]().eval()
    example = (torch.randn(2, 4), torch.zeros(2, 5, dtype=torch.long))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module,
            example,
            made / "two.onnx",
            dynamo=True,
            dynamic_shapes=({0: "batch"}, {0: "batch"}),
            external_data=False,
            verbose=False,
        )
    safetensors.torch.save_file(module.state_dict(), made / "two.safetensors")
    np.savez(
        made / "rows.npz",
        x=np.random.default_rng(0).normal(size=(50, 4)).astype(np.float32),
        ids=np.random.default_rng(0).integers(0, 10, (50, 5)),
    )
    return made


@pytest.fixture(autouse=True)
def _inside(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(str(folder))


def judge(folder: Path, out: Path, model: str = "two.onnx", **options: Any) -> Verdict:
    return verify_file(folder / model, config=QUICK, out=out, **options)


def changed(folder: Path, name: str, tmp_path: Path) -> Path:
    """`two.onnx` with one weight off by a thousandth."""
    model = onnx.load(folder / "two.onnx")
    tensor = next(t for t in model.graph.initializer if t.name == name)
    array = numpy_helper.to_array(tensor).copy()
    array.reshape(-1)[np.abs(array).argmax()] *= 1.001
    tensor.CopyFrom(numpy_helper.from_array(array, name))
    onnx.save(model, tmp_path / "changed.onnx")
    return tmp_path / "changed.onnx"


def test_against_its_module(folder: Path, tmp_path: Path) -> None:
    verdict = judge(folder, tmp_path, torch="nets:build", weights=Path("two.safetensors"), inputs="rows.npz")
    assert verdict.passport, verdict.passport.failures()
    assert (tmp_path / "passport.json").exists()
    assert verdict.passport.rows == 200
    assert verdict.passport.weights_sha256 == sha256_file(folder / "two.safetensors")
    assert verdict.passport.data_sha256 == sha256_file(folder / "rows.npz")


def test_a_changed_weight_is_found_by_either_reference(folder: Path, tmp_path: Path) -> None:
    model = changed(folder, "o.weight", tmp_path)
    for options in ({"torch": "nets:build"}, {"against": folder / "two.onnx"}):
        verdict = verify_file(model, config=QUICK, out=tmp_path / "out", inputs="rows.npz", **options)  # type: ignore[arg-type]
        assert not verdict.passport


def test_against_itself(folder: Path, tmp_path: Path) -> None:
    assert judge(folder, tmp_path, against=folder / "two.onnx", inputs="x=4:-2..2;ids=5:0..9").passport


def test_other_weights_are_found(folder: Path, tmp_path: Path) -> None:
    tensors = safetensors.torch.load_file(folder / "two.safetensors")
    safetensors.torch.save_file({k: v + 0.1 for k, v in tensors.items()}, tmp_path / "other.safetensors")
    verdict = judge(folder, tmp_path, torch="nets:build", weights=tmp_path / "other.safetensors", inputs="rows.npz")
    assert not verdict.passport


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"torch": "nets:build", "against": Path("two.onnx")}, UsageError, "give one of --torch and --against"),
        ({"torch": "nets"}, UsageError, "expected package.module:build"),
        ({"torch": "nots:build"}, UsageError, "No module named 'nots'"),
        ({"torch": "nets:biuld"}, UsageError, "did you mean 'build'"),
        ({"torch": "nets:no_module"}, UsageError, "is int, expected a torch.nn.Module"),
        ({"torch": "nets:another"}, VerifyError, "the torch module cannot run in float64 on x"),
        ({"torch": "nets:build", "weights": Path("rows.npz")}, UsageError, "not to be read"),
        ({"torch": "nets:build", "weights": Path("none.safetensors")}, UsageError, "no such file"),
        ({"against": Path("two.onnx"), "weights": Path("two.safetensors")}, UsageError, "--weights belongs to --torch"),
        ({"torch": "nets:build", "inputs": "none.npz"}, UsageError, "not to be read as .npz"),
        ({"torch": "nets:build", "inputs": "y=3"}, UsageError, "the model has no input 'y'"),
        ({"torch": "nets:build", "inputs": "x:3"}, UsageError, "expected FILE.npz or NAME=SIZE"),
        ({"against": Path("nets.py")}, VerifyError, "not an ONNX model"),
        ({"against": Path("none.onnx")}, VerifyError, "no such file"),
    ],
)
def test_a_wrong_question_is_an_error_in_one_line(
    folder: Path, tmp_path: Path, options: dict[str, Any], error: type[OnnxwayError], words: str
) -> None:
    with pytest.raises(error) as caught:
        judge(folder, tmp_path, **options)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"x": np.zeros((3, 4), np.float32)}, "has no array for input 'ids'"),
        ({"x": np.zeros((3, 5), np.float32), "ids": np.zeros((3, 5), np.int64)}, "the model takes float32"),
        ({"x": np.zeros((3, 4)), "ids": np.zeros((3, 5), np.int64)}, "'x' is float64 [3, 4]"),
        ({"x": np.zeros((3, 4), np.float32), "ids": np.zeros((2, 5), np.int64)}, "expected the same number"),
    ],
)
def test_rows_that_do_not_fit(folder: Path, tmp_path: Path, arrays: dict[str, Any], words: str) -> None:
    np.savez(tmp_path / "bad.npz", **arrays)
    with pytest.raises(UsageError) as caught:
        judge(folder, tmp_path, torch="nets:build", inputs=str(tmp_path / "bad.npz"))
    assert words in str(caught.value)


def test_random_rows_have_the_range_that_was_asked_for(folder: Path) -> None:
    inputs, _ = signatures(folder / "two.onnx")
    rows = next(material(inputs, "x=4:2..3;ids=5:7..8").test(64))
    assert rows["x"].shape == (64, 4)
    assert 2 <= rows["x"].min() <= rows["x"].max() <= 3
    assert set(np.unique(rows["ids"])) == {7, 8}


def test_float64_runs_the_same_graph_more_exactly(folder: Path) -> None:
    from onnx.reference import ReferenceEvaluator

    exact = ReferenceEvaluator(in_float64(onnx.load(folder / "two.onnx")))
    rows = np.load(folder / "rows.npz")
    answer = exact.run(None, {"x": rows["x"].astype(np.float64), "ids": rows["ids"]})
    assert all(value.dtype == np.float64 for value in answer)
