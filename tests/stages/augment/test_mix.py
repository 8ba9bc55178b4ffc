import pytest
import torch

from deploy.errors import UsageError
from stages.augment import Mix, fitting
from stages.augment.draw import beta
from stages.dataset import DataInfo

IMAGES = torch.zeros(64, 10, 12, 1, dtype=torch.uint8) + torch.arange(64, dtype=torch.uint8)[:, None, None, None]
SERIES = torch.zeros(64, 3, 50) + torch.arange(64.0)[:, None, None]
NUMBERS = torch.arange(64)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def info(*shape):
    return DataInfo("some", shape, ("a", "b"), "0" * 64, "none")


@pytest.mark.parametrize("raw", [IMAGES, SERIES], ids=["images", "series"])
@pytest.mark.parametrize("mix", [Mix(mixup=0.4), Mix(cutmix=1.0), Mix(mixup=0.4, cutmix=1.0)], ids=str)
def test_a_target_is_what_the_sample_is_made_of(raw, mix):
    """Sample i is all i and its class is i: the mean of a mixed one is the mean of its target."""
    mixed, shares = mix(raw, NUMBERS, 64, generator())
    assert mixed.shape == raw.shape
    assert torch.allclose(shares.sum(1), torch.ones(64), atol=1e-5)
    assert ((shares > 0).sum(1) <= 2).all()
    assert torch.allclose((shares * NUMBERS).sum(1), mixed.flatten(1).mean(1), atol=1e-3)
    assert (shares.max(1).values < 0.999).sum() > 20


def test_mixup_blends_and_cutmix_cuts():
    blended, _ = Mix(mixup=1.0)(IMAGES, NUMBERS, 64, generator())
    assert all(len(picture.unique()) == 1 for picture in blended)
    cut, shares = Mix(cutmix=1.0)(IMAGES, NUMBERS, 64, generator())
    for picture, share in zip(cut, shares, strict=True):
        assert picture.unique().tolist() == share.nonzero()[:, 0].tolist()


def test_both_meet_a_part_of_the_batch_each():
    both, shares = Mix(mixup=1.0, cutmix=1.0)(IMAGES, NUMBERS, 64, generator())
    mixed = (shares > 0).sum(1) == 2
    blended = torch.tensor([len(picture.unique()) == 1 for picture in both])[mixed]
    assert 0.2 < blended.float().mean() < 0.8


def test_beta_is_beta():
    drawn = beta(20_000, 0.3, generator())
    truth = torch.distributions.Beta(0.3, 0.3)
    assert drawn.mean().item() == pytest.approx(0.5, abs=0.01)
    assert drawn.var().item() == pytest.approx(truth.variance.item(), rel=0.03)
    assert ((drawn >= 0) & (drawn <= 1)).all()
    assert torch.isfinite(beta(20_000, 0.01, generator())).all()


def test_the_generator_alone_decides():
    first, second = (Mix(0.2, 1.0)(SERIES, NUMBERS, 64, generator(4)) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_only_what_can_be_mixed_is():
    Mix(mixup=0.2).require_fit(info("d", "h", "w", 1))
    with pytest.raises(UsageError, match=r"'mixup' mixes numbers, and data 'some' has samples \('length',\)"):
        Mix(mixup=0.2).require_fit(info("length"))
    with pytest.raises(UsageError, match="'cutmix' mixes pictures or series"):
        Mix(cutmix=0.2).require_fit(info("d", "h", "w", 1))
    with pytest.raises(UsageError, match="task option 'mixup' is -1, expected 0 to 100"):
        Mix(mixup=-1.0)


def test_views_are_those_of_the_kind_of_sample():
    assert fitting(info("h", "w", 3), {"flip": False, "noise": 0.0}) is None
    assert fitting(info("h", "w", 3), {"flip": True, "noise": 0.0}).flip
    assert fitting(info(2, "t"), {"noise": 0.1, "flip": False}).noise == 0.1
    with pytest.raises(UsageError) as caught:
        fitting(info(2, "t"), {"flip": True})
    assert str(caught.value) == (
        "task option 'flip' does not fit data 'some', whose samples are (2, 't'); those that do: noise, scale, "
        "magnitude, warp, crop, erase; set task.flip to 0"
    )
    with pytest.raises(UsageError, match="no option does"):
        fitting(info("length"), {"noise": 0.1})
