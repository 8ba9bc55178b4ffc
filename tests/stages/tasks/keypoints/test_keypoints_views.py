import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from deploy.errors import UsageError
from stages.data.read.face_form import NAMES
from stages.tasks.keypoints.views import Views, mirrored_order


def dots(points: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """Pictures (N, H, W, K) with a soft dot around each point, in a channel of its own."""
    y, x = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    away = (x[None, ..., None] - points[:, None, None, :, 0] * width).square()
    away = away + (y[None, ..., None] - points[:, None, None, :, 1] * height).square()
    return 255 * (-away / 8).exp()


def seen(images: torch.Tensor) -> torch.Tensor:
    """Where the dots are: the middle of each channel's light, in parts of width and height."""
    _, height, width, _ = images.shape
    y, x = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    light = images / images.sum(dim=(1, 2), keepdim=True)
    return torch.stack([(light * x[..., None]).sum((1, 2)) / width, (light * y[..., None]).sum((1, 2)) / height], dim=2)


@given(
    st.sampled_from([(60, 60), (40, 80), (80, 40)]),
    st.floats(0, 30),
    st.floats(0, 0.1),
    st.floats(0, 0.3),
    st.booleans(),
    st.integers(0, 9),
)
def test_points_go_where_the_picture_goes(
    sides: tuple[int, int], turn: float, shift: float, scale: float, flip: bool, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    points = torch.rand(6, 2, 2, generator=generator) * 0.3 + 0.35
    views = Views(turn, shift, scale, mirror=(1, 0) if flip else ())
    images, moved = views(dots(points, *sides), points, generator)
    places = seen(images)
    swapped = places[:, [1, 0]]  # a mirrored picture's channels are where they were, its names are not
    fits = ((places - moved).abs().amax((1, 2)) < 0.01) | (flip & ((swapped - moved).abs().amax((1, 2)) < 0.01))
    assert fits.all()


def test_without_a_change_nothing_changes() -> None:
    raw, points = torch.randint(0, 255, (3, 9, 9, 1), dtype=torch.uint8), torch.rand(3, 2, 2)
    same, there = Views()(raw, points, torch.Generator())
    assert same is raw
    assert torch.equal(there, points)


def test_each_picture_is_mirrored_or_not_and_names_change_places() -> None:
    raw, points = torch.zeros(64, 4, 4, 1), torch.tensor([[0.1, 0.5], [0.7, 0.6]]).expand(64, 2, 2)
    raw[:, :, 0] = 1
    images, moved = Views(mirror=(1, 0))(raw, points, torch.Generator().manual_seed(0))
    mirrored = images[:, 0, 3, 0] == 1
    assert 16 < mirrored.sum() < 48
    torch.testing.assert_close(
        moved[mirrored], torch.tensor([[0.3, 0.6], [0.9, 0.5]]).expand(int(mirrored.sum()), 2, 2)
    )
    assert torch.equal(moved[~mirrored], points[~mirrored])


def test_what_leaves_the_picture_is_not_known_and_what_is_not_known_stays_so() -> None:
    points = torch.tensor([[[0.02, 0.5], [0.5, 0.5], [math.nan, math.nan]]]).repeat(32, 1, 1)
    _, moved = Views(translate=0.2, mirror=(0, 1, 2))(
        torch.zeros(32, 8, 8, 1), points, torch.Generator().manual_seed(0)
    )
    out = moved[:, 0].isnan()
    assert torch.equal(out[:, 0], out[:, 1])
    assert 4 < out[:, 0].sum() < 28
    assert not moved[:, 1].isnan().any()
    assert moved[:, 2].isnan().all()


def test_a_square_is_left_out_and_points_stay() -> None:
    raw, points = torch.full((4, 20, 20, 1), 9, dtype=torch.uint8), torch.rand(4, 2, 2)
    images, there = Views(erase=0.3)(raw, points, torch.Generator().manual_seed(0))
    assert (images == 0).any()
    assert torch.equal(there, points)


def test_names_tell_which_points_change_places() -> None:
    order = mirrored_order(NAMES)
    assert [NAMES[place] for place in order[:2]] == ["right_eye_center", "left_eye_center"]
    assert NAMES[order[NAMES.index("nose_tip")]] == "nose_tip"
    assert [order[place] for place in order] == list(range(len(NAMES)))
    with pytest.raises(UsageError, match="'left_ear' has no 'right_ear' to change places with"):
        mirrored_order(("left_ear", "nose"))
    with pytest.raises(UsageError, match="no point is named left or right"):
        mirrored_order(("nose", "chin"))


def test_a_value_out_of_range_is_named() -> None:
    with pytest.raises(UsageError, match="'scale' is 2, expected 0 to"):
        Views(scale=2)
