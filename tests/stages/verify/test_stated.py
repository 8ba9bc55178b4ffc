"""The stated noise, where there is no twin to round."""

import copy
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from stages.verify.stated import Stated, stated_noise
from tests.stages.verify.identity import Identity

CHAIN = """<ir_version: 10, opset_import: ["": 20]> g (float[n, 8] x) => (float[n, 8] y)
    <float[8, 8] w = {%s}> { %s }"""


def chain(*steps: str) -> onnx.ModelProto:
    names = ["x", *(f"t{i}" for i in range(1, len(steps))), "y"]
    body = " ".join(f"{new} = {step.format(old)}" for step, old, new in zip(steps, names[:-1], names[1:], strict=True))
    return onnx.parser.parse_model(CHAIN % (", ".join(["0.5"] * 64), body))


def test_the_formula() -> None:
    unit = 2.0**-24 / np.sqrt(3)
    assert stated_noise(chain("Sin({})"), "fp32") == pytest.approx(unit)
    assert stated_noise(chain("MatMul({}, w)"), "fp32") == pytest.approx(unit * 2)  # one rounding, and log2(8) of sums
    assert stated_noise(chain("Gemm<transB = 1>({}, w)"), "fp32") == pytest.approx(unit * 2)
    assert stated_noise(chain("MatMul({}, w)", "Relu({})", "Sin({})"), "fp32") == pytest.approx(unit * np.sqrt(5))
    assert stated_noise(chain("Relu({})"), "fp32") == pytest.approx(unit)


def test_a_coarser_precision_states_more() -> None:
    model = chain("Sin({})")
    units = {"fp32": 2.0**-24, "tf32": 2.0**-11, "fp16": 2.0**-11, "bf16": 2.0**-8}
    noises = [stated_noise(model, precision) / unit for precision, unit in units.items()]
    assert noises == pytest.approx([noises[0]] * 4)


@pytest.mark.parametrize(
    "module",
    [
        nn.Sequential(nn.Conv2d(3, 16, 3), nn.ReLU(), nn.Conv2d(16, 32, 3, groups=4), nn.ReLU(), nn.Conv2d(32, 8, 1)),
        nn.Sequential(nn.ConvTranspose2d(3, 16, 3, stride=2), nn.BatchNorm2d(16), nn.Sigmoid(), nn.Conv2d(16, 4, 5)),
        nn.Sequential(nn.Flatten(), nn.Linear(300, 64), nn.Tanh(), nn.Linear(64, 10), nn.Softmax(1)),
    ],
    ids=["convolutions", "transposed", "dense"],
)
def test_what_is_stated_is_of_the_size_of_what_torch_does(module: nn.Module, tmp_path: Path) -> None:
    """Within ten times: which kernels torch takes, and so how it adds, is the processor's matter."""
    torch.manual_seed(0)
    x = torch.randn(8, 3, 10, 10)
    module.eval()
    with torch.inference_mode():
        exact = copy.deepcopy(module).double()(x.double())
        measured = float((module(x) - exact).square().mean().sqrt() / exact.square().mean().sqrt())
    torch.onnx.export(module, (x,), tmp_path / "m.onnx", dynamo=True, external_data=False, verbose=False)
    assert 1 / 10 < stated_noise(onnx.load(tmp_path / "m.onnx"), "fp32") / measured < 10


def test_a_stated_reference_is_as_far_from_the_truth_as_it_states() -> None:
    reference = Stated(Identity(), 1e-6)
    feeds = {"x": np.random.default_rng(0).uniform(1, 2, (100, 3)).astype(np.float32)}
    truth, rounded = reference.truth(feeds), reference.rounded(feeds)
    relative = np.abs(rounded["scores"] / truth["scores"] - 1)
    np.testing.assert_allclose(relative, 1e-6, rtol=1e-6)
    assert np.array_equal(rounded["index"], truth["index"])
    assert "stated bound" in reference.yardstick
    assert "1.0e-06" in reference.yardstick
    assert np.array_equal(reference.decide(truth)[0], truth["index"])
    assert isinstance(reference.at("fp32"), Identity)
