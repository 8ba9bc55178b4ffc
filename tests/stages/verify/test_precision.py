"""Yardsticks of other arithmetic than float32: graphs that round alike pass by their own, and by no finer one."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from onnx import helper, numpy_helper
from torch import nn

from stages.recipe import Precision, VerifyConfig
from stages.train.weights import load_graph
from stages.verify.certify import certify
from stages.verify.compare import Comparison
from stages.verify.material import Material
from stages.verify.precision import arithmetic, provider_options, rounding, to_float16, to_tf32
from stages.verify.session import open_model
from stages.verify.twin import Twin
from tests.mutants import pixels, rewrites, weights
from tests.mutants.edit import add
from tests.mutants.mutation import Apply, Model

BITS = {"tf32": 11, "fp16": 11, "bf16": 8}  # of the significand, the leading one included


def rounded_factors(bits: int) -> Apply:
    """Weights and inputs of every convolution and matrix product rounded to so many bits (Veltkamp's splitting)."""

    def mutate(model: Model) -> None:
        factor = add(model, "splitter", np.float32(2 ** (24 - bits) + 1))
        initializers = {tensor.name: tensor for tensor in model.graph.initializer}
        for place, node in reversed(list(enumerate(model.graph.node))):
            if node.op_type not in ("Conv", "Gemm"):
                continue
            weight = numpy_helper.to_array(initializers[node.input[1]])
            big = weight * np.float32(2 ** (24 - bits) + 1)
            initializers[node.input[1]].CopyFrom(numpy_helper.from_array(big - (big - weight), node.input[1]))
            source, name = node.input[0], f"split {place}"
            steps = (("Mul", source, factor), ("Sub", f"{name} 0", source), ("Sub", f"{name} 0", f"{name} 1"))
            node.input[0] = f"{name} 2"
            for offset, (operator, first, second) in enumerate(steps):
                model.graph.node.insert(
                    place + offset, helper.make_node(operator, [first, second], [f"{name} {offset}"])
                )

    return mutate


def bfloat16_weights(model: Model) -> None:
    for tensor in model.graph.initializer:
        if tensor.name.endswith("weight"):
            array = torch.from_numpy(numpy_helper.to_array(tensor).copy()).bfloat16().float().numpy()
            tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))


@pytest.fixture(scope="module")
def ratio(colour_run: Any, colour_data: Any, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., float]:
    """The noise ratio of a changed graph by the yardstick of a precision."""
    exported = colour_run.exported
    twin, material = Twin(load_graph(exported.trained)), Material.of(colour_data, exported.input)

    def measured(mutate: Apply, precision: Precision) -> float:
        model = onnx.load(exported.model)
        mutate(model)
        path: Path = tmp_path_factory.mktemp("precision") / "model.onnx"
        path.write_bytes(model.SerializeToString())
        answer, seen = open_model(path, "cpu"), Comparison(twin.at(precision))
        for feeds in material.test(100):
            seen.add(feeds, answer(feeds), "rows")
        return seen.pools["probabilities"].ratio()

    return measured


@pytest.mark.parametrize("precision", ["tf32", "fp16", "bf16"])
def test_a_graph_passes_by_the_yardstick_of_its_own_arithmetic_only(ratio: Any, precision: Precision) -> None:
    mutate = rounded_factors(BITS[precision])
    assert 0.1 < ratio(mutate, precision) < 8
    assert ratio(mutate, "fp32") > 1000
    assert ratio(rewrites.unchanged.apply, precision) < 0.1


def test_weights_in_bfloat16_pass_as_bfloat16_only(ratio: Any) -> None:
    assert 0.1 < ratio(bfloat16_weights, "bf16") < 8
    assert ratio(bfloat16_weights, "fp32") > 1000


@pytest.mark.parametrize(
    ("fault", "precision"),
    [
        (weights.one_bias_by_a_thousandth.apply, "fp32"),
        (pixels.std_of_other_data.apply, "tf32"),
        (pixels.resize_without_antialias.apply, "fp16"),
    ],
)
def test_faults_larger_than_the_noise_of_an_arithmetic_are_seen_in_it(
    ratio: Any, fault: Apply, precision: Precision
) -> None:
    assert ratio(fault, precision) > 8


def test_a_variant_is_certified_by_what_the_config_says(colour_run: Any, colour_data: Any, tmp_path: Path) -> None:
    model = onnx.load(colour_run.exported.model)
    rounded_factors(8)(model)
    (tmp_path / "model.onnx").write_bytes(model.SerializeToString())
    twin = Twin(load_graph(colour_run.exported.trained))
    material = Material.of(colour_data, colour_run.exported.input)
    verdict = certify(tmp_path / "model.onnx", twin, material, VerifyConfig(precision="bf16", budget_s=0))
    assert verdict.passport, verdict.passport.failures()
    noise = next(check for check in verdict.passport.checks if check.name == "noise of probabilities")
    assert "torch rounded to bfloat16" in noise.detail
    refused = certify(tmp_path / "model.onnx", twin, material, VerifyConfig(precision="tf32", budget_s=0))
    assert "torch float32" in next(c.detail for c in refused.passport.failures())  # the CPU has no TF32


def test_which_arithmetic_a_session_computes_in() -> None:
    assert arithmetic("fp32", {}) == "fp32"
    assert arithmetic("fp32", {"use_tf32": "1"}) == "tf32"
    assert arithmetic("tf32", provider_options("tf32", "cuda")) == "tf32"
    assert arithmetic("tf32", provider_options("tf32", "cpu")) == "fp32"
    assert arithmetic("bf16", {"use_tf32": "1"}) == "bf16"
    assert provider_options("fp32", "cuda") == {}


@given(st.floats(-(2.0**100), 2.0**100, width=32))
def test_tf32_keeps_ten_bits_after_the_point(value: float) -> None:
    given_value = torch.tensor([value])
    nearest = to_tf32(given_value)
    assert torch.equal(to_tf32(nearest), nearest)
    assert abs(float(nearest) - value) <= 2.0**-11 * abs(value) or abs(value) < 2.0**-126
    if 1e-4 < abs(value) < 65_000:  # where float16 is as fine and as wide
        assert torch.equal(nearest, to_float16(given_value))


def test_tf32_leaves_what_is_no_number() -> None:
    odd = torch.tensor([float("inf"), -float("inf"), float("nan"), 0.0])
    assert torch.equal(to_tf32(odd)[[0, 1, 3]], odd[[0, 1, 3]])
    assert bool(to_tf32(odd)[2].isnan())


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.MultiheadAttention(8, 2, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x, x, x)[0]


class Products(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.einsum("bij,bkj->bik", x, x) @ x


class Recurrent(nn.Module):
    def __init__(self, kind: type[nn.RNNBase]) -> None:
        super().__init__()
        self.layer = kind(8, 5, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x)[0]


class InPlace(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = x * 1.7
        y[:, 0] += 0.3
        return y.mul_(0.9)


@pytest.mark.parametrize(
    ("module", "tensor_cores"),
    [
        (nn.Conv1d(3, 4, 3), True),
        (nn.ConvTranspose1d(3, 4, 3), True),
        (nn.Linear(8, 5), True),
        (Attention(), True),
        (Products(), True),
        (Recurrent(nn.LSTM), True),
        (Recurrent(nn.GRU), True),
        (nn.Sequential(nn.BatchNorm1d(3), nn.ReLU(inplace=True), nn.Softmax(1)), False),
        (InPlace(), False),
    ],
    ids=lambda value: type(value).__name__,
)
def test_every_layer_rounds_as_the_arithmetic_does(module: nn.Module, tensor_cores: bool) -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 3, 8)
    found: dict[str, float] = {}
    with torch.inference_mode():
        module.eval()
        exact = module.double()(x.double())
        module.float()
        for precision in ("fp32", "tf32", "fp16", "bf16"):
            with rounding(precision):
                found[precision] = float((module(x) - exact).square().mean().sqrt() / exact.square().mean().sqrt())
    units = {"fp32": 2.0**-24, "tf32": 2.0**-11 if tensor_cores else 2.0**-24, "fp16": 2.0**-11, "bf16": 2.0**-8}
    for precision, unit in units.items():
        assert 0.2 * unit < found[precision] < 5 * unit, (precision, found[precision])


def test_float64_stays_exact_while_float32_is_rounded() -> None:
    layer = nn.Linear(8, 5).double()
    x = torch.randn(2, 8, dtype=torch.float64)
    with torch.inference_mode():
        expected = layer(x)
        with rounding("bf16"):
            assert torch.equal(layer(x), expected)


def test_half_precision_overflows_as_on_a_gpu() -> None:
    layer = nn.Linear(1, 1, bias=False)
    nn.init.constant_(layer.weight, 300)
    x = torch.full((1, 1), 300.0)
    with torch.inference_mode():
        with rounding("fp16"):
            assert bool(layer(x).isinf().all())
        with rounding("bf16"):
            assert float(layer(x)) == pytest.approx(90_000, rel=0.01)
        assert float(layer(x)) == 90_000
