"""Activations, pools and initialisations that models share."""

import typing

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

from stages.layers import (
    Activation,
    Initialisation,
    PoolAll,
    Pooling,
    SameConv1d,
    Unshared2d,
    activation,
    initialise,
    pool,
)

POOLINGS = typing.get_args(Pooling)
X = torch.randn(2, 3, 8, 6, generator=torch.Generator().manual_seed(0))
EXPECTED = {
    "max": lambda x: F.max_pool2d(x, 2),
    "average": lambda x: F.avg_pool2d(x, 2),
    "sum": lambda x: F.avg_pool2d(x, 2) * 4,
    "l2": lambda x: F.lp_pool2d(x, 2, 2),
}


@pytest.mark.parametrize("kind", POOLINGS)
def test_pools_are_torchs(kind: Pooling) -> None:
    assert torch.allclose(pool(kind, 2)(X), EXPECTED[kind](X), atol=1e-6)
    whole = pool(kind, 6)(X[:, :, :6]).flatten(1)
    assert torch.allclose(PoolAll(kind)(X[:, :, :6]), whole, atol=1e-5)


@pytest.mark.parametrize("kind", POOLINGS)
@pytest.mark.parametrize("make", [lambda kind: pool(kind, 2), PoolAll])
def test_a_window_of_zeros_has_a_finite_slope(kind: Pooling, make: typing.Any) -> None:
    x = torch.zeros(1, 1, 2, 2, requires_grad=True)
    make(kind)(x).sum().backward()
    assert x.grad is not None
    assert x.grad.isfinite().all()


@pytest.mark.parametrize("kind", typing.get_args(Activation))
def test_activations_are_torchs(kind: Activation) -> None:
    expected = F.silu(X) if kind == "silu" else getattr(torch, kind)(X)
    assert torch.equal(activation(kind)(X), expected)


@pytest.mark.parametrize("size", range(1, 10))
def test_a_same_convolution_keeps_the_length_and_pads_more_on_the_right(size: int) -> None:
    layer = SameConv1d(1, 1, size, bias=False)
    nn.init.ones_(layer.weight)
    sums = layer(torch.ones(1, 1, 20))[0, 0]
    assert sums.shape == (20,)
    assert (sums[0], sums[-1]) == (size - (size - 1) // 2, size - (size - (size - 1) // 2 - 1))


@pytest.mark.parametrize("kind", typing.get_args(Initialisation))
def test_initialisations_have_their_spread(kind: Initialisation) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(16, 32, 3), nn.BatchNorm2d(32), nn.Linear(200, 100))
    before = net[2].weight.clone()
    initialise(net, kind)
    spread = net[2].weight.std().item()
    expected = {
        "torch": (1 / (3 * 200)) ** 0.5,
        "he_normal": (2 / 200) ** 0.5,
        "xavier_uniform": (2 / 300) ** 0.5,
        "orthogonal": (1 / 200) ** 0.5,
    }
    assert spread == pytest.approx(expected[kind], rel=0.05)
    assert torch.equal(before, net[2].weight) == (kind == "torch")
    assert bool(net[0].bias.any()) == (kind == "torch")


def test_equal_kernels_everywhere_are_a_convolution() -> None:
    convolution, unshared = nn.Conv2d(3, 4, 3, padding=1), Unshared2d(3, 4, 3, 8, 6, padding=1)
    with torch.no_grad():
        unshared.weight.copy_(convolution.weight.flatten(1).T.expand_as(unshared.weight))
        unshared.bias.copy_(convolution.bias.expand_as(unshared.bias))
    assert torch.allclose(unshared(X), convolution(X), atol=1e-6)
