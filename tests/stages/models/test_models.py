"""Every model that discovery finds does what stages/models/README.md asks of it."""

import copy
from pathlib import Path

import pytest
import torch
from torch import nn

from stages import discover
from stages.graph import VECTOR
from tests.stages.models.cases import SHAPES, Case, case, kind, rows_of

MODELS = list(discover.found("models"))


def check_features(net: nn.Module, batch: torch.Tensor) -> None:
    """They are of the form that the network says it gives; what other forms than these are is between net and task."""
    features, form = net(batch), getattr(net, "gives", VECTOR)
    assert rows_of(features).dtype == torch.float32
    assert len(rows_of(features)) == len(batch)
    if form == VECTOR:
        assert features.shape == (len(batch), net.out_features)
    if form == "map":
        stride = getattr(net, "stride", 1)
        assert features.shape == (len(batch), net.out_features, *(-(-side // stride) for side in batch.shape[2:]))


@pytest.fixture(scope="module", params=MODELS)
def made(request: pytest.FixtureRequest) -> tuple[Case, nn.Module]:
    of = case(request.param)
    return of, of.build()


def test_every_model_says_what_it_takes(made: tuple[Case, nn.Module]) -> None:
    assert kind(made[0].name) in SHAPES


def test_every_model_makes_the_features_it_says(made: tuple[Case, nn.Module]) -> None:
    of, net = made
    check_features(net, of.inputs(2))


def test_every_model_answers_row_by_row(made: tuple[Case, nn.Module]) -> None:
    of, net = made[0], copy.deepcopy(made[1]).eval()
    batch = of.inputs(4)
    with torch.inference_mode():
        together, alone = rows_of(net(batch))[2:3], rows_of(net(batch[2:3]))
    assert (together - alone).abs().max() <= 1e-5 * alone.abs().max()


def test_every_model_trains(made: tuple[Case, nn.Module]) -> None:
    of, net = made[0], copy.deepcopy(made[1]).train()
    batch = of.inputs(4)
    (rows_of(net(batch)) - 1).square().sum().backward()
    gradients = {name: parameter.grad for name, parameter in net.named_parameters()}
    assert not [name for name, gradient in gradients.items() if gradient is None or not gradient.isfinite().all()]
    if of.name != "timm":  # which begins residual branches at 0
        unmoved = [name for name, gradient in gradients.items() if not gradient.any() and name.endswith("weight")]
        assert len(unmoved) <= len(gradients) / 10, unmoved  # a unit may be silent on four rows


def test_every_model_has_a_float64_twin(made: tuple[Case, nn.Module]) -> None:
    of, net = made[0], copy.deepcopy(made[1]).eval()
    batch = of.inputs(2)
    with torch.inference_mode():
        single = rows_of(net(batch))
        exact = rows_of(net.double()(batch if of.tokens else batch.double()))
    assert exact.dtype == torch.float64
    assert (single - exact).abs().max() <= 1e-4 * exact.abs().max()


@pytest.mark.parametrize("name", MODELS)
def test_every_model_takes_other_shapes(name: str) -> None:
    of = case(name, 1)
    net = of.build().eval()
    with torch.inference_mode():
        check_features(net, of.inputs(1))


@pytest.mark.parametrize("name", MODELS)
def test_every_model_stands_in_the_docs(name: str) -> None:
    text = (Path(__file__).parents[3] / "docs" / "models.md").read_text()
    assert f"`{name}`" in text or f"`{name}:" in text
