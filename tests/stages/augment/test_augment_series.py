import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from deploy.errors import UsageError
from stages.augment import SeriesAugment
from stages.augment.series import _read_at

EVERYTHING = SeriesAugment(noise=0.1, scale=0.2, magnitude=0.2, warp=0.4, crop=0.3, erase=0.1)
EACH = [{"noise": 0.1}, {"scale": 0.2}, {"magnitude": 0.2}, {"warp": 0.4}, {"crop": 0.3}, {"erase": 0.2}]


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def series(count=8, channels=2, length=60):
    return torch.randn(count, channels, length, generator=generator(9)).cumsum(2)


@pytest.mark.parametrize("change", EACH, ids=str)
def test_each_option_varies_each_series_in_its_own_way(change):
    same = series(1).expand(16, -1, -1)
    before = same.clone()
    varied = SeriesAugment(**change)(same, generator())
    assert torch.equal(same, before)
    assert varied.shape == same.shape
    assert torch.isfinite(varied).all()
    assert len({one.numpy().tobytes() for one in varied}) > 12


def test_the_default_is_off_and_the_generator_alone_decides():
    assert torch.equal(SeriesAugment()(series(), generator()), series())
    assert torch.equal(EVERYTHING(series(), generator(1)), EVERYTHING(series(), generator(1)))
    assert not torch.equal(EVERYTHING(series(), generator(1)), EVERYTHING(series(), generator(2)))


@pytest.mark.parametrize("length", [1, 2, 3])
def test_short_series_stay_finite(length):
    assert torch.isfinite(EVERYTHING(series(length=length), generator())).all()


def test_reading_a_line_at_places_gives_the_places():
    line = torch.arange(11.0).expand(3, 2, 11) / 10
    times = torch.rand(3, 11, generator=generator())
    assert torch.allclose(_read_at(line, times), times[:, None].expand(3, 2, 11), atol=1e-6)


@pytest.mark.parametrize("change", [{"warp": 0.9}, {"crop": 0.5}, {"warp": 0.5, "crop": 0.5}], ids=str)
def test_time_runs_forward_within_the_series(change):
    times = SeriesAugment(**change)._times(200, 50, generator())
    assert (times.diff(dim=1) > 0).all()
    assert times.min() >= 0
    assert times.max() <= 1 + 1e-6
    kept = times[:, -1] - times[:, 0]
    least = 1 - change.get("crop", 0)
    assert kept.min() >= least - 1e-5
    assert kept.min() < least + 0.05


@given(
    offset=st.floats(-1e4, 1e4),
    magnitude=st.floats(0.01, 1.0),
    length=st.integers(1, 80),
    seed=st.integers(0, 2**31),
)
def test_magnitude_varies_the_distances_from_the_mean_alone(offset, magnitude, length, seed):
    """What is added to a whole channel comes out as it went in, and a series on its mean stays there."""
    whole = series(length=length).double()
    change = SeriesAugment(magnitude=magnitude)
    moved = change(whole + offset, generator(seed)) - offset
    varied = change(whole, generator(seed))
    assert torch.allclose(moved, varied, atol=1e-8)
    distances = [one - whole.mean(dim=2, keepdim=True) for one in (varied, whole)]
    assert ((distances[0] - distances[1]).abs() <= magnitude * distances[1].abs() + 1e-9).all()
    still = torch.full((4, 2, length), offset, dtype=torch.float64)
    assert torch.allclose(change(still, generator(seed)), still, atol=1e-9)


def test_noise_is_a_part_of_each_channel_s_own_deviation():
    wide = torch.stack([series(500, 1), 100 * series(500, 1)], 1)[:, :, 0]
    added = SeriesAugment(noise=0.1)(wide, generator()) - wide
    part = added.std(dim=(0, 2)) / wide.std(dim=2, correction=0).square().mean(0).sqrt()
    assert torch.allclose(part, torch.tensor([0.1, 0.1]), rtol=0.05)


def test_values_out_of_range_are_named():
    with pytest.raises(UsageError, match=r"task option 'warp' is 1, expected 0 to 0\.9; set task\.warp"):
        SeriesAugment(warp=1.0)
