import base64
import io
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from PIL import Image

from deploy.bundle import Signature, TensorSpec
from deploy.errors import InputError
from deploy.outputs import output_kind
from deploy.outputs.anomaly import Anomaly
from deploy.outputs.heat import chart, grey, heated

MAP = np.array([[0, 0.5, 1.0], [2.0, 9.0, 0.2]], np.float32)


def read(scores, inputs):
    axes = ("height", "width") if scores.ndim == 3 else ("length",)
    specs = (
        TensorSpec("score", "float32", ("batch",)),
        TensorSpec("is_anomaly", "int64", ("batch",)),
        TensorSpec("score_map", "float32", ("batch", *axes)),
    )
    kind = output_kind(Signature("anomaly", specs, ("normal", "other")))
    largest = scores.reshape(len(scores), -1).max(axis=1)
    outputs = {"score": largest, "is_anomaly": (largest > 1).astype(np.int64), "score_map": scores}
    return kind, kind.read(outputs, {"input": inputs})


def picture(scores=MAP, size=(4, 6)) -> Anomaly:
    return read(scores[None], np.zeros((1, *size, 3), np.uint8))[1][0]


def test_a_result_says_score_side_and_where() -> None:
    result = picture()
    assert (result.score, result.is_anomaly, result.size) == (9.0, True, (4, 6))
    assert np.array_equal(result.score_map, MAP)
    plain = json.loads(json.dumps(result.to_dict()))
    assert plain.pop("score_map").startswith("data:image/png;base64,")
    assert plain == {"score": 9.0, "is_anomaly": True, "threshold": 1.0, "width": 6, "height": 4}
    assert not picture(MAP / 10).is_anomaly
    assert result.line() == "anomaly  score 9.00, threshold 1"
    assert picture(MAP / 10).line() == "normal  score 0.90, threshold 1"


def test_results_hold_what_is_their_own() -> None:
    scores = np.zeros((2, 3, 4), np.float32)
    _, (one, _) = read(scores, np.zeros((2, 3, 4, 1), np.uint8))
    scores[:] = 5
    assert not one.score_map.any()
    with pytest.raises(ValueError, match="read-only"):
        one.score_map[0, 0] = 1


def test_the_file_is_the_map_in_per_cent_of_the_threshold() -> None:
    result = picture(size=(2, 3))
    kind, _ = read(MAP[None], np.zeros((1, 2, 3, 1), np.uint8))
    assert kind.media == "image/png"
    image = Image.open(io.BytesIO(result.to_file()))
    assert (image.format, image.mode) == ("PNG", "L")
    assert np.asarray(image).tolist() == [[0, 50, 100], [200, 255, 20]]
    data = result.to_dict()["score_map"].partition(",")[2]
    assert base64.b64decode(data) == result.to_file()
    assert Image.open(io.BytesIO(picture(size=(40, 60)).to_file())).size == (60, 40)


def test_a_drawing_colours_what_is_new_and_nothing_else() -> None:
    pixels = np.full((2, 3, 3), 100, np.uint8)
    drawn = np.asarray(picture(size=(2, 3)).draw(pixels))
    assert np.array_equal(drawn[0, :2], pixels[0, :2])  # up to 0.75 of the threshold
    assert drawn[0, 2, 1] > 100 > drawn[0, 2, 2]  # at the threshold between yellow and red
    assert drawn[1, 1, 0] > 150 > 80 > drawn[1, 1, 1]  # red
    assert picture(size=(40, 60)).draw().size == (60, 40)
    with pytest.raises(InputError, match="draw on the picture that was answered"):
        picture().draw(np.zeros((5, 5, 3), np.uint8))


def test_a_series_has_numbers_and_a_chart_and_a_table() -> None:
    scores = np.array([[0.5, 1.5, 0.0, 7.0]], np.float32)
    kind, (result,) = read(scores, np.zeros((1, 2, 9), np.float32))
    assert kind.media == "text/csv"
    assert result.to_dict() == {
        "score": 7.0, "is_anomaly": True, "threshold": 1.0, "length": 9, "score_map": [0.5, 1.5, 0.0, 7.0]
    }  # fmt: skip
    drawn = np.asarray(result.draw(np.zeros((2, 9))))
    assert drawn.shape[0] > 1
    red = (drawn[:, :, 0] > 180) & (drawn[:, :, 1] < 100)
    quarters = [part.any() for part in np.array_split(red, 4, axis=1)]
    assert quarters == [False, True, False, True]
    assert result.to_file() == b"time,score\n0,0.5\n2.25,1.5\n4.5,0.0\n6.75,7.0\n"


@given(arrays(np.float32, (1, 5), elements=st.floats(0, 2**20, width=32)))
def test_the_table_of_a_series_holds_its_scores(scores: np.ndarray) -> None:
    _, (result,) = read(scores, np.zeros((1, 1, 5), np.float32))
    table = np.loadtxt(io.BytesIO(result.to_file()), delimiter=",", skiprows=1)
    assert table[:, 0].tolist() == [0, 1, 2, 3, 4]
    assert np.array_equal(table[:, 1].astype(np.float32), scores[0])


@given(arrays(np.float32, array_shapes(min_dims=2, max_dims=2, max_side=5), elements=st.floats(width=32)))
def test_whatever_scores_are_they_can_be_shown(scores: np.ndarray) -> None:
    assert grey(scores).dtype == np.uint8
    assert chart(scores[0]).dtype == np.uint8


@given(st.floats(0, 50), st.floats(0, 50), st.integers(0, 255))
def test_more_is_drawn_no_less_coloured(low: float, high: float, light: int) -> None:
    low, high = sorted((low, high))
    pixels = np.full((1, 2, 3), light, np.uint8)
    drawn = heated(pixels, np.array([[low, high]], np.float32)).astype(int)
    blue = abs(drawn - light)[0, :, 2]
    assert blue[0] <= blue[1] + 1 or light < 70
