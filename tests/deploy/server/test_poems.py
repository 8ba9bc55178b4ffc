"""A model that is asked many times for one answer, behind a real scheduler and over HTTP."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("orjson", reason="needs the extra 'serve'")
pytest.importorskip("starlette", reason="needs the extra 'serve'")
pytest.importorskip("onnx", reason="makes the model")

import onnx
import orjson
from onnx import TensorProto, helper, numpy_helper
from starlette.testclient import TestClient

from deploy import Predictor, bundle, files, samples
from deploy.bundle import Manifest, Signature, TensorSpec, Variant
from deploy.errors import DeadlineError
from deploy.passport import Check, Passport
from deploy.providers import open_session
from deploy.server.dataplane import DataPlane
from deploy.server.rest.app import create_app
from deploy.server.rest.payloads import Payload
from deploy.server.statistics import Timing

CHARACTERS = "\0\ufffd\x05\x07\n，。天地玄黃宇宙洪荒"
SIZE = len(CHARACTERS)


def model() -> bytes:
    """Next is, mostly, the character that is as far on in the list as the last one's number says; state counts."""
    table = np.random.default_rng(0).normal(size=(64, SIZE)).astype(np.float32)
    constants = {"table": table, "size": np.array(64, np.int32), "one": np.ones((1, 2), np.float32)}
    nodes = [
        helper.make_node("Mod", ["character", "size"], ["place"]),
        helper.make_node("Gather", ["table", "place"], ["scores"]),
        helper.make_node("Softmax", ["scores"], ["probabilities"], axis=1),
        helper.make_node("Add", ["state", "one"], ["next_state"]),
    ]
    graph = helper.make_graph(
        nodes,
        "poems",
        [
            helper.make_tensor_value_info("character", TensorProto.INT32, ["batch"]),
            helper.make_tensor_value_info("state", TensorProto.FLOAT, ["batch", 2]),
        ],
        [
            helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["batch", SIZE]),
            helper.make_tensor_value_info("next_state", TensorProto.FLOAT, ["batch", 2]),
        ],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.checker.check_model(proto, full_check=True)
    return proto.SerializeToString()  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def poems(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle without a cut, of two inputs."""
    whole = model()
    feeds = {"character": np.array([5, 0x4E00], np.int32), "state": np.zeros((2, 2), np.float32)}
    passport = Passport(
        model_sha256=files.sha256(whole),
        checks=(Check("parity", True, 1.0, 8.0),),
        noise={"probabilities": 3e-8, "next_state": 1e-7},
        limit=8.0,
        rows=2,
        providers=("cpu",),
        created="2026-01-01T00:00:00+00:00",
    )
    state = TensorSpec("state", "float32", ("batch", 2))
    manifest = Manifest(
        name="poems",
        version="1",
        input=Signature(
            "poem",
            (TensorSpec("character", "int32", ("batch",), (0, 0x10FFFF), "code point"), state),
            (),
            {"characters": CHARACTERS},
        ),
        output=Signature(
            "poem",
            (
                TensorSpec("probabilities", "float32", ("batch", SIZE), (0, 1), "probability"),
                TensorSpec("next_state", "float32", ("batch", 2)),
            ),
            tuple(CHARACTERS),
        ),
        variants={"fp32": Variant("model.onnx", passport)},
        files={},
    )
    folder = tmp_path_factory.mktemp("poems") / "bundle"
    with bundle.writing(folder, manifest) as temporary:
        files.write_bytes(temporary / "model.onnx", whole)
        samples.save(temporary / bundle.SAMPLES, [samples.Sample(feeds, open_session(whole).run(feeds))])
    return folder


@pytest.fixture
def plane(poems: Path) -> Iterator[DataPlane]:
    predictor = Predictor.load(poems, threads=1)
    made = DataPlane(workers=2)
    made.add(predictor, predictor.warm_up())
    yield made
    made.close()


def wished(seed: int) -> dict[str, Any]:
    return {"title": "天" * (seed % 5), "form": (5, 7)[seed % 2], "seed": seed}


def test_poems_that_are_asked_for_at_once_share_batches(plane: DataPlane, poems: Path) -> None:
    async def ask() -> list[dict[str, Any]]:
        asked = [plane.predict(Payload(orjson.dumps(wished(seed)), is_json=True)) for seed in range(24)]
        return [answer for answer, _ in await asyncio.gather(*asked)]

    answers = asyncio.run(ask())
    with Predictor.load(poems, threads=1) as alone:
        expected = [alone.predict(wished(seed)).to_dict() for seed in range(24)]
    assert [{key: answer[key] for key in ("title", "text", "lines", "seed")} for answer in answers] == expected
    stats = plane.model().batcher.stats
    steps = sum(len(poem["title"]) + 2 + len(poem["text"]) - 2 for poem in expected)
    assert stats.rows == steps
    assert sum(stats.batches.values()) < steps / 4
    assert plane.statistics()["model_stats"][0]["inference_count"] == 24


def test_times_are_sums_over_all_steps(plane: DataPlane) -> None:
    async def ask() -> Timing:
        _, timing = await plane.predict(Payload(orjson.dumps(wished(4)), is_json=True))
        return timing

    timing = asyncio.run(ask())
    passage, stats = timing.passage, plane.model().batcher.stats
    assert passage.runs == stats.done == len(wished(4)["title"]) + 2 + 20 - 1 + 3
    assert passage.compute_s == pytest.approx(stats.compute_s)
    assert passage.queue_s == pytest.approx(stats.queue_s)
    assert passage.queue_s + passage.compute_s <= passage.ended - passage.arrived
    assert timing.header().endswith(f"queue;dur={1e3 * stats.queue_s:.3f}, compute;dur={1e3 * stats.compute_s:.3f}")
    told = plane.statistics()["model_stats"][0]["inference_stats"]
    assert told["compute_infer"] == {"count": 1, "ns": int(passage.compute_s * 1e9)}
    assert told["queue"] == {"count": 1, "ns": int(passage.queue_s * 1e9)}


def test_a_batch_and_a_stream_of_wishes_are_answered_alike(poems: Path) -> None:
    wishes = [wished(seed) for seed in range(40)]
    with Predictor.load(poems, threads=1) as predictor:
        each = [predictor.predict(wish) for wish in wishes]
        assert predictor.predict(wishes) == each
        assert predictor.predict_many(wishes) == each  # in more than one chunk
        assert [future.result(30) for future in map(predictor.submit, wishes)] == each
        assert predictor.submit(wishes[:3]).result(30) == each[:3]
        with pytest.raises(DeadlineError):
            predictor.submit(wishes[0], deadline=1e-9).result(30)


def test_over_http(plane: DataPlane) -> None:
    with TestClient(create_app(plane)) as client:
        answer = client.post("/predict", json={"title": "春夜", "form": 7, "seed": 1})
        assert answer.status_code == 200
        assert [len(line) for line in answer.json()["lines"]] == [8] * 4
        assert client.post("/predict", json="春夜").json()["title"] == "春夜"
        assert client.post("/predict", content="春夜".encode()).json()["title"] == "春夜"
        assert client.post("/predict", json={}).json()["title"] == ""
        assert len(client.post("/predict", json=["春", {"form": 5}]).json()["results"]) == 2
        plain = client.post("/predict", json={"title": "春夜", "seed": 1}, headers={"Accept": "text/plain"})
        assert plain.headers["content-type"] == "text/plain"
        assert plain.text.startswith("春夜\n\n")
        for wrong in ({"form": 6}, [], 3, None, {"character": 5}):
            refused = client.post("/predict", json=wrong)
            assert refused.status_code == 400, wrong
            assert "internal" not in refused.json()["error"]
        body = client.get("/openapi.json").json()["paths"]["/predict"]["post"]["requestBody"]["content"]
        assert "first_line" in str(body["application/json"])
