"""Canaries and shadows on a real server."""

import json
import logging
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deploy import Predictor

pytest.importorskip("starlette", reason="needs the extra 'serve'")
pytest.importorskip("httptools", reason="needs the extra 'serve'")
pytest.importorskip("orjson", reason="needs the extra 'serve'")

from deploy.server.lifecycle import shadow as shadow_module
from deploy.server.lifecycle.routing import Share
from deploy.server.lifecycle.swaps import Place
from tests.deploy.server.lifecycle.kit import BLUE, get, load_on, make, opened, point, serving, until


@pytest.fixture
def versions(colours: Path, tmp_path: Path) -> list[tuple[Path, str]]:
    """Versions 1, 2 and 3 of a model, each with another class for a blue picture."""
    folders = [tmp_path / f"v{number}" for number in (1, 2, 3)]
    return [(one, make(one, colours, shift=shift, version=one.name[1:])) for shift, one in enumerate(folders)]


def test_a_canary_gets_its_share_of_what_names_no_version(versions: list[tuple[Path, str]]) -> None:
    (main, first), (canary, second), _ = versions
    with serving([Place(canary, share=Share(0.1)), Place(main)]) as site, load_on(site.host, 3) as seen:
        until(lambda: seen.count > 200)
        for _ in range(5):  # whoever names a version gets it, and nothing of it is counted
            assert b'"data":[0]' in get(site.host, f"/v2/models/colours/versions/2-{second[:8]}/infer", BLUE)[1]
            assert b'"data":[2]' in get(site.host, "/v2/models/colours/versions/1/infer", BLUE)[1]
        metadata = json.loads(get(site.host, "/v2/models/colours")[1])
    assert seen.faults == []
    assert set(seen.answers) == {(first, 2), (second, 0)}
    assert abs(seen.answers[second, 0] - 0.1 * seen.count) <= 1
    assert (metadata["versions"], metadata["parameters"]["version"]) == (["1", f"2-{second[:8]}"], "1")


def test_a_canary_that_is_promoted(versions: list[tuple[Path, str]], tmp_path: Path) -> None:
    """The bundle takes the main place too, of whatever version it is; each place goes on to be followed by itself."""
    (main, first), (canary, second), (third_folder, third) = versions
    link = tmp_path / "champion"
    point(link, main)
    with serving([Place(link), Place(canary, share=Share(0.5))]) as site:
        assert site.digests() == [first, second]
        point(link, canary)
        until(lambda: site.digests() == [second, second])
        with load_on(site.host, 2) as seen:
            until(lambda: seen.count > 20)
        point(link, third_folder)
        until(lambda: sorted(site.digests()) == sorted([second, third]))
        (one,) = [one for one in site.dataplane.models if one.predictor.info.digest == second]
        assert one.share is not None
    assert seen.faults == []
    assert set(seen.answers) == {(second, 0)}


def test_a_canary_is_swapped_and_keeps_its_share(versions: list[tuple[Path, str]], tmp_path: Path) -> None:
    (main, first), (canary, second), (third_folder, third) = versions
    link = tmp_path / "canary"
    point(link, canary)
    with serving([Place(main), Place(link, share=Share(0.25))]) as site:
        with load_on(site.host, 2) as before:
            until(lambda: before.count > 40)
        point(link, third_folder)
        until(lambda: third in site.digests())
        with load_on(site.host, 2) as after:
            until(lambda: after.count > 40)
    assert set(before.answers) == {(first, 2), (second, 0)}
    assert set(after.answers) == {(first, 2), (third, 1)}
    assert abs(after.answers[third, 1] - 0.25 * after.count) <= 1


def numbers(site: Any) -> dict[str, Any]:
    return site.call(lambda: site.dataplane.shadows["colours"][0].snapshot())


def test_a_shadow_is_asked_and_answers_nobody(
    versions: list[tuple[Path, str]], caplog: pytest.LogCaptureFixture
) -> None:
    (main, _), (other, second), _ = versions
    with serving([Place(main), Place(other, share=Share(0.5), shadow=True)]) as site:
        for _ in range(20):
            assert get(site.host, "/v2/models/colours/infer", BLUE)[0] == 200
        until(lambda: numbers(site)["compared"] == 10)
        found = numbers(site)
        assert get(site.host, "/v2/models/colours/versions/2/infer", BLUE)[0] == 404
    assert (found["version"], found["digest"], found["share"]) == ("2", second, 0.5)
    assert (found["rows"], found["disagreed"], found["failed"], found["dropped"]) == (10, 10, 0, 0)
    assert found["largest"]["probabilities"] > 1e6  # one of them says 1, the other 0, and the noise is 3e-8
    lines = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert lines[0] == "shadow colours 2: decided otherwise in 1 of 1 rows; 0 requests failed, 0 dropped"
    assert len(lines) <= 2


def test_the_same_model_as_its_own_shadow_agrees(versions: list[tuple[Path, str]]) -> None:
    (main, _), _, _ = versions
    with serving([Place(main), Place(main, share=Share(1), shadow=True)]) as site:
        with load_on(site.host, 1) as seen:
            until(lambda: seen.count > 50)
        until(lambda: numbers(site)["waiting"] == 0)
        found = numbers(site)
    assert found["compared"] > 10
    assert found["compared"] + found["dropped"] >= seen.count - 1
    assert (found["disagreed"], found["failed"], found["largest"]) == (0, 0, {"probabilities": 0.0})


class Slow:
    """A predictor that holds its caller up, or fails."""

    def __init__(self, predictor: Predictor, go_on: threading.Event, error: Exception | None) -> None:
        self._predictor = predictor
        self.info = predictor.info
        self.go_on = go_on
        self.error = error

    def infer(self, arrays: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        assert self.go_on.wait(30)
        if self.error:
            raise self.error
        return self._predictor.infer(arrays)

    def close(self) -> None:
        self._predictor.close()


@pytest.mark.parametrize("error", [None, MemoryError("no room")])
def test_a_shadow_that_hangs_or_fails_is_nobody_elses_trouble(
    versions: list[tuple[Path, str]], error: Exception | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shadow_module, "MAX_WAITING", 5)
    (main, first), (other, _), _ = versions
    go_on = threading.Event()

    def load(folder: Path) -> Any:
        return Slow(opened(folder), go_on, error) if folder == other else opened(folder)

    try:
        with serving([Place(main), Place(other, share=Share(1), shadow=True)], load=load) as site:
            with load_on(site.host, 2) as seen:
                until(lambda: seen.count > 100)
            assert seen.faults == []
            assert set(seen.answers) == {(first, 2)}
            assert numbers(site)["dropped"] >= seen.count - 7  # 5 wait, one runs, one may be on its way
            go_on.set()
            until(lambda: numbers(site)["waiting"] == 0)
            until(lambda: numbers(site)["compared"] + numbers(site)["failed"] in (5, 6, 7))
            assert (numbers(site)["failed"] > 0) is (error is not None)
    finally:
        go_on.set()


def test_a_shadow_waits_while_anybody_else_is_served(versions: list[tuple[Path, str]]) -> None:
    (main, _), (other, _), _ = versions
    with serving([Place(main), Place(other, share=Share(1), shadow=True)]) as site:
        busy = site.call(lambda: site.dataplane.route("colours").__enter__())
        for _ in range(5):
            assert get(site.host, "/v2/models/colours/infer", BLUE)[0] == 200
        time.sleep(0.2)  # it looks again in between
        assert (numbers(site)["waiting"], numbers(site)["compared"]) == (5, 0)
        site.call(busy.__exit__)
        until(lambda: numbers(site)["compared"] == 5)


def test_a_shadow_is_swapped_and_counts_anew(versions: list[tuple[Path, str]], tmp_path: Path) -> None:
    (main, _), (other, _), _ = versions
    link = tmp_path / "shadow"
    point(link, other)
    with serving([Place(main), Place(link, share=Share(1), shadow=True)]) as site:
        get(site.host, "/v2/models/colours/infer", BLUE)
        until(lambda: numbers(site)["disagreed"] == 1)
        point(link, main)
        until(lambda: numbers(site)["version"] == "1")
        assert numbers(site)["compared"] == 0
        get(site.host, "/v2/models/colours/infer", BLUE)
        until(lambda: numbers(site)["compared"] == 1)
        assert numbers(site)["disagreed"] == 0
