import dataclasses
import io
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from deploy.bundle import Signature
from deploy.errors import InputError, UsageError
from deploy.outputs import output_kind
from deploy.outputs.points import Points

EYES = Signature("points", (), ("left_eye", "right_eye"))


def read(points: list[list[list[float]]], width: int = 200, height: int = 100) -> list[Points]:
    rows = len(points)
    arrays = {
        "points": np.array(points, np.float32),
        "confidence": np.tile(np.array([0.75, 0.25], np.float32), (rows, 1)),
        "found": np.tile([True, False], (rows, 1)),
    }
    inputs = {"image": np.zeros((rows, height, width, 1), np.uint8)}
    return list(output_kind(EYES).read(arrays, inputs))  # type: ignore[arg-type]


def test_points_are_in_px_of_the_picture_as_it_came() -> None:
    first, second = read([[[0.5, 0.5], [0.25, 0]], [[1, 1], [0, 0.75]]])
    assert [(point.name, point.x, point.y) for point in first.points] == [("left_eye", 100, 50), ("right_eye", 50, 0)]
    assert (second["left_eye"].x, second["left_eye"].y) == (200, 100)
    assert (second.width, second.height) == (200, 100)
    assert [point.name for point in first.found] == ["left_eye"]


def test_an_unknown_name_is_answered_with_those_there_are() -> None:
    (result,) = read([[[0.5, 0.5], [0.25, 0]]])
    with pytest.raises(UsageError, match="no point 'nose'; there are left_eye, right_eye"):
        result["nose"]


def test_it_is_json_and_frozen() -> None:
    (result,) = read([[[0.5, 0.5], [0.25, 0]]])
    left = {"name": "left_eye", "x": 100.0, "y": 50.0, "confidence": 0.75, "found": True}
    right = {"name": "right_eye", "x": 50.0, "y": 0.0, "confidence": 0.25, "found": False}
    assert json.loads(json.dumps(result.to_dict())) == {"width": 200, "height": 100, "points": [left, right]}
    with pytest.raises(dataclasses.FrozenInstanceError):
        result.width = 1  # type: ignore[misc]


def test_results_do_not_share_memory_with_the_session() -> None:
    points = np.full((1, 2, 2), 0.5, np.float32)
    confidence, found = np.ones((1, 2), np.float32), np.ones((1, 2), bool)
    arrays = {"points": points, "confidence": confidence, "found": found}
    (result,) = output_kind(EYES).read(arrays, {"image": np.zeros((1, 10, 10, 1), np.uint8)})
    points[:], confidence[:], found[:] = 0, 0, False
    assert result.points[0] == dataclasses.replace(result.points[0], x=5, y=5, confidence=1, found=True)  # type: ignore[attr-defined]


def test_a_dot_stands_where_the_point_is() -> None:
    (result,) = read([[[0.5, 0.5], [0.25, 0.5]]])
    black = np.zeros((100, 200, 3), np.uint8)
    drawn = np.asarray(result.draw(black))
    assert drawn.shape == black.shape
    assert not black.any()
    rows, columns = np.nonzero(drawn[:, 90:110].any(axis=2))
    assert rows.mean() + 0.5 == pytest.approx(50, abs=0.6)
    assert columns.mean() + 90.5 == pytest.approx(100, abs=0.6)
    assert drawn[50, 100].any()
    assert not drawn[50, 50].any()  # not found: a ring


def test_it_is_drawn_over_a_file_and_on_a_plain_ground() -> None:
    (result,) = read([[[0.5, 0.5], [0.25, 0]]])
    buffer = io.BytesIO()
    Image.new("L", (200, 100), 255).save(buffer, "PNG")
    assert result.draw(buffer.getvalue()).size == (200, 100)
    assert result.draw().size == (200, 100)
    with pytest.raises(InputError, match="20 x 10 px, the answer is for one of 200 x 100"):
        result.draw(Image.new("L", (20, 10)))


@given(st.integers(1, 300), st.integers(1, 300), st.lists(st.floats(0, 1, width=32), min_size=4, max_size=4))
def test_any_answer_on_any_picture_can_be_drawn_and_lies_in_it(width: int, height: int, places: list[float]) -> None:
    (result,) = read([[places[:2], places[2:]]], width, height)
    assert all(0 <= point.x <= width and 0 <= point.y <= height for point in result.points)
    assert result.draw().size == (width, height)
