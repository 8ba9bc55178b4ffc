import base64
import gzip
import json
from typing import Any

import numpy as np
import pytest

pytest.importorskip("orjson", reason="needs the extra 'serve'")

from deploy import Predictor
from deploy.errors import InputError, TooLargeError
from deploy.server.protocol import json_text
from deploy.server.protocol.over_http import Bounds
from deploy.server.rest import payloads
from deploy.server.rest.payloads import Payload
from tests.deploy.conftest import plain

PICTURE = plain((10, 20, 250))
LIMIT = 10**6
BOUNDS = Bounds(LIMIT)


def read(body: Any, predictor: Predictor) -> payloads.Reading:
    return payloads.read(Payload(json.dumps(body).encode(), is_json=True), predictor, BOUNDS)


@pytest.mark.parametrize("piece", [10, json_text.PIECE], ids=["long lists", "short lists"])
@pytest.mark.parametrize("wrapped", [False, True])
def test_pixels_in_json(predictor: Predictor, piece: int, wrapped: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_text, "PIECE", piece)
    grey = np.repeat(PICTURE[:, :, :1], 3, axis=2)
    for sent, expected, is_batch in [
        (PICTURE, PICTURE[None], False),
        (PICTURE[:, :, 0], grey[None], False),
        (np.stack([PICTURE, grey]), np.stack([PICTURE, grey]), True),
    ]:
        body = {"image": sent.tolist()} if wrapped else sent.tolist()
        found = read(body, predictor)
        assert np.array_equal(found.request.arrays["image"], expected)
        assert found.is_batch == is_batch


def test_a_file_in_base64(predictor: Predictor, blue_png: bytes) -> None:
    text = base64.b64encode(blue_png).decode()
    for body in (text, {"image": text}, "data:image/png;base64," + text):
        found = read(body, predictor)
        assert np.array_equal(found.request.arrays["image"], plain((0, 0, 255))[None])


def test_a_compressed_picture(predictor: Predictor, blue_png: bytes) -> None:
    found = payloads.read(Payload(gzip.compress(blue_png), encoding="gzip"), predictor, BOUNDS)
    assert found.request.arrays["image"].shape == (1, 9, 7, 3)
    with pytest.raises(TooLargeError, match="decompressed"):
        payloads.read(Payload(gzip.compress(bytes(LIMIT + 1)), encoding="gzip"), predictor, BOUNDS)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (None, "got nothing, expected a list of numbers or a picture's file in base64"),
        (3, "got a number, expected a list"),
        ([], "got an empty list"),
        ("%%%", "not base64"),
        ("AAAA", "image of 3 bytes: not a picture"),
        ({"picture": 3}, "JSON of 'picture', expected an object with image"),
        ({}, "JSON of nothing, expected an object with image"),
        ([[1, 2], [3]], "items at depth 1"),
        ([[[1, 2, 3.5]]], "data holds float"),
        ([[[1, 2, 300]]], "values run from 1 to 300"),
        ([1, 2, 3], r"expected \(height, width\)"),
        ([[[[1, 2]]]], "got shape"),
        ([[[[[1]]]]], r"expected \(height, width\)"),
    ],
)
def test_what_is_no_picture(predictor: Predictor, body: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        read(body, predictor)
