import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from deploy.errors import UsageError
from stages.dataset import DataInfo
from stages.inputs.series import series

INFO = DataInfo("waves", (2, "length"), ("a", "b"), "0" * 64, "none")
WAVE = torch.from_numpy(np.random.default_rng(0).normal(5, 3, (4, 2, 37)).astype(np.float32))


def test_by_default_series_come_as_they_are() -> None:
    pre = series(INFO)
    assert torch.equal(pre(WAVE), WAVE)
    assert pre.preprocessed_shape == (2, "length")
    assert pre.signature.tensors[0].shape == ("batch", 2, "length")


def test_znorm_is_the_textbook_one() -> None:
    expected = (WAVE - WAVE.mean(2, keepdim=True)) / WAVE.std(2, keepdim=True, correction=0)
    torch.testing.assert_close(series(INFO, znorm=True)(WAVE), expected, rtol=0, atol=2e-6)


@settings(deadline=None, max_examples=60)
@given(scale=st.floats(1e-30, 1e30), offset=st.floats(-3, 3))
def test_znorm_heeds_neither_scale_nor_offset(scale: float, offset: float) -> None:
    pre = series(INFO, znorm=True).double()
    found = pre((WAVE.double() + offset) * scale)
    torch.testing.assert_close(found, pre(WAVE.double()), rtol=0, atol=1e-9)


@pytest.mark.parametrize("value", [0.0, 7.3, -1e30, 1e-40])
@pytest.mark.parametrize("length", [1, 2, 1000])
def test_a_constant_series_becomes_nothing(value: float, length: int) -> None:
    found = series(INFO, znorm=True)(torch.full((1, 2, length), value))
    assert found.abs().max() < 0.02


def test_huge_values_do_not_overflow() -> None:
    assert series(INFO, znorm=True)(WAVE * 1e37).isfinite().all()


def test_mean_and_std_of_the_training_data() -> None:
    found = series(INFO, mean=(5.0, 4.0), std=(3.0, 2.0))(WAVE)
    torch.testing.assert_close(found[:, 1], (WAVE[:, 1] - 4) / 2)


def test_any_length_is_brought_to_the_networks_own() -> None:
    pre = series(INFO, length=19)
    assert pre.preprocessed_shape == (2, 19)
    assert pre.own == {"length": 19}
    for length in (1, 7, 19, 100):
        assert pre(WAVE[:, :, :1].repeat(1, 1, length)).shape == (4, 2, 19)
    straight = torch.arange(38.0).reshape(1, 1, 38).repeat(1, 2, 1)
    torch.testing.assert_close(pre.resized(straight)[0, 0], torch.arange(19) * 2 + 0.5)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"length": -1}, "length is -1"),
        ({"mean": (1.0, 2.0, 3.0)}, "mean has 3 values, expected 1, or 2"),
        ({"std": (0.0,)}, "expected numbers above 0"),
    ],
)
def test_options_that_do_not_fit(options: dict[str, object], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        series(INFO, **options)


def test_data_that_is_no_series() -> None:
    with pytest.raises(UsageError, match=r"expected \(channels, length\)"):
        series(DataInfo("pictures", ("height", "width", 3), (), "", ""))
