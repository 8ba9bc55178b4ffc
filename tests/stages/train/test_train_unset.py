"""Gradients that torch leaves unset in bf16 on the CPU are computed in float32."""

import copy

import pytest
import torch
from torch import nn

from stages.train import unset

HIT = [
    (nn.Conv3d(16, 32, 3, padding=1), (2, 2, 2)),
    (nn.Conv3d(16, 32, 5, padding=2), (4, 8, 8)),
    (nn.Conv3d(16, 32, (3, 1, 1), padding=(1, 0, 0)), (2, 8, 8)),
    (nn.ConvTranspose3d(16, 32, 3, padding=1), (2, 4, 4)),
    (nn.Conv2d(16, 32, 3, stride=2, padding=1), (1, 1)),
    (nn.Conv2d(16, 32, 3, stride=2, padding=1), (8, 1)),
    (nn.ConvTranspose2d(16, 32, 3, stride=2, padding=1), (8, 1)),
    (nn.Conv1d(16, 32, 7, stride=2, padding=3), (1,)),
]
SAFE = [
    (nn.Conv3d(16, 32, 3, padding=1), (4, 2, 2)),
    (nn.Conv3d(16, 32, 1), (1, 1, 1)),
    (nn.Conv2d(16, 32, 3, padding=1), (1, 8)),
    (nn.Conv2d(16, 32, 3, padding=1), (2, 2)),
    (nn.Conv1d(16, 32, 3, padding=1), (2,)),
]


def gradient(layer, x, precision):
    for size in (x.numel(), layer.weight.numel(), layer.weight.numel() // 2):  # what is freed is handed out again
        torch.full((size,), torch.nan)
    with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
        y = layer(x)
    layer.zero_grad()
    y.backward(torch.linspace(-1, 1, y.numel()).view(y.shape).to(y))
    return y, layer.weight.grad.clone()


@pytest.mark.parametrize(("layer", "size"), HIT + SAFE, ids=str)
def test_gradients_are_those_of_float32_within_its_digits(layer, size):
    layer = copy.deepcopy(layer)
    x = torch.randn(8, 16, *size, generator=torch.Generator().manual_seed(0))
    _, right = gradient(layer, x, "fp32")
    unset.avoid(layer)
    for _ in range(5):
        _, found = gradient(copy.deepcopy(layer), x, "bf16")
        assert torch.linalg.vector_norm(found - right) <= 0.02 * torch.linalg.vector_norm(right)


@pytest.mark.parametrize(("layer", "size"), HIT, ids=str)
def test_layers_that_would_be_hit_run_in_float32(layer, size):
    layer = copy.deepcopy(layer)
    unset.avoid(layer)
    assert gradient(layer, torch.randn(2, 16, *size), "bf16")[0].dtype == torch.float32


@pytest.mark.parametrize(("layer", "size"), SAFE, ids=str)
def test_others_stay_in_bf16(layer, size):
    layer = copy.deepcopy(layer)
    unset.avoid(layer)
    assert gradient(layer, torch.randn(2, 16, *size), "bf16")[0].dtype == torch.bfloat16
