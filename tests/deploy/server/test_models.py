import asyncio
import dataclasses
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deploy import Predictor
from deploy.errors import NotFoundError, OverloadedError, UsageError
from deploy.predictor import Info

pytest.importorskip("orjson", reason="needs the extra 'serve'")

from deploy.server.dataplane import DataPlane
from deploy.server.models import Models, Served
from deploy.server.protocol.messages import InferRequest
from deploy.server.statistics import Timing


class Fake:
    """As much of a predictor as names, versions and closing need."""

    def __init__(self, info: Info, name: str, version: str) -> None:
        self.info = dataclasses.replace(info, name=name, version=version)
        self.closed = False

    def close(self) -> None:
        self.closed = True


async def unused(arrays: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
    return arrays


@pytest.fixture
def make(predictor: Predictor) -> Any:
    return lambda name, version: Served(Fake(predictor.info, name, version), unused)  # type: ignore[arg-type]


def test_the_newest_version_answers(make: Any) -> None:
    models = Models()
    for version in ("10", "9", "1.10", "1.9", "2.0rc1", "2.0"):
        models.add(make("m", version))
    assert models.versions("m") == ["1.9", "1.10", "2.0rc1", "2.0", "9", "10"]
    assert models.get("m").predictor.info.version == "10"
    assert models.get("m", "").predictor.info.version == "10"
    assert models.get(None, "9").predictor.info.version == "9"
    with pytest.raises(NotFoundError, match=r"no version '3' here; choose from: 1.9, 1.10"):
        models.get("m", "3")
    assert models.versions("other") == []


def test_a_model_is_closed_when_nobody_uses_it_any_more(make: Any) -> None:
    models, old, new = Models(), make("m", "1"), make("m", "1")
    models.add(old)
    with pytest.raises(UsageError, match="'m' version '1' is there twice"):
        models.add(new)
    with old:
        models.add(new, replace=True)
        assert models.get("m") is new
        assert not old.predictor.closed
    assert old.predictor.closed
    models.remove("m")
    assert new.predictor.closed
    assert len(models) == 0


@pytest.mark.parametrize(("name", "version"), [("a/b", "1"), ("", "1"), ("m", "1 2"), ("m", "")])
def test_names_and_versions_are_plain(make: Any, name: str, version: str) -> None:
    with pytest.raises(UsageError, match="expected letters, digits"):
        Models().add(make(name, version))


def test_deadline_and_priority_reach_the_batcher(predictor: Predictor) -> None:
    seen: list[Any] = []

    class Batcher:
        async def run(self, arrays: Any, deadline: float | None, priority: int, passage: Any) -> Any:
            seen.append((deadline, priority, passage))
            return arrays

    served = Served(predictor, Batcher())  # type: ignore[arg-type]
    request = InferRequest({"x": np.zeros(1)}, ("x",), priority=3, timeout_s=0.5)
    dataplane = DataPlane(workers=1)
    timing = Timing()
    asyncio.run(dataplane.infer(served, request, timing))
    dataplane.close()
    assert seen == [(0.5, 3, timing.passage)]


def test_a_model_that_is_reloaded_under_load_loses_no_request(colours: Path, predictor: Predictor) -> None:
    body = predictor_body()

    async def work() -> Counter[int]:
        dataplane = DataPlane(workers=2)
        dataplane.add(Predictor.load(colours, threads=1))
        statuses: Counter[int] = Counter()

        async def ask() -> None:
            for _ in range(20):
                statuses[(await dataplane.infer_wire("colours", None, {}, body)).status] += 1

        async def swap() -> None:
            for _ in range(5):
                dataplane.add(await asyncio.to_thread(Predictor.load, colours, threads=1), replace=True)

        await asyncio.gather(ask(), ask(), swap())
        dataplane.close()
        return statuses

    assert asyncio.run(work()) == {200: 40}


def predictor_body() -> bytes:
    return b'{"inputs":[{"name":"image","shape":[1,1,1,3],"datatype":"UINT8","data":[1,2,3]}]}'


def test_an_error_of_the_model_is_no_traceback(predictor: Predictor, caplog: pytest.LogCaptureFixture) -> None:
    async def fails(arrays: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        raise ZeroDivisionError("secret")

    dataplane = DataPlane(workers=1)
    dataplane.add(predictor, fails)
    wire = asyncio.run(dataplane.infer_wire("colours", None, {}, predictor_body()))
    assert wire.status == 500
    assert b"".join(wire.body) == b'{"error":"internal error; the server\'s log has the cause"}'
    assert "ZeroDivisionError: secret" in caplog.text
    assert dataplane.statistics("colours")["model_stats"][0]["inference_stats"]["fail"]["count"] == 1


def test_when_to_come_back_is_said(predictor: Predictor) -> None:
    async def full(arrays: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        raise OverloadedError("the queue is full", 1.2)

    dataplane = DataPlane(workers=1)
    dataplane.add(predictor, full)
    wire = asyncio.run(dataplane.infer_wire("colours", None, {}, predictor_body()))
    assert (wire.status, dict(wire.headers)["Retry-After"]) == (503, "2")
