import numpy as np
import pytest
import torch

from deploy.errors import UsageError
from stages.dataset import DataInfo
from stages.tasks.restore.quality import psnr, ssim
from stages.tasks.restore.task import restore

INFO = DataInfo("pictures", ("height", "width", 1), (), "0" * 64, "generated")


def test_psnr_is_the_mean_square_on_a_logarithmic_scale() -> None:
    clean = np.zeros((3, 4, 5, 1), np.uint8)
    other = clean.copy()
    other[0] += 255
    other[1] += 16
    assert psnr(other, clean)[:2] == pytest.approx([0, 10 * np.log10(255**2 / 256)])
    assert np.isfinite(psnr(other, clean)[2])
    assert psnr(other, clean)[2] > 60


def test_ssim_is_one_for_equal_pictures_and_less_for_noisier_ones() -> None:
    generator = np.random.default_rng(0)
    clean = np.tile(np.arange(0, 240, 10, dtype=np.uint8)[None, :, None, None], (2, 1, 24, 1))
    noisy, worse = (
        np.clip(clean + generator.normal(0, deviation, clean.shape), 0, 255).astype(np.uint8) for deviation in (5, 40)
    )
    assert ssim(clean, clean) == pytest.approx(1)
    assert 1 > ssim(noisy, clean) > ssim(worse, clean) > 0
    assert ssim(clean[:, :5], clean[:, :5]) == 0  # smaller than a window


def test_samples_are_mirrored_as_their_targets() -> None:
    raw = torch.arange(4 * 3 * 5).reshape(4, 3, 5, 1).to(torch.uint8)
    targets = torch.stack([raw, raw + 1], dim=1)
    views, turned = restore(INFO, flip=True).augment(raw, targets, torch.Generator().manual_seed(0))
    assert not torch.equal(views, raw)
    assert torch.equal(turned[:, 0], views)
    assert torch.equal(turned[:, 1], views + 1)
    same = restore(INFO).augment(raw, targets, torch.Generator())
    assert same[0] is raw


@pytest.mark.parametrize("kind", ["mse", "l1"])
def test_loss_is_0_for_the_clean_picture(kind: str) -> None:
    targets = torch.randint(0, 256, (2, 2, 3, 4, 1), dtype=torch.uint8)
    clean = targets[:, 0].permute(0, 3, 1, 2).float() / 255
    task = restore(INFO, loss=kind)
    assert task.loss(clean, targets) == 0
    assert task.loss(clean + 0.1, targets) == pytest.approx({"mse": 0.01, "l1": 0.1}[kind], rel=1e-4)


def test_a_decision_is_the_whole_number_of_each_value() -> None:
    decisions, margins = restore(INFO).decide({"restored": np.array([[[[0.0], [1.4], [254.6]]]], np.float32)})
    assert decisions.ravel().tolist() == [0, 1, 255]
    assert margins.ravel() == pytest.approx([0.5, 0.1, 0.1], abs=1e-4)


def test_answers_stay_in_the_range_of_pixels() -> None:
    post = restore(INFO).postprocess()
    (found,) = post(torch.tensor([[[[-3.0, 0.5, 7.0]]]]))
    assert found.shape == (1, 1, 3, 1)
    assert found.ravel().tolist() == [0, 127.5, 255]


def test_what_is_no_picture_is_refused() -> None:
    info = DataInfo("series", (1, "length"), (), "0" * 64, "generated")
    with pytest.raises(UsageError, match=r"samples \(1, 'length'\), expected pictures"):
        restore(info)
