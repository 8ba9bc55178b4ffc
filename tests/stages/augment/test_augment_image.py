import dataclasses

import numpy as np
import pytest
import torch

from deploy.errors import UsageError
from stages.augment import ImageAugment

EVERYTHING = ImageAugment(rotate_deg=20, translate=0.1, scale=0.2, crop=0.2, flip=True, randaugment=2, erase=0.3)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def pictures(count=8, height=12, width=10, channels=3):
    return torch.randint(0, 256, (count, height, width, channels), generator=generator(9), dtype=torch.uint8)


def test_the_default_is_off():
    images = pictures()
    assert ImageAugment()(images, generator()) is images


@pytest.mark.parametrize(
    "change",
    [{"rotate_deg": 5.0}, {"translate": 0.1}, {"scale": 0.1}, {"crop": 0.2}, {"flip": True}, {"erase": 0.1},
     {"randaugment": 1}],
    ids=str,
)  # fmt: skip
def test_each_option_changes_something(change):
    assert not torch.equal(ImageAugment(**change)(pictures(), generator()).float(), pictures().float())


@pytest.mark.parametrize("augment", [EVERYTHING, ImageAugment(flip=True, erase=0.4), ImageAugment(scale=0.5)], ids=str)
def test_form_scale_and_device_stay(augment):
    images = pictures()
    before = images.clone()
    varied = augment(images, generator())
    assert varied.shape == images.shape
    assert torch.equal(images, before)
    assert varied.min() >= 0
    assert varied.max() <= 255
    assert torch.isfinite(varied.float()).all()


def test_the_generator_alone_decides():
    images = pictures()
    assert torch.equal(EVERYTHING(images, generator(1)), EVERYTHING(images, generator(1)))
    assert not torch.equal(EVERYTHING(images, generator(1)), EVERYTHING(images, generator(2)))


@pytest.mark.parametrize(
    "augment", [dataclasses.replace(ImageAugment(), **{name: getattr(EVERYTHING, name)}) for name in
                ("rotate_deg", "translate", "scale", "crop", "flip", "randaugment", "erase")], ids=str
)  # fmt: skip
def test_each_image_is_varied_in_its_own_way(augment):
    same = pictures(1).expand(16, -1, -1, -1)
    varied = augment(same, generator()).float()
    distinct = len({image.numpy().tobytes() for image in varied})
    assert distinct == 2 if augment.flip else distinct > 8


def only(monkeypatch, *columns):
    """Let the draws be given numbers in [-1, 1)."""
    values = torch.tensor([columns], dtype=torch.float32)
    monkeypatch.setattr(
        "stages.augment.image.uniform", lambda rows, wide, generator: values[:, :wide].expand(rows, wide)
    )


def test_a_quarter_turn_is_exact_also_where_sides_differ(monkeypatch):
    only(monkeypatch, 1.0, 0.0, 0.0, 0.0)
    image = pictures(1, 9, 9)
    turned = ImageAugment(rotate_deg=90.0)(image, generator())
    assert torch.allclose(turned, torch.rot90(image, -1, (1, 2)).float(), atol=0.01) or torch.allclose(
        turned, torch.rot90(image, 1, (1, 2)).float(), atol=0.01
    )
    wide = torch.zeros(1, 9, 21, 1, dtype=torch.uint8)
    wide[0, 4, 8:13] = 200  # a bar of five pixels in the middle stands upright afterwards, as long as before
    upright = ImageAugment(rotate_deg=90.0)(wide, generator())
    expected = torch.zeros(1, 9, 21, 1)
    expected[0, 2:7, 10] = 200
    assert torch.allclose(upright, expected, atol=0.01)


def test_a_shift_is_a_part_of_the_side(monkeypatch):
    only(monkeypatch, 0.0, 0.0, 1.0, -0.5)
    image = pictures(1, 20, 10, 1)
    moved = ImageAugment(translate=0.2)(image, generator())  # x by 0.2 * 10 = 2, y by -0.1 * 20 = -2
    assert torch.allclose(moved[:, 2:, :-2], image[:, :-2, 2:].float(), atol=0.01)
    assert not moved[:, :2].any()
    assert not moved[:, :, -2:].any()


def test_a_larger_scale_enlarges(monkeypatch):
    only(monkeypatch, 0.0, 1.0, 0.0, 0.0)
    dot = torch.zeros(1, 12, 12, 1, dtype=torch.uint8)
    dot[0, 5:7, 5:7] = 255
    doubled = ImageAugment(scale=1.0)(dot, generator())
    assert (doubled > 127).sum() == 16
    assert doubled.sum() == pytest.approx(4 * 4 * 255, rel=0.01)


def test_flip_mirrors_left_and_right(monkeypatch):
    only(monkeypatch, -1.0)
    assert torch.equal(ImageAugment(flip=True)(pictures(), generator()), pictures().flip(2))
    only(monkeypatch, 0.5)
    assert torch.equal(ImageAugment(flip=True)(pictures(), generator()), pictures())


def test_erase_blanks_one_square_of_the_stated_size(monkeypatch):
    only(monkeypatch, 0.0, 0.0)
    image = torch.full((1, 20, 10, 2), 7, dtype=torch.uint8)
    erased = ImageAugment(erase=0.4)(image, generator())
    expected = image.clone()
    expected[0, 6:14, 3:7] = 0
    assert torch.equal(erased, expected)
    assert erased.dtype == torch.uint8


def test_half_of_many_are_flipped():
    varied = ImageAugment(flip=True)(pictures(2000, 4, 4), generator())
    flipped = (varied != pictures(2000, 4, 4)).any(dim=(1, 2, 3)).float().mean()
    assert 0.45 < flipped < 0.55


def test_angles_fill_their_range():
    half = np.zeros((4000, 9, 9, 1), np.uint8)
    half[:, 4, 6] = 255  # to the right of the middle: turned by up to 30 degrees it stays on the right
    varied = ImageAugment(rotate_deg=30.0)(torch.from_numpy(half), generator())[..., 0]
    rows, columns = torch.meshgrid(torch.arange(9) - 4.0, torch.arange(9) - 4.0, indexing="ij")
    mass = varied.sum(dim=(1, 2))
    angles = torch.rad2deg(
        torch.atan2((varied * rows).sum(dim=(1, 2)) / mass, (varied * columns).sum(dim=(1, 2)) / mass)
    )
    assert angles.abs().max() < 33
    assert angles.max() > 25
    assert angles.min() < -25
    assert abs(angles.mean()) < 1


def test_a_crop_moves_whole_pixels_by_up_to_its_part_of_the_side():
    images = pictures(400, 10, 20)
    moved = ImageAugment(crop=0.1)(images, generator())
    assert moved.dtype == torch.uint8
    padded = torch.nn.functional.pad(images, (0, 0, 2, 2, 1, 1))
    places = [(y, x) for y in range(3) for x in range(5)]
    found = [
        next(place for place in places if torch.equal(padded[i, place[0] :, place[1] :][:10, :20], moved[i]))
        for i in range(len(images))
    ]
    assert set(found) == set(places)


@pytest.mark.parametrize(
    ("field", "value"), [("rotate_deg", -1.0), ("translate", 1.5), ("erase", float("nan")), ("randaugment", 17)]
)
def test_values_out_of_range_are_named(field, value):
    with pytest.raises(UsageError, match=f"task option '{field}' is .*expected 0 to"):
        ImageAugment(**{field: value})
