import pytest
import torch

from deploy.errors import UsageError
from stages.dataset import DataInfo
from stages.inputs.spectral import spectral

INFO = DataInfo("landsat", (4, 3, 3), ("soil", "crop"), "0" * 64, "none")


@pytest.mark.parametrize(("dtype", "largest"), [("uint8", 255), ("uint16", 65535), ("float32", 1)])
def test_the_largest_value_of_whole_numbers_is_one(dtype: str, largest: int) -> None:
    pre = spectral(INFO, dtype=dtype)
    spec = pre.signature.tensors[0]
    assert (spec.dtype, spec.shape) == (dtype, ("batch", 4, 3, 3))
    assert spec.range == (None if dtype == "float32" else (0.0, float(largest)))
    assert pre(torch.full((2, 4, 3, 3), largest).to(getattr(torch, dtype))).unique().tolist() == [1.0]


def test_each_band_is_normalised_by_itself() -> None:
    means = (0.1, 0.2, 0.3, 0.4)
    found = spectral(INFO, mean=means)(torch.zeros((1, 4, 3, 3), dtype=torch.uint8))
    torch.testing.assert_close(found[0, :, 0, 0], -torch.tensor(means))


def test_patches_of_no_fixed_size_are_refused() -> None:
    with pytest.raises(UsageError, match="fixed sizes"):
        spectral(DataInfo("pictures", ("height", "width", 3), (), "", ""))
    with pytest.raises(UsageError, match="mean has 2 values, expected 1, or 4"):
        spectral(INFO, mean=(0.0, 1.0))
