import numpy as np
import pytest

from stages.data.digit_canvases import digit_canvases
from stages.data.read.boxes import NOTHING
from stages.errors import DataError


def read(root, **options):
    return digit_canvases(root, **{"side": 64, "train": 30, "validation": 6, "test": 8, "most_px": 24, **options})


@pytest.fixture
def root(generated_data):
    return generated_data


def test_canvases_have_boxes_inside_of_them_and_some_are_empty(root):
    data = read(root, train=80, empty=0.3)
    assert data.info.sizes == {"train": 80, "validation": 6, "test": 8}
    assert data.info.labels == tuple("0123456789")
    assert data.train.inputs.shape == (80, 64, 64, 1)
    assert data.train.inputs.dtype == np.uint8
    assert data.train.targets.shape == (80, 1 + 8, 5)
    assert (data.train.targets[:, 0] == (0, 0, 64, 64, NOTHING)).all()
    things = data.train.targets[:, 1:]
    there = things[..., 4] != NOTHING
    counts = there.sum(axis=1)
    assert 0.1 < (counts == 0).mean() < 0.5
    assert counts.max() > 4
    boxes = things[there]
    assert (boxes[:, :4] >= 0).all()
    assert (boxes[:, :4] <= 64).all()
    sides = boxes[:, 2:4] - boxes[:, :2]
    assert sides.min() >= 2
    assert set(sides.max(axis=1)) <= set(range(16, 25))
    assert data.info.counts == tuple(np.bincount(boxes[:, 4].astype(int), minlength=10))


def test_digits_can_be_seen_in_their_boxes(root):
    data = read(root, clutter=0)
    for picture, things in zip(data.train.inputs[..., 0], data.train.targets[:, 1:], strict=True):
        for x1, y1, x2, y2, label in things.astype(int):
            if label != NOTHING:
                inside = picture[y1:y2, x1:x2].astype(int)
                assert inside.max() - inside.min() > 25


def test_no_digit_covers_another_by_much(root):
    for things in read(root, side=40, most_px=20).train.targets[:, 1:]:
        boxes = things[things[:, 4] != NOTHING]
        for number, one in enumerate(boxes):
            for other in boxes[:number]:
                sides = np.minimum(one[2:4], other[2:4]) - np.maximum(one[:2], other[:2])
                areas = [(box[2:4] - box[:2]).prod() for box in (one, other)]
                assert sides.clip(0).prod() <= 0.1 * min(areas) + 1e-6


def test_the_same_seed_makes_the_same_canvases_whatever_the_other_sizes(root):
    one, again, longer, other = read(root), read(root), read(root, train=40), read(root, seed=1)
    assert one.info.digest == again.info.digest != other.info.digest
    assert np.array_equal(one.train.inputs, longer.train.inputs[:30])
    assert np.array_equal(one.test.inputs, longer.test.inputs)


def test_all_canvases_may_be_empty(root):
    data = read(root, empty=1.0)
    assert (data.train.targets[:, 1:, 4] == NOTHING).all()
    assert data.info.counts == (0,) * 10


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"least_px": 30}, "digits of 30 to 24 px on canvases of 64 px"),
        ({"most_px": 65}, "no more than the canvas has"),
        ({"empty": 1.5}, "empty=1.5"),
        ({"most": 0}, "most=0"),
        ({"test": 0}, "30, 6 and 0 canvases"),
    ],
)
def test_options_that_cannot_be_are_refused_in_words(root, options, words):
    with pytest.raises(DataError, match=words):
        read(root, **options)
