import asyncio
import dataclasses
import json
import threading
from collections.abc import Coroutine, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest

from deploy import Predictor
from deploy.errors import InputError, NotFoundError, NotReadyError, OnnxwayError, UsageError

pytest.importorskip("orjson", reason="needs the extra 'serve'")

from deploy.server.dataplane import DataPlane
from deploy.server.rest.payloads import Payload
from deploy.server.wire import Wire
from tests.deploy.conftest import plain

T = TypeVar("T")


def now(coroutine: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(coroutine)


@pytest.fixture
def dataplane(colours: Path) -> Iterator[DataPlane]:
    made = DataPlane(workers=2)
    made.add(Predictor.load(colours, threads=1))
    yield made
    made.close()


def infer(dataplane: DataPlane, body: dict[str, Any], version: str | None = None) -> dict[str, Any]:
    wire = now(dataplane.infer_wire("colours", version, {}, json.dumps(body).encode()))
    return json.loads(b"".join(wire.body)) | {"status": wire.status}


def predict(dataplane: DataPlane, picture: bytes) -> dict[str, Any]:
    return now(dataplane.predict(Payload(picture)))[0]


def request(*pictures: np.ndarray) -> dict[str, Any]:
    batch = np.stack(pictures)
    data = {"name": "image", "datatype": "UINT8", "shape": list(batch.shape), "data": batch.ravel().tolist()}
    return {"inputs": [data]}


def test_infer_gives_what_the_predictor_gives(dataplane: DataPlane, predictor: Predictor) -> None:
    picture = plain((20, 200, 30))
    answer = infer(dataplane, request(picture, picture), "1")
    expected = predictor.infer({"image": np.stack([picture, picture])})
    assert [output["name"] for output in answer["outputs"]] == ["probabilities", "class_index"]
    for output in answer["outputs"]:
        found = np.array(output["data"], expected[output["name"]].dtype).reshape(output["shape"])
        assert np.array_equal(found, expected[output["name"]])


def test_json_that_repeats_goes_with_the_bytes_behind_it(dataplane: DataPlane, predictor: Predictor) -> None:
    tensor = {"name": "image", "datatype": "UINT8", "shape": [1, 4, 4, 3], "parameters": {"binary_data_size": 48}}
    text = json.dumps({"inputs": [tensor], "parameters": {"binary_data_output": True}}).encode()
    headers = {"inference-header-content-length": str(len(text))}
    found = []
    for picture in (plain((255, 0, 0), 4, 4), plain((0, 0, 255), 4, 4), plain((255, 0, 0), 4, 4)):
        wire = now(dataplane.infer_wire("colours", None, headers, text + picture.tobytes()))
        expected = predictor.infer({"image": picture[None]})
        assert [bytes(part) for part in wire.body[1:]] == [array.tobytes() for array in expected.values()]
        found.append(wire.body[0])
    assert found[0] == found[1] == found[2]
    assert json.loads(found[0])["outputs"][1]["parameters"] == {"binary_data_size": 8}
    assert now(dataplane.infer_wire("colours", None, headers, text + bytes(49))).status == 400  # one byte too many


def test_predict_gives_a_typed_result(dataplane: DataPlane, blue_png: bytes) -> None:
    answer = predict(dataplane, blue_png)
    assert (answer["model_name"], answer["model_version"], answer["label"]) == ("colours", "1", "blue")
    assert answer["top"][0]["label"] == "blue"


def test_a_scheduler_takes_the_place_of_single_runs(colours: Path, blue_png: bytes) -> None:
    seen: list[int] = []
    loaded = Predictor.load(colours)

    async def run(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        seen.append(len(arrays["image"]))
        return loaded.infer(arrays)

    made = DataPlane()
    made.add(loaded, run)
    predict(made, blue_png)
    infer(made, request(plain((0, 0, 0)), plain((0, 0, 0))))
    assert infer(made, {"inputs": []})["status"] == 400
    made.close()
    assert seen == [1, 2]  # and a bad request never came so far


def test_the_event_loop_stays_free_while_a_model_runs(colours: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded, release = Predictor.load(colours), threading.Event()
    infer = loaded.infer
    monkeypatch.setattr(loaded, "infer", lambda arrays: (release.wait(30), infer(arrays))[1])
    made = DataPlane(workers=1)
    made.add(loaded)

    async def both() -> Wire:
        body = json.dumps(request(plain((255, 0, 0)))).encode()
        running = asyncio.create_task(made.infer_wire("colours", None, {}, body))
        await asyncio.sleep(0.05)
        assert not running.done()
        assert made.ready()
        release.set()
        return await running

    assert json.loads(b"".join(now(both()).body))["outputs"][1]["data"] == [0]
    made.close()


def test_names_and_versions(dataplane: DataPlane) -> None:
    with pytest.raises(NotFoundError, match="model 'colour': not served here; did you mean 'colours'"):
        dataplane.model("colour")
    with pytest.raises(NotFoundError, match="model 'colours': no version '9' here; choose from: 1"):
        dataplane.model("colours", "9")
    assert dataplane.model("colours", "1") is dataplane.model()


def test_models_have_plain_and_different_names(dataplane: DataPlane, colours: Path) -> None:
    loaded = Predictor.load(colours)
    with pytest.raises(UsageError, match="'colours' version '1' is there twice"):
        dataplane.add(loaded)
    loaded.info = dataclasses.replace(loaded.info, name="a/b")
    with pytest.raises(UsageError, match="model name 'a/b': expected letters"):
        dataplane.add(loaded)
    loaded.info = dataclasses.replace(loaded.info, name="other")
    dataplane.add(loaded)
    with pytest.raises(InputError, match=r"several models are served; name one: .*\(colours, other\)"):
        dataplane.model()


def test_too_many_rows_are_refused(predictor: Predictor) -> None:
    dataplane = DataPlane(workers=1, max_rows=1)
    dataplane.add(predictor)
    assert infer(dataplane, request(plain((0, 0, 0))))["status"] == 200
    answer = infer(dataplane, request(plain((0, 0, 0)), plain((0, 0, 0))))
    assert answer == {"error": "inputs: 2 rows, at most 1 in one request; send several", "status": 413}


def test_metadata(dataplane: DataPlane, colours: Path) -> None:
    assert dataplane.metadata()["name"] == "onnxway"
    found = dataplane.model_metadata("colours")
    assert found["versions"] == ["1"]
    assert found["inputs"] == [{"name": "image", "datatype": "UINT8", "shape": [-1, -1, -1, 3]}]
    assert found["parameters"]["labels"] == ["red", "green", "blue"]


def test_before_a_model_and_after_close_it_is_not_ready(colours: Path, blue_png: bytes) -> None:
    made = DataPlane()
    assert not made.ready()
    with pytest.raises(OnnxwayError, match="none yet"):
        made.model()
    made.add(Predictor.load(colours))
    assert made.ready()
    made.close()
    assert not made.ready()
    with pytest.raises(NotReadyError, match="shutting down"):
        predict(made, blue_png)
