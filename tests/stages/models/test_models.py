"""Every model that discovery finds does what stages/models/README.md asks of it."""

import copy
from pathlib import Path

import pytest
import torch
from torch import nn

from stages import discover
from tests.stages.models.cases import SHAPES, Case, case, kind

MODELS = list(discover.found("models"))


@pytest.fixture(scope="module", params=MODELS)
def made(request: pytest.FixtureRequest) -> tuple[Case, nn.Module]:
    of = case(request.param)
    return of, of.build()


def test_every_model_says_what_it_takes(made: tuple[Case, nn.Module]) -> None:
    assert kind(made[0].name) in SHAPES


def test_every_model_makes_the_features_it_says(made: tuple[Case, nn.Module]) -> None:
    of, net = made
    features = net(of.inputs(2))
    assert features.shape == (2, net.out_features)
    assert features.dtype == torch.float32


def test_every_model_answers_row_by_row(made: tuple[Case, nn.Module]) -> None:
    of, net = made[0], copy.deepcopy(made[1]).eval()
    batch = of.inputs(4)
    with torch.inference_mode():
        together, alone = net(batch)[2:3], net(batch[2:3])
    assert (together - alone).abs().max() <= 1e-5 * alone.abs().max()


def test_every_model_trains(made: tuple[Case, nn.Module]) -> None:
    of, net = made[0], copy.deepcopy(made[1]).train()
    batch = of.inputs(4)
    (net(batch) - 1).square().sum().backward()
    gradients = {name: parameter.grad for name, parameter in net.named_parameters()}
    assert not [name for name, gradient in gradients.items() if gradient is None or not gradient.isfinite().all()]
    if of.name != "timm":  # which begins residual branches at 0
        unmoved = [name for name, gradient in gradients.items() if not gradient.any() and name.endswith("weight")]
        assert len(unmoved) <= len(gradients) / 10, unmoved  # a unit may be silent on four rows


def test_every_model_has_a_float64_twin(made: tuple[Case, nn.Module]) -> None:
    of, net = made[0], copy.deepcopy(made[1]).eval()
    batch = of.inputs(2)
    with torch.inference_mode():
        single = net(batch)
        exact = net.double()(batch if of.tokens else batch.double())
    assert exact.dtype == torch.float64
    assert (single - exact).abs().max() <= 1e-4 * exact.abs().max()


@pytest.mark.parametrize("name", MODELS)
def test_every_model_takes_other_shapes(name: str) -> None:
    of = case(name, 1)
    net = of.build().eval()
    with torch.inference_mode():
        assert net(of.inputs(1)).shape == (1, net.out_features)


@pytest.mark.parametrize("name", MODELS)
def test_every_model_stands_in_the_docs(name: str) -> None:
    text = (Path(__file__).parents[3] / "docs" / "models.md").read_text()
    assert f"`{name}`" in text or f"`{name}:" in text
