import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from stages.tasks.embed.vectors import Spread, Unit

VALUES = st.lists(st.floats(-(2.0**100), 2.0**100, width=32), min_size=3, max_size=3)


@given(values=VALUES)
def test_whatever_comes_in_a_vector_of_length_1_or_less_comes_out(values: list[float]) -> None:
    (unit,) = Unit()(torch.tensor([values]))
    length = float(unit.norm())
    assert length <= 1 + 1e-6
    if max(map(abs, values)) >= 1e-6:
        assert length == pytest.approx(1, abs=1e-6)
        assert torch.equal(unit.abs().argmax(), torch.tensor(values).abs().argmax())


def test_zero_stays_zero_and_there_is_no_step_on_the_way() -> None:
    assert torch.equal(Unit()(torch.zeros(2, 4)), torch.zeros(2, 4))
    lengths = Unit()(torch.logspace(-12, 0, 500)[:, None] * torch.ones(1, 1)).norm(dim=1)
    assert lengths[0] < 1e-5
    assert lengths[-1] == 1
    ratios = lengths[1:] / lengths[:-1]
    assert ratios.max() < 1.1
    assert ratios.min() >= 1


def test_the_gradient_is_that_of_the_direction() -> None:
    x = torch.randn(5, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(Unit(), x)
    zero = torch.zeros(1, 4, requires_grad=True)
    Unit()(zero).sum().backward()
    assert zero.grad is not None
    assert zero.grad.isfinite().all()


def test_a_batch_of_one_row_is_spread_as_in_evaluation() -> None:
    layer = Spread(3).train()
    layer(torch.randn(50, 3) * 4 + 2)
    known = layer.running_mean.clone()
    row = torch.randn(1, 3)
    one = layer(row)
    assert torch.equal(layer.running_mean, known)
    assert torch.equal(one, layer.eval()(row))
    several = layer.train()(torch.randn(50, 3) * 4 + 2)
    assert several.mean(dim=0).abs().max() < 1e-5
    assert (several.std(dim=0, correction=0) - 1).abs().max() < 1e-3
