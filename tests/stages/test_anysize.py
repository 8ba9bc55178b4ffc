import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.anysize import cropped, padded


@settings(deadline=None, max_examples=40)
@given(sides=st.lists(st.integers(1, 9), min_size=2, max_size=3), multiple=st.sampled_from([1, 2, 4, 8]))
def test_sides_are_multiples_and_cropping_gives_back_what_was(sides: list[int], multiple: int) -> None:
    x = torch.randn(2, 3, *sides)
    whole = padded(x, multiple)
    assert all(side % multiple == 0 for side in whole.shape[2:])
    assert all(0 <= after - before < multiple for before, after in zip(sides, whole.shape[2:], strict=True))
    assert torch.equal(cropped(whole, x), x)


def test_the_last_values_are_repeated() -> None:
    x = torch.tensor([[[[1.0, 2.0, 3.0]]]])
    assert padded(x, 2).tolist() == [[[[1, 2, 3, 3], [1, 2, 3, 3]]]]


@pytest.mark.parametrize("side", [1, 4])
def test_what_fits_already_is_left_alone(side: int) -> None:
    x = torch.randn(1, 1, 4, 4)
    assert torch.equal(padded(x, side), x)
