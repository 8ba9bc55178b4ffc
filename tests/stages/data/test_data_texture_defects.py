"""Crops of textures, and defects drawn into them."""

import numpy as np
import pytest

from stages import discover
from stages.data.read.blemish import KINDS, blemished
from stages.data.texture_defects import _PARTS, _PERIOD
from stages.recipe import use
from tests.stages.data.kit import refused

SIDE = 32


def read(root, **options):
    return discover.call("data", use("texture_defects", **{"side": SIDE, "train": 40, "test": 30, **options}), root)


def test_training_and_validation_are_normal_and_half_of_the_test_is_not(generated_data):
    data = read(generated_data)
    info = data.info
    assert info.labels == ("normal", *KINDS)
    assert info.sizes == {"train": 40, "validation": 200, "test": 60}
    assert data.train.inputs.shape == (40, SIDE, SIDE, 1)
    assert data.train.inputs.dtype == data.train.targets.dtype == np.uint8
    assert not data.train.targets.any()
    assert not data.validation.targets.any()
    kinds = data.test.targets.reshape(60, -1).max(axis=1)
    assert not kinds[:30].any()
    assert np.bincount(kinds[30:]).tolist() == [0, *[6] * 5]
    assert info.digest == read(generated_data).info.digest
    assert len({read(generated_data, seed=1).info.digest, read(generated_data, texture="grass").info.digest}) == 2


def test_no_two_parts_share_a_pixel():
    parts = [part for rest in range(_PERIOD) for part, rests in _PARTS.items() if rest in rests]
    assert sorted(parts) == ["test", "train", "train", "validation"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_defect_can_be_seen_and_is_where_it_says(kind):
    generator = np.random.default_rng(0)
    picture = generator.integers(60, 200, (48, 48)).astype(np.uint8)
    foreign = np.tile(np.arange(48, dtype=np.uint8) * 4, (48, 1))
    for _ in range(10):
        changed, where = blemished(kind, picture, foreign, generator)
        apart = np.abs(changed.astype(int) - picture)
        assert changed.shape == where.shape == picture.shape
        assert changed.dtype == np.uint8
        assert apart[where].mean() >= 8
        assert 0 < where.mean() < 0.5
        grown = np.zeros_like(where)
        for down, right in np.argwhere(where):
            grown[max(0, down - 4) : down + 5, max(0, right - 4) : right + 5] = True
        assert not apart[~grown].any()


def test_wrong_sizes_and_missing_photographs_are_refused(generated_data, tmp_path):
    refused(lambda: read(generated_data, side=65), "side=65", "16 to 64 px")
    refused(lambda: read(generated_data, side=8), "side=8")
    refused(lambda: read(generated_data, test=1), "test=1")
    refused(lambda: read(tmp_path), "brick.png: no such file", "--data-root")
    (tmp_path / "medical2d").mkdir()
    (tmp_path / "medical2d" / "brick.png").write_bytes(b"no picture")
    refused(lambda: read(tmp_path), "brick.png", "fetch it again")
