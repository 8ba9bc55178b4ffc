import dataclasses
import io
import json

import numpy as np
import pytest
from PIL import Image

from deploy.bundle import Signature
from deploy.errors import InputError
from deploy.outputs import output_kind
from deploy.outputs.boxes import Box, Boxes

MOST = 3
BOXES = [[10, 20, 50, 60], [0, 0, 200, 100], [0, 0, 0, 0]]


def arrays(rows: int = 1, count: int = 2, boxes: list[list[float]] = BOXES) -> dict[str, np.ndarray]:
    return {
        "boxes": np.tile(np.array(boxes, np.float32), (rows, 1, 1)),
        "scores": np.tile(np.array([0.75, 0.5, 0], np.float32), (rows, 1)),
        "class_index": np.tile(np.array([1, 0, 0]), (rows, 1)),
        "count": np.full(rows, count),
    }


def read(given: dict[str, np.ndarray], *, relative: bool = False, width: int = 200, height: int = 100) -> list[Boxes]:
    signature = Signature("boxes", (), ("cat", "dog"), {"relative": relative})
    inputs = {"image": np.zeros((len(given["count"]), height, width, 1), np.uint8)}
    return list(output_kind(signature).read(given, inputs))  # type: ignore[arg-type]


def test_each_picture_has_as_many_boxes_as_were_found_in_it() -> None:
    first, second = read({**arrays(2), "count": np.array([2, 0])})
    assert first.boxes == (Box("dog", 1, 0.75, 10, 20, 50, 60), Box("cat", 0, 0.5, 0, 0, 200, 100))
    assert second.boxes == ()
    assert (first.width, first.height) == (200, 100)


def test_parts_of_the_picture_become_px_of_the_picture_as_it_came() -> None:
    (result,) = read(arrays(boxes=[[0.25, 0.5, 0.5, 1], [0, 0, 1, 1], [0, 0, 0, 0]]), relative=True)
    assert result.boxes[0] == Box("dog", 1, 0.75, 50, 50, 100, 100)
    assert result.boxes[1] == Box("cat", 0, 0.5, 0, 0, 200, 100)


def test_boxes_above_a_score_are_a_result_too() -> None:
    (result,) = read(arrays())
    assert [box.label for box in result.above(0.5).boxes] == ["dog"]
    assert result.above(0.5).width == result.width
    assert result.above(0).boxes == result.boxes


def test_it_is_json_and_frozen() -> None:
    (result,) = read(arrays(count=1))
    box = {"label": "dog", "index": 1, "score": 0.75, "x1": 10.0, "y1": 20.0, "x2": 50.0, "y2": 60.0}
    assert json.loads(json.dumps(result.to_dict())) == {"width": 200, "height": 100, "boxes": [box]}
    with pytest.raises(dataclasses.FrozenInstanceError):
        result.boxes = ()  # type: ignore[misc]


def test_results_do_not_share_memory_with_the_session() -> None:
    given = arrays()
    (result,) = read(given)
    for array in given.values():
        array[:] = 0
    assert result.boxes[0] == Box("dog", 1, 0.75, 10, 20, 50, 60)


def test_boxes_are_drawn_where_they_are() -> None:
    (result,) = read(arrays(count=1))
    ground = np.array(result.draw())
    plain = np.array(read(arrays(count=0))[0].draw())
    changed = (ground != plain).any(axis=2)
    assert ground.shape == (100, 200, 3)
    assert changed[20:60, 10].all()
    assert changed[59, 10:50].all()
    assert not changed[22:58, 12:48].any()
    assert not changed[60:].any()
    assert not changed[:, 110:].any()


def test_they_are_drawn_over_the_picture_that_was_answered() -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (200, 100), (1, 2, 3)).save(buffer, "PNG")
    (result,) = read(arrays())
    assert result.draw(buffer.getvalue()).getpixel((150, 50)) == (1, 2, 3)
    with pytest.raises(InputError, match="is 20 x 10 px, the answer is for one of 200 x 100"):
        result.draw(np.zeros((10, 20, 3), np.uint8))


@pytest.mark.parametrize(("width", "height"), [(1, 1), (3, 200), (200, 3)])
def test_tiny_pictures_can_be_drawn_on(width: int, height: int) -> None:
    (result,) = read(arrays(boxes=[[0, 0, 0.25, 0.25]] * 3), width=width, height=height)
    assert result.draw().size == (width, height)
