from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stages import discover
from stages.data.read.face_drawing import face
from stages.data.read.face_form import NAMES, Form, View
from stages.dataset import Dataset
from stages.recipe import use
from tests.stages.data.kit import refused

SMALL = {"side": 48, "train": 60, "validation": 10, "test": 10}


def load(**options: Any) -> Dataset:
    data: Dataset = discover.call("data", use("drawn_faces", **{**SMALL, **options}), Path("nowhere"))
    return data


@pytest.fixture(scope="module")
def data() -> Dataset:
    return load(without=0.2)


def test_three_splits_of_pictures_and_points(data: Dataset) -> None:
    assert data.info.labels == NAMES
    assert data.info.sample_shape == (48, 48, 1)
    assert data.info.sizes == {"train": 60, "validation": 10, "test": 10}
    assert data.info.counts == ()
    assert data.info.licence
    assert data.train.inputs.shape == (60, 48, 48, 1)  # type: ignore[union-attr]
    assert data.train.inputs.dtype == np.uint8  # type: ignore[union-attr]
    assert data.train.targets.shape == (60, 15, 2)
    assert data.train.targets.dtype == np.float32
    known = data.train.targets[~np.isnan(data.train.targets)]
    assert known.min() >= 0
    assert known.max() < 1


def test_some_pictures_show_no_face_and_no_two_are_alike(data: Dataset) -> None:
    blank = np.isnan(data.train.targets).all(axis=(1, 2))
    assert 4 <= blank.sum() <= 20
    whole = np.concatenate([split.inputs for split in (data.train, data.validation, data.test)])  # type: ignore[misc]
    assert len(np.unique(whole.reshape(80, -1), axis=0)) == 80
    assert (whole.reshape(80, -1).std(axis=1) > 1).all()


def test_a_seed_is_a_set_whatever_the_other_splits_sizes_are(data: Dataset) -> None:
    again, shorter, other = load(without=0.2), load(without=0.2, train=5), load(without=0.2, seed=1)
    assert data.info.digest == again.info.digest != other.info.digest
    np.testing.assert_array_equal(shorter.test.inputs, data.test.inputs)
    np.testing.assert_array_equal(shorter.train.inputs, data.train.inputs[:5])


def test_in_colour() -> None:
    coloured = load(channels=3, train=2, validation=0, test=1)
    assert coloured.train.inputs.shape == (2, 48, 48, 3)  # type: ignore[union-attr]
    assert (np.ptp(coloured.train.inputs, axis=3) > 0).any()


def test_eyes_are_dark_on_light_where_they_are_said_to_be() -> None:
    """The drawing and the points agree: open eyes without glasses have a dark middle beside their white."""
    darker = []
    for seed in range(60):
        pixels, points = face(96, 1, 1.0, np.random.default_rng(seed))
        for eye, inner in ((0, 2), (1, 4)):
            if np.isnan(points[[eye, inner]]).any():
                continue
            middle, brow = (points[eye] * 96).astype(int), (points[[eye, inner]].mean(axis=0) * 96 - (0, 7)).astype(int)
            darker.append(int(pixels[middle[1], middle[0], 0]) < int(pixels[max(brow[1], 0), brow[0], 0]))
    assert np.mean(darker) > 0.75


def test_points_stand_as_in_a_face() -> None:
    """Seen from the front: the person's left on the right, brows above eyes above nose above mouth."""
    form = Form.drawn(np.random.default_rng(0))
    front = View(np.eye(3), np.eye(2), 30.0, np.array([48.0, 48.0]))
    at = dict(zip(NAMES, front.project(form.points()), strict=True))
    assert at["left_eye_center"][0] > at["right_eye_center"][0]
    assert at["left_eye_outer_corner"][0] > at["left_eye_center"][0] > at["left_eye_inner_corner"][0] > 48
    assert at["right_eye_outer_corner"][0] < at["right_eye_center"][0] < at["right_eye_inner_corner"][0] < 48
    order = ("left_eyebrow_inner_end", "left_eye_center", "nose_tip", "mouth_center_top_lip", "mouth_center_bottom_lip")
    heights = [at[name][1] for name in order]
    assert heights == sorted(heights)
    for name in NAMES:
        if name.startswith("left"):
            other = at[name.replace("left", "right")]
            assert (at[name] + other)[0] == pytest.approx(96)
            assert at[name][1] == pytest.approx(other[1])


def test_a_head_that_is_turned_shows_its_other_side() -> None:
    """Turned to its left (yaw above 0) the nose goes to the picture's right, the far eye comes nearer to it."""
    form, chance = Form.drawn(np.random.default_rng(0)), np.random.default_rng(5)
    for _ in range(50):
        view = View.drawn(chance, 96, 1.0)
        assert view.rotation @ view.rotation.T == pytest.approx(np.eye(3), abs=1e-12)
        assert np.linalg.det(view.rotation) == pytest.approx(1)
        upright = view.roll.T @ (view.project(form.points()) - view.centre).T
        nose, eyes = upright[0, NAMES.index("nose_tip")], upright[0, :2].mean()
        towards = view.rotation.T @ (0, 0, 1)  # where the camera is, as the head sees it
        assert np.sign(nose - eyes) == -np.sign(towards[0]) or abs(towards[0]) < 0.1


def test_values_out_of_range_are_refused() -> None:
    refused(lambda: load(side=8), "side=8 and channels=1, expected 24 px or more")
    refused(lambda: load(channels=2), "channels=2")
    refused(lambda: load(train=0), "train=0", "expected 1 or more pictures")
    refused(lambda: load(without=1.0), "without=1")
    refused(lambda: load(pose=2.0), "pose=2, expected 0")
