import numpy as np
import pytest
import torch
from PIL import Image

from deploy.errors import UsageError
from stages.dataset import DataInfo
from stages.inputs.image import image

INFO = DataInfo("pictures", ("height", "width", 3), ("a", "b"), "0" * 64, "none")


def pictures(height, width, count=1):
    generator = np.random.default_rng(0)
    return torch.from_numpy(generator.integers(0, 256, (count, height, width, 3), dtype=np.uint8))


@pytest.mark.parametrize("size", [(7, 9), (1, 1), (100, 3), (16, 12)], ids=str)
def test_any_size_comes_to_the_network_s(size):
    pre = image(INFO, height=16, width=12)
    out = pre(pictures(*size, count=2))
    assert out.shape == (2, 3, 16, 12)
    assert out.dtype == torch.float32
    assert pre.preprocessed_shape == (3, 16, 12)


@pytest.mark.parametrize("size", [(50, 40), (9, 7), (16, 12)], ids=str)
def test_resizing_is_pillow_s_bilinear_with_antialiasing(size):
    (picture,) = pictures(*size)
    ours = image(INFO, height=16, width=12).resize(picture[None])[0].permute(1, 2, 0).numpy()
    theirs = np.array(Image.fromarray(picture.numpy()).resize((12, 16), Image.Resampling.BILINEAR))
    assert np.abs(ours - theirs).max() <= 1.01


def test_its_own_size_is_left_as_it_is():
    picture = pictures(16, 12)
    assert torch.equal(image(INFO, height=16, width=12).resize(picture), picture.permute(0, 3, 1, 2).float())


def test_pixels_are_scaled_and_normalised_by_channel():
    mean, std = (0.1, 0.2, 0.3), (0.5, 1.0, 2.0)
    picture = pictures(4, 4)
    out = image(INFO, height=4, width=4, mean=mean, std=std)(picture)
    expected = (picture.numpy() / 255 - np.array(mean)) / np.array(std)
    assert np.allclose(out[0].permute(1, 2, 0).numpy(), expected[0], atol=1e-5)


def test_a_double_twin_computes_in_float64():
    twin = image(INFO, height=4, width=4, mean=(0.5,)).double()
    assert twin(pictures(6, 6)).dtype == torch.float64


def test_float_pixels_are_taken_too():
    pre = image(INFO, height=4, width=4)
    assert torch.equal(pre(pictures(6, 6)), pre(pictures(6, 6).float()))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"height": 0, "width": 4}, "0 x 4 px, expected 1 or more"),
        ({"height": 4, "width": 4, "mean": (0.1, 0.2)}, r"mean has 2 values, expected 1, or 3"),
        ({"height": 4, "width": 4, "std": (0.1, 0.2, 0.3, 0.4)}, r"std has 4 values, expected 1, or 3"),
        ({"height": 4, "width": 4, "std": (0.0,)}, "expected numbers above 0"),
    ],
)
def test_values_that_do_not_fit_are_named(options, message):
    with pytest.raises(UsageError, match=message):
        image(INFO, **options)
