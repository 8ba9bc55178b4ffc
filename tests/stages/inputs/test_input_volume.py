import numpy as np
import pytest
import torch

from deploy.errors import UsageError
from stages.dataset import DataInfo
from stages.inputs.volume import volume

GREY = DataInfo("brains", ("depth", "height", "width"), ("a", "b"), "0" * 64, "none")
COLOUR = DataInfo("films", ("depth", "height", "width", 3), ("a", "b"), "0" * 64, "none")
VOXELS = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (2, 6, 5, 4), np.uint8))


def test_voxels_of_the_own_size_are_only_scaled() -> None:
    found = volume(GREY, depth=6, height=5, width=4, mean=(0.5,), std=(0.25,))(VOXELS)
    assert found.shape == (2, 1, 6, 5, 4)
    torch.testing.assert_close(found[:, 0], (VOXELS / 255 - 0.5) / 0.25)


@pytest.mark.parametrize("size", [(1, 1, 1), (3, 9, 5), (40, 30, 20)])
def test_any_size_is_resampled(size: tuple[int, int, int]) -> None:
    pre = volume(GREY, depth=8, height=8, width=8)
    assert pre(torch.zeros((1, *size), dtype=torch.uint8)).shape == (1, *pre.preprocessed_shape)


def test_a_slope_stays_a_slope() -> None:
    slope = torch.arange(12.0)[None, :, None, None].repeat(1, 1, 3, 3)
    found = volume(GREY, depth=6, height=3, width=3, dtype="float32")(slope)
    torch.testing.assert_close(found[0, 0, :, 0, 0], torch.arange(6) * 2 + 0.5)


def test_channels_come_to_the_front() -> None:
    colour = torch.arange(3).repeat(1, 2, 2, 2, 1).to(torch.uint8)
    pre = volume(COLOUR, depth=2, height=2, width=2, mean=(0.0, 0.0, 0.0))
    assert pre.signature.tensors[0].shape == ("batch", "depth", "height", "width", 3)
    assert (pre(colour) * 255).round()[0, :, 0, 0, 0].tolist() == [0, 1, 2]


def test_resized_volumes_are_what_the_graph_makes_of_them() -> None:
    for pre, raw in (
        (volume(GREY, depth=3, height=3, width=3), VOXELS),
        (volume(COLOUR, depth=3, height=3, width=3), VOXELS[..., None].repeat(1, 1, 1, 1, 3)),
    ):
        small = pre.resized(raw)
        assert small.dtype == torch.uint8
        assert small.shape[1:4] == (3, 3, 3)
        torch.testing.assert_close(pre(small), pre(raw), rtol=0, atol=0.51 / 255)


def test_what_does_not_fit() -> None:
    with pytest.raises(UsageError, match="expected 1 or more"):
        volume(GREY, depth=0, height=1, width=1)
    with pytest.raises(UsageError, match=r"expected \(depth, height, width\)"):
        volume(DataInfo("waves", (1, "length"), (), "", ""), depth=1, height=1, width=1)
