"""Bundles of ONNX files that were not trained here."""

import asyncio
import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from deploy import Predictor, bundle, samples
from deploy.errors import BundleError, InputError, UsageError
from deploy.recertify import recertify
from stages.adopt import name_of, package_file, require_place
from stages.errors import VerifyError
from stages.recipe import PackageConfig, VerifyConfig
from stages.verify.certify import Verdict
from stages.verify.foreign import Sources, Subject, subject, verify

QUICK = VerifyConfig(rows=128, max_batch=16, budget_s=0)
HEAD = '<ir_version: 10, opset_import: ["": 20, "com.microsoft": 1, "my.own": 1]>\n'
TWO = """g (float[batch, 4] x, int64[batch, n] ids) => (float[batch, 3] y, int64[batch] s)
<float[4, 3] w = {0.5,-1,2, 0.25,1,-0.75, 1.5,0.1,-0.2, 0.3,0.7,-1.1}, int64[1] axes = {1}> {
    h = MatMul(x, w)
    y = Tanh(h)
    s = ReduceSum<keepdims = 0>(ids, axes)
}"""
PICTURE = """g (uint8[batch, h, w, 3] "a b/c|d") => (float[batch, 3] y) <int64[2] axes = {1, 2}> {
    f = Cast<to = 1>("a b/c|d")
    y = ReduceMean<keepdims = 0>(f, axes)
}"""


def saved(path: Path, text: str) -> Path:
    path.write_bytes(onnx.parser.parse_model(HEAD + text).SerializeToString())
    return path


def judged(model: Path, out: Path, **sources: Any) -> tuple[Subject, Verdict]:
    asked = subject(model, Sources(**sources))
    return asked, verify(asked, QUICK, out)


def packaged(model: Path, folder: Path, **sources: Any) -> bundle.Bundle:
    asked, verdict = judged(model, folder / "verify", **sources)
    assert verdict.passport, verdict.passport.failures()
    return package_file(asked, verdict, QUICK, PackageConfig(), folder / "bundle", "net")


class Baked(nn.Module):
    """Knows its batch of 3 by heart."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer = nn.Linear(6, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.layer(x.reshape(3, 6)))


class Fixed(Baked):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.layer(x.flatten(1)))


@pytest.fixture(scope="module")
def fixed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `fixed.onnx` and `baked.onnx`, which take 3 rows at a time, as torch writes them."""
    folder = tmp_path_factory.mktemp("fixed")
    for module in (Fixed(), Baked()):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            path = folder / f"{type(module).__name__.lower()}.onnx"
            torch.onnx.export(
                module.eval(), (torch.rand(3, 2, 3),), path, dynamo=True, external_data=False, verbose=False
            )
    return folder


def test_a_file_held_against_itself_says_what_that_does_not_prove(tmp_path: Path) -> None:
    found = packaged(saved(tmp_path / "two.onnx", TWO), tmp_path / "out").manifest
    passport = found.variants["fp32"].passport
    assert (found.input.kind, found.output.kind) == ("tensors", "tensors")
    assert passport.reference == "itself, in float64"
    assert [words.partition(":")[0] for words in passport.unproven] == [
        "that the file is the network that was trained",
        "real data",
        "worst cases",
    ]
    card = (tmp_path / "out" / "bundle" / "README.md").read_text()
    assert all(f"- {words}\n" in card for words in passport.unproven)
    assert "held against itself, in float64" in card


def test_the_card_shows_a_call_that_works(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = packaged(saved(tmp_path / "two.onnx", TWO), tmp_path / "out").folder
    code = (folder / "README.md").read_text().split("```python\n")[1].split("```")[0]
    exec(code.replace("this folder", str(folder)), {})
    assert "'s': array(0, dtype=int64)" in capsys.readouterr().out


def test_its_predictor_answers_rows_batches_and_many(tmp_path: Path) -> None:
    with Predictor.load(packaged(saved(tmp_path / "two.onnx", TWO), tmp_path / "out").folder, threads=1) as predictor:
        x = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)
        ids = np.arange(15).reshape(5, 3)
        together = predictor.predict({"x": x, "ids": ids})
        alone = predictor.predict_many([{"x": x[i], "ids": ids[i]} for i in range(5)])
        for row, (one, other) in enumerate(zip(together, alone, strict=True)):
            np.testing.assert_array_equal(one["y"], other["y"])
            assert one["s"] == other["s"] == ids[row].sum()
        assert set(alone[0].to_dict()["outputs"]) == {"y", "s"}
        with pytest.raises(InputError, match="payload 0: is a batch"):
            predictor.predict_many([{"x": x, "ids": ids}])


def test_samples_are_rows_of_the_given_inputs_and_edges_with_the_truth(tmp_path: Path) -> None:
    model = saved(tmp_path / "two.onnx", TWO)
    rows = {"x": np.random.default_rng(0).normal(size=(20, 4)).astype(np.float32), "ids": np.ones((20, 6), np.int64)}
    np.savez(tmp_path / "rows.npz", **rows)
    found = packaged(model, tmp_path / "out", inputs=str(tmp_path / "rows.npz"))
    kept = samples.load(found.folder / bundle.SAMPLES)
    real = [sample for sample in kept if sample.real]
    assert 0 < len(real) <= PackageConfig().samples < len(kept)
    assert real[-1].note == "row: 19 of rows.npz"
    np.testing.assert_array_equal(real[-1].inputs["x"], rows["x"][19:])
    assert all(sample.reference["y"].dtype == np.float64 for sample in kept)
    assert not any("real data" in words for words in found.manifest.variants["fp32"].passport.unproven)
    assert recertify(found.folder, threads=1)


def test_one_uint8_input_with_channels_last_is_a_picture_whatever_its_name(tmp_path: Path) -> None:
    found = packaged(saved(tmp_path / "picture.onnx", PICTURE), tmp_path / "out")
    assert found.manifest.input.kind == "image"
    with Predictor.load(found.folder, threads=1) as predictor:
        assert predictor.predict(np.full((7, 9, 3), 51, np.uint8))["y"].tolist() == [51, 51, 51]


@pytest.mark.parametrize("name", ["fixed", "baked"])
@pytest.mark.parametrize("against", ["torch", "itself"])
def test_a_fixed_batch_is_judged_and_served_row_by_row(
    fixed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, against: str
) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    torch_module = f"{Path(__file__).stem}:{name.title()}" if against == "torch" else None
    found = packaged(fixed / f"{name}.onnx", tmp_path / "out", torch=torch_module)
    passport = found.manifest.variants["fp32"].passport
    assert any(words.startswith("other batch sizes: the file takes 3 rows") for words in passport.unproven)
    assert found.manifest.input.tensors[0].shape == (3, 2, 3)
    x = np.random.default_rng(1).normal(size=(7, 2, 3)).astype(np.float32)
    with torch.inference_mode():
        expected = Fixed()(torch.from_numpy(x)).numpy()
    output = found.manifest.output.tensors[0].name
    with Predictor.load(found.folder, threads=1) as predictor:
        assert predictor.info.input.tensors[0].shape == ("batch", 2, 3)
        many = predictor.predict_many(list(x))
        np.testing.assert_allclose([one[output] for one in many], expected, rtol=1e-4, atol=1e-6)
        np.testing.assert_array_equal(predictor.predict(x[0])[output], many[0][output])
        np.testing.assert_array_equal(predictor.submit(x).result(60)[6][output], many[6][output])


def test_a_served_fixed_batch_takes_any_number_of_rows(fixed: Path, tmp_path: Path) -> None:
    pytest.importorskip("orjson", reason="needs the extra 'serve'")
    from deploy.server.dataplane import DataPlane
    from deploy.server.rest.payloads import Payload

    dataplane = DataPlane(workers=1)
    dataplane.add(Predictor.load(packaged(fixed / "fixed.onnx", tmp_path / "out").folder, threads=1))
    try:
        assert dataplane.model_metadata("net")["inputs"][0]["shape"] == [-1, 2, 3]
        for rows in (1, 3, 5):
            data = {"name": "x", "datatype": "FP32", "shape": [rows, 2, 3], "data": [0.5] * 6 * rows}
            wire = asyncio.run(dataplane.infer_wire("net", None, {}, json.dumps({"inputs": [data]}).encode()))
            assert json.loads(b"".join(wire.body))["outputs"][0]["shape"] == [rows, 5]
        body = json.dumps({"x": [[1, 2, 3], [4, 5, 6]]}).encode()
        answer = asyncio.run(dataplane.predict(Payload(body, is_json=True)))[0]
        assert len(next(iter(answer["outputs"].values()))) == 5
    finally:
        dataplane.close()


def test_a_wrong_fixed_batch_is_refused_and_its_node_named(fixed: Path, tmp_path: Path) -> None:
    model = onnx.load(fixed / "fixed.onnx")
    for tensor in model.graph.initializer:
        if len(tensor.dims) == 2:
            tensor.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(tensor) * 1.01, tensor.name))
    onnx.save(model, tmp_path / "wrong.onnx")
    asked, verdict = judged(tmp_path / "wrong.onnx", tmp_path / "verify", against=fixed / "fixed.onnx")
    assert not verdict.passport
    assert json.loads((tmp_path / "verify" / "blame.json").read_text())["operator"] in ("Gemm", "MatMul")
    with pytest.raises(BundleError, match="did not pass verification"):
        package_file(asked, verdict, QUICK, PackageConfig(), tmp_path / "bundle", "net")
    assert not (tmp_path / "bundle").exists()


def test_rows_that_look_at_each_other_are_refused(tmp_path: Path) -> None:
    text = "g (float[4, 10] x) => (float[4, 10] y) { m = ReduceMean<keepdims = 1>(x) y = Sub(x, m) }"
    _, verdict = judged(saved(tmp_path / "m.onnx", text), tmp_path / "out")
    assert "batch invariance" in [check.name for check in verdict.passport.failures()]


def test_sizes_that_the_network_cannot_take_are_left_out(tmp_path: Path) -> None:
    text = """g (float[n, 1, h, w] x) => (float[n, 1] y)
    <float[1, 1, 3, 3] k = {1, 2, 3, 4, 5, 6, 7, 8, 9}, int64[2] axes = {2, 3}> {
        c = Conv<pads = [0, 0, 0, 0]>(x, k)
        y = ReduceMax<keepdims = 0>(c, axes)
    }"""
    _, verdict = judged(saved(tmp_path / "conv.onnx", text), tmp_path / "out", inputs="x=1,9,9:0..1")
    assert verdict.passport, verdict.passport.failures()
    edge = next(check for check in verdict.passport.checks if check.name == "edge inputs")
    assert "3 left out, which the reference cannot run" in edge.detail


def test_an_operator_of_onnx_runtimes_own_is_packaged_and_the_passport_says_so(tmp_path: Path) -> None:
    text = """g (float[batch, 4] x) => (float[batch, 4, 1] y) <int64[1] axes = {2}> {
        q = com.microsoft.QuickGelu(x)
        y = Unsqueeze(q, axes)
    }"""
    passport = packaged(saved(tmp_path / "own.onnx", text), tmp_path / "out").manifest.variants["fp32"].passport
    assert passport.reference == "itself, not optimized"
    assert {"float64", "decisions"} <= {words.partition(":")[0] for words in passport.unproven}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("g (float[b, 4] x) => (float[b, 4] y) { y = my.own.Foo(x) }", "my.own:Foo"),
        ("g (float[b, 4] x) => (float s) { s = ReduceSum<keepdims = 0>(x) }", "do not all begin with the same rows"),
        ("g (float[4, 4] x) => (float[b, 4] y) { y = Relu(x) }", "do not all begin with the same rows"),
        ("g (string[b, 4] x) => (string[b, 4] y) { y = Identity(x) }", "input 'x' is text, expected a tensor of"),
        ("g (float[b, 4] x) => (seq(float[b, 4]) y) { y = SequenceConstruct(x) }", "output 'y' is sequence"),
    ],
)
def test_what_cannot_be_served_is_said_in_one_line(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises((VerifyError, BundleError)) as caught:
        judged(saved(tmp_path / "m.onnx", text), tmp_path / "out")
    assert words in str(caught.value)
    assert "m.onnx: " in str(caught.value)
    assert "\n" not in str(caught.value)


def test_weights_in_another_file_come_with_the_way_to_join_them(tmp_path: Path) -> None:
    model = onnx.parser.parse_model(HEAD + TWO)
    for tensor in model.graph.initializer:
        tensor.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(tensor), tensor.name))
    onnx.save(model, tmp_path / "m.onnx", save_as_external_data=True, size_threshold=0)
    with pytest.raises(VerifyError, match=r"keeps weights in other files.*onnx\.save"):
        subject(tmp_path / "m.onnx", Sources())


@pytest.mark.parametrize(
    ("file", "name"), [("net.v2.onnx", "net.v2"), ("my model (1)é.onnx", "my-model-1"), ("é.onnx", "model")]
)
def test_the_name_is_the_files_with_what_names_hold(file: str, name: str) -> None:
    assert name_of(Path(file), None, "1") == name


@pytest.mark.parametrize(("name", "version"), [("a/b", "1"), ("", "1"), (".hidden", "1"), ("net", "1 2"), ("net", "")])
def test_other_names_and_versions_are_refused(name: str, version: str) -> None:
    with pytest.raises(UsageError, match="expected letters, digits"):
        name_of(Path("m.onnx"), name, version)


def test_nothing_else_is_written_over(tmp_path: Path) -> None:
    found = packaged(saved(tmp_path / "two.onnx", TWO), tmp_path / "out")
    require_place(found.folder, "net")
    require_place(tmp_path / "new", "net")
    with pytest.raises(UsageError, match="holds the bundle of net"):
        require_place(found.folder, "other")
    require_place(found.folder, "other", force=True)
    with pytest.raises(UsageError, match="holds something that is no bundle"):
        require_place(tmp_path, "net", force=True)


def test_a_file_that_changed_after_it_was_verified_leaves_the_older_bundle(tmp_path: Path) -> None:
    model = saved(tmp_path / "two.onnx", TWO)
    older = packaged(model, tmp_path)
    asked, verdict = judged(model, tmp_path / "verify")
    saved(model, TWO.replace("0.25", "0.26"))
    with pytest.raises(BundleError, match="the passport was issued for the file"):
        package_file(asked, verdict, QUICK, PackageConfig(), tmp_path / "bundle", "net")
    assert bundle.load(tmp_path / "bundle").digest == older.digest
