"""The REST shell through Starlette's test client; real sockets are in test_serve.py."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("starlette", reason="needs the extra 'serve'")
pytest.importorskip("orjson", reason="needs the extra 'serve'")
pytest.importorskip("httpx2", reason="needs httpx2")
pytest.importorskip("python_multipart", reason="needs the extra 'serve'")

from starlette.testclient import TestClient

from deploy import Predictor
from deploy.errors import NotReadyError
from deploy.server.dataplane import DataPlane
from deploy.server.rest.app import create_app
from tests.deploy.conftest import plain

MAX_BODY = 20_000
TENSOR = {"name": "image", "datatype": "UINT8", "shape": [1, 9, 7, 3], "data": plain((9, 9, 250)).ravel().tolist()}


@pytest.fixture(scope="module")
def dataplane(colours: Path) -> DataPlane:
    made = DataPlane(workers=1)
    made.add(Predictor.load(colours, threads=1))
    return made


@pytest.fixture(scope="module")
def client(dataplane: DataPlane) -> Iterator[TestClient]:
    app = create_app(dataplane, max_body=MAX_BODY)
    with TestClient(app, raise_server_exceptions=False) as made:
        yield made


def test_health_and_metadata(client: TestClient, dataplane: DataPlane) -> None:
    assert client.get("/v2/health/live").json() == {"live": True}
    assert client.get("/v2/health/ready").json() == {"live": True, "ready": True}
    assert client.get("/v2").json()["name"] == "onnxway"
    for path in ("/v2/models/colours", "/v2/models/colours/versions/1"):
        assert client.get(path).json() == dataplane.model_metadata("colours")
        assert client.get(f"{path}/ready").json() == {"name": "colours", "ready": True}


@pytest.mark.parametrize("path", ["/v2/models/colours/infer", "/v2/models/colours/versions/1/infer"])
def test_infer(client: TestClient, predictor: Predictor, path: str) -> None:
    answer = client.post(path, json={"inputs": [TENSOR], "id": "a"})
    assert answer.status_code == 200
    assert answer.json()["id"] == "a"
    assert answer.json()["outputs"][1] == {"name": "class_index", "datatype": "INT64", "shape": [1], "data": [2]}
    assert answer.headers["model-digest"] == predictor.info.digest
    assert answer.headers["content-type"] == "application/json"


@pytest.mark.parametrize("path", ["/predict", "/v2/models/colours/predict", "/v2/models/colours/versions/1/predict"])
def test_predict_takes_the_bytes_or_a_form(client: TestClient, blue_png: bytes, path: str) -> None:
    sent: list[dict[str, Any]] = [
        {"content": blue_png},
        {"content": blue_png, "headers": {"content-type": "application/x-www-form-urlencoded"}},  # curl's own idea
        {"content": blue_png, "headers": {"content-type": "image/png"}},
        {"files": {"file": ("b.png", blue_png)}},
        {"files": {"whatever": ("b.png", blue_png)}, "data": {"note": "x"}},
    ]
    for arguments in sent:
        answer = client.post(path, **arguments)
        assert answer.status_code == 200, answer.text
        assert answer.json()["label"] == "blue"
        assert len(answer.headers["model-digest"]) == 64


@pytest.mark.parametrize(
    ("method", "path", "arguments", "status", "words"),
    [
        ("GET", "/nothing", {}, 404, "Not Found"),
        ("GET", "/v2/models/colour", {}, 404, "did you mean 'colours'"),
        ("GET", "/v2/models/colours/versions/2/ready", {}, 404, "no version '2' here"),
        ("POST", "/v2/models/other/infer", {"json": {}}, 404, "model 'other': not served here"),
        ("POST", "/v2/models/other/predict", {"content": b"x"}, 404, "model 'other': not served here"),
        ("GET", "/predict", {}, 405, "Method Not Allowed"),
        ("POST", "/v2", {}, 405, "Method Not Allowed"),
        ("POST", "/v2/models/colours/infer", {"content": b""}, 400, "the body is not JSON"),
        ("POST", "/v2/models/colours/infer", {"content": b"\xff"}, 400, "the body is not JSON"),
        ("POST", "/v2/models/colours/infer", {"content": b"[" * 15_000}, 400, "nested too deeply|not JSON"),
        ("POST", "/v2/models/colours/infer", {"content": b"9" * 10_000}, 400, "not JSON"),
        ("POST", "/v2/models/colours/infer", {"json": {}}, 400, "inputs: got nothing"),
        ("POST", "/v2/models/colours/infer", {"json": {"inputs": [TENSOR | {"shape": [1, 9, 9, 3]}]}}, 400, "says 243"),
        ("POST", "/v2/models/colours/infer", {"content": b"x" * (MAX_BODY + 1)}, 413, "over 20000 bytes"),
        (
            "POST",
            "/v2/models/colours/infer",
            {"json": {}, "headers": {"inference-header-content-length": "9"}},
            400,
            "expected bytes of JSON, from 0 to 2",
        ),
        (
            "POST",
            "/v2/models/colours/infer",
            {"content": b"hello", "headers": {"content-encoding": "gzip"}},
            400,
            "not gzip",
        ),
        ("POST", "/predict", {"content": b"x" * (MAX_BODY + 1)}, 413, "over 20000 bytes"),
        ("POST", "/predict", {"files": {"file": b"x" * (MAX_BODY + 1)}}, 413, "over 20000 bytes"),
        ("POST", "/predict", {"content": b""}, 400, "the body is empty"),
        ("POST", "/predict", {"content": b"hello"}, 400, "image of 5 bytes: not a picture"),
        ("POST", "/predict", {"json": {}}, 400, "expected an object with image"),
        ("POST", "/predict", {"content": b"x", "headers": {"content-encoding": "br"}}, 415, "br"),
        ("POST", "/predict", {"files": [("a", b"x"), ("b", b"y")]}, 400, "[Tt]oo many files"),
        ("POST", "/predict", {"files": {"a": (None, b"x")}}, 400, "the form holds no file"),
        ("POST", "/predict", {"content": b"x", "headers": {"content-type": "multipart/form-data"}}, 400, "boundary"),
    ],
)
def test_errors(client: TestClient, method: str, path: str, arguments: dict[str, Any], status: int, words: str) -> None:
    answer = client.request(method, path, **arguments)
    assert answer.status_code == status, answer.text
    assert set(answer.json()) == {"error"}
    assert re.search(words, answer.json()["error"]), answer.text
    assert "Traceback" not in answer.text


def test_405_names_what_is_allowed(client: TestClient) -> None:
    assert client.get("/predict").headers["allow"] == "POST"


def test_a_body_without_a_length_is_counted(client: TestClient) -> None:
    def chunks() -> Iterator[bytes]:
        for _ in range(30):
            yield b"x" * 1000

    answer = client.post("/predict", content=chunks())
    assert answer.status_code == 413
    assert "over 20000 bytes" in answer.json()["error"]


def test_an_unforeseen_error_is_500_without_a_traceback(
    client: TestClient, dataplane: DataPlane, monkeypatch: pytest.MonkeyPatch, blue_png: bytes
) -> None:
    def broken(payload: object) -> None:
        raise ZeroDivisionError("secret")

    monkeypatch.setattr(dataplane.model().predictor.kind, "arrays", broken)
    answer = client.post("/predict", content=blue_png)
    assert answer.status_code == 500
    assert answer.json() == {"error": "internal error; the server's log has the cause"}


def test_not_ready_is_503(client: TestClient, dataplane: DataPlane, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dataplane, "ready", lambda: False)
    answer = client.get("/v2/health/ready")
    assert (answer.status_code, answer.json()) == (503, {"live": True, "ready": False})

    def refuse(*_: object) -> None:
        raise NotReadyError("shutting down")

    monkeypatch.setattr(dataplane, "model", refuse)
    answer = client.post("/predict", content=b"x")
    assert (answer.status_code, answer.json()) == (503, {"error": "shutting down"})


def test_nan_is_no_pixel(client: TestClient) -> None:
    body = json.dumps({"inputs": [TENSOR | {"data": [float("nan")] * 189}]})
    answer = client.post("/v2/models/colours/infer", content=body)
    assert answer.status_code == 400
    assert "data holds float" in answer.json()["error"]
