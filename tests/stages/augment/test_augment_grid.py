"""What is done to a picture is done to its mask: pictures here are their own masks."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from deploy.errors import UsageError
from stages.augment.grid import GridAugment


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def numbered(rows: int, *sides: int) -> torch.Tensor:
    """Samples in which every place has a number of its own."""
    count = torch.tensor(sides).prod().item()
    return torch.arange(count).view(1, *sides).repeat(rows, *[1] * len(sides)).to(torch.int32)


@settings(deadline=None, max_examples=25)
@given(
    sides=st.lists(st.integers(1, 9), min_size=2, max_size=3),
    shift=st.floats(0, 1),
    flip=st.booleans(),
    seed=st.integers(0, 99),
)
def test_samples_and_masks_move_alike(sides: list[int], shift: float, flip: bool, seed: int) -> None:
    masks = numbered(4, *sides)
    raw = torch.stack([masks, -masks], dim=-1)
    views = GridAugment(flip=flip, turn=len(set(sides)) < len(sides), shift=shift)
    moved, moved_masks = views(raw, masks, generator(seed))
    assert moved.shape == raw.shape
    assert torch.equal(moved[..., 0], moved_masks)
    assert torch.equal(moved[..., 1], -moved_masks)
    if not shift:  # nothing is lost
        assert torch.equal(moved_masks.flatten(1).sort().values, masks.flatten(1).sort().values)


def test_flips_and_turns_are_the_eight_ways_to_lay_a_square() -> None:
    masks = numbered(400, 3, 3)
    _, moved = GridAugment(flip=True, turn=True)(masks[..., None], masks, generator())
    square = masks[0]
    ways = [torch.rot90(way, times) for way, times in itertools.product((square, square.flip(0)), range(4))]
    seen = {tuple(one.flatten().tolist()) for one in moved}
    assert seen == {tuple(way.flatten().tolist()) for way in ways}


def test_each_sample_is_varied_in_its_own_way_and_the_seed_decides() -> None:
    masks = numbered(16, 8, 8)
    views = GridAugment(flip=True, shift=0.3)
    one, again, other = (views(masks[..., None], masks, generator(seed))[1] for seed in (0, 0, 1))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)
    assert len({tuple(row.flatten().tolist()) for row in one}) > 4


def test_a_shift_brings_in_what_a_mirror_would() -> None:
    masks = numbered(200, 1, 5)
    _, moved = GridAugment(shift=0.4)(masks[..., None], masks, generator())
    seen = {tuple(row.flatten().tolist()) for row in moved}
    assert seen == {(2, 1, 0, 1, 2), (1, 0, 1, 2, 3), (0, 1, 2, 3, 4), (1, 2, 3, 4, 3), (2, 3, 4, 3, 2)}


def test_light_and_contrast_change_values_and_no_mask() -> None:
    masks = numbered(64, 6, 6).to(torch.uint8)
    raw = masks[..., None] * 3
    moved, moved_masks = GridAugment(brightness=0.5, contrast=0.5)(raw, masks, generator())
    assert torch.equal(moved_masks, masks)
    assert moved.is_floating_point()
    assert 0 <= moved.min() <= moved.max() <= 255
    ratio = moved.flatten(1).mean(1) / raw.float().flatten(1).mean(1)
    assert ratio.max() > 1.1
    assert ratio.min() < 0.9
    volume, _ = GridAugment(brightness=0.5)(raw[..., 0].float() - 100, masks, generator())
    assert volume.min() < 0  # numbers of no stated range are not cut off


def test_what_does_not_fit_is_said() -> None:
    with pytest.raises(UsageError, match="two sides of equal length"):
        GridAugment(turn=True)(torch.zeros(1, 3, 4, 1), torch.zeros(1, 3, 4), generator())
    with pytest.raises(UsageError, match="'shift' is 2"):
        GridAugment(shift=2)
