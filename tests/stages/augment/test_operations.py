import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance, ImageOps

from stages.augment import operations
from stages.augment.operations import OPERATIONS, vary


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def pictures(count=6, channels=3):
    return torch.randint(0, 256, (count, channels, 9, 12), generator=generator(9)).float()


def amounts(value, count=6):
    return torch.full((count, 1, 1, 1), value)


@pytest.mark.parametrize("channels", [1, 3, 5])
@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda o: o.__name__)
@pytest.mark.parametrize("amount", [-1.0, 0.0, 0.6, 1.0])
def test_every_operation_keeps_form_and_range(operation, channels, amount):
    varied = operation(pictures(channels=channels), amounts(amount))
    assert varied.shape == (6, channels, 9, 12)
    assert varied.min() >= -1e-3
    assert varied.max() <= 255 + 1e-3


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda o: o.__name__)
def test_nothing_happens_at_amount_0(operation):
    if operation is not operations._autocontrast:
        assert torch.allclose(operation(pictures(), amounts(0.0)), pictures(), atol=2e-2)


@pytest.mark.parametrize(
    ("operation", "enhancer"),
    [("_brightness", ImageEnhance.Brightness), ("_contrast", ImageEnhance.Contrast), ("_colour", ImageEnhance.Color)],
)
@pytest.mark.parametrize("amount", [-0.7, 0.5])
def test_blends_are_pillow_s(operation, enhancer, amount):
    images = pictures()
    ours = getattr(operations, operation)(images, amounts(amount))
    for picture, mine in zip(images, ours, strict=True):
        pillow = enhancer(Image.fromarray(picture.permute(1, 2, 0).byte().numpy())).enhance(1 + 0.9 * amount)
        assert np.abs(np.asarray(pillow, np.float32) - mine.permute(1, 2, 0).numpy()).max() <= 3  # Pillow rounds


def test_solarize_and_posterize_are_pillow_s():
    images = pictures()
    for picture, bright, coarse in zip(
        images, operations._solarize(images, amounts(0.5)), operations._posterize(images, amounts(1.0)), strict=True
    ):
        whole = Image.fromarray(picture.permute(1, 2, 0).byte().numpy())
        assert np.array_equal(np.asarray(ImageOps.solarize(whole, 128)), bright.permute(1, 2, 0).numpy())
        assert np.array_equal(np.asarray(ImageOps.posterize(whole, 4)), coarse.permute(1, 2, 0).numpy())


def test_every_picture_meets_every_operation_by_chance(monkeypatch):
    marks = tuple((lambda number: lambda pixels, amount: torch.full_like(pixels, float(number)))(n) for n in range(12))
    monkeypatch.setattr(operations, "OPERATIONS", marks)
    met = torch.stack([vary(pictures(5), 1, 1.0, generator(seed))[:, 0, 0, 0] for seed in range(600)])
    for picture in met.unbind(1):
        counts = torch.bincount(picture.long(), minlength=12)
        assert counts.min() > 20  # 50 are expected


def test_the_rest_of_the_batch_stays_where_it_was():
    images = pictures(24)
    marked = images.clone()
    marked[:, :, 0, 0] = torch.arange(24.0)[:, None]
    kept = vary(marked, 3, 0.0, generator())  # amount 0: only autocontrast does anything
    same = (kept - marked).abs().amax(dim=(1, 2, 3)) < 2e-2
    assert same.sum() >= 12
