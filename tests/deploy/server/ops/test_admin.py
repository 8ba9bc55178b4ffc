import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("starlette", reason="needs the extra 'serve'")
pytest.importorskip("httptools", reason="needs the extra 'serve'")

from deploy import Predictor
from deploy.server.dataplane import DataPlane
from deploy.server.ops.access import FORBIDDEN, WORDS
from deploy.server.options import ServerOptions
from deploy.server.repository import Repository
from tests.deploy.server.ops.kit import TOKEN, Running, ask, running

BEARER = {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture(scope="module")
def guarded(colours: Path, shelf: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server with a repository and an admin port."""
    pytest.importorskip("grpc", reason="needs the extra 'grpc'")
    file = tmp_path_factory.mktemp("token") / "token"
    file.write_text(TOKEN)
    options = ServerOptions(admin_port=0, admin_token_file=file, metrics="admin", grpc_port=0, access_log=False)
    dataplane = DataPlane(workers=1, repository=Repository(shelf, lambda folder: Predictor.load(folder, threads=1)))
    dataplane.add(Predictor.load(colours, threads=1))
    with running(options, dataplane) as found:
        yield found


@pytest.mark.parametrize("verb", ["load", "unload"])
def test_on_the_public_port_nothing_is_changed(guarded: Running, verb: str) -> None:
    for headers in ({}, BEARER):
        answer = ask(f"{guarded.url}/v2/repository/models/other/{verb}", b"", **headers)
        assert (answer.status, answer.json) == (403, {"error": FORBIDDEN})
    assert ask(f"{guarded.url}/v2/repository/index", b"").status == 200
    assert ask(f"{guarded.url}/metrics").status == 404
    paths = ask(f"{guarded.url}/openapi.json").json["paths"]
    assert "/v2/repository/index" in paths
    assert not {"/metrics", f"/v2/repository/models/{{model}}/{verb}"} & set(paths)


def test_nor_over_grpc(guarded: Running) -> None:
    client_module = pytest.importorskip("tritonclient.grpc", reason="needs tritonclient[grpc]")
    with client_module.InferenceServerClient(guarded.grpc) as client:
        for call in (client.load_model, client.unload_model):
            with pytest.raises(client_module.InferenceServerException, match="admin port") as caught:
                call("other")
            assert caught.value.status() == "StatusCode.PERMISSION_DENIED"


@pytest.mark.parametrize(
    "path", ["/metrics", "/log-level", "/v2/repository/models/other/load", "/v2/health/live", "/", "/v2/models/m/infer"]
)
@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer x"}, {"Authorization": f"Bearer {TOKEN}x"}])
def test_the_admin_port_wants_the_token(guarded: Running, path: str, headers: dict[str, str]) -> None:
    answer = ask(guarded.admin + path, b"" if path.startswith("/v2/r") else None, **headers)
    assert (answer.status, answer.json) == (401, {"error": WORDS})


def test_with_it_models_come_and_go(guarded: Running) -> None:
    def names() -> set[str]:
        return {one["name"] for one in ask(f"{guarded.url}/v2/repository/index", b'{"ready": true}').json}

    assert names() == {"colours"}
    assert ask(f"{guarded.admin}/v2/repository/models/other/load", b"", **BEARER).status == 200
    assert names() == {"colours", "other"}
    assert ask(f"{guarded.admin}/v2/repository/models/other/unload", b"", **BEARER).status == 200
    assert names() == {"colours"}
    assert ask(f"{guarded.admin}/v2/repository/models/none/load", b"", **BEARER).status == 404


def test_metrics_are_there(guarded: Running) -> None:
    answer = ask(f"{guarded.admin}/metrics", **BEARER)
    assert (answer.status, answer.headers["Content-Type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")
    assert b'onnxway_inference_request_success{model="colours",version="1"}' in answer.body


def test_inference_is_elsewhere(guarded: Running) -> None:
    answer = ask(f"{guarded.admin}/v2/models/colours/infer", b"{}", **BEARER)
    assert (answer.status, answer.json["error"]) == (404, "this is the admin port; inference is on the other one")


def test_the_level_of_the_log_can_be_changed(guarded: Running) -> None:
    logger, before = logging.getLogger("deploy"), logging.getLogger("deploy").level
    try:
        assert ask(f"{guarded.admin}/log-level", b'{"level":"DEBUG"}', method="PUT", **BEARER).json == {
            "level": "DEBUG"
        }
        assert logger.isEnabledFor(logging.DEBUG)
        assert ask(f"{guarded.admin}/log-level", **BEARER).json == {"level": "DEBUG"}
        for bad in (b'{"level":"LOUD"}', b'{"level":["DEBUG"]}', b"[]", b""):
            assert ask(f"{guarded.admin}/log-level", bad, method="PUT", **BEARER).status == 400
        assert logger.isEnabledFor(logging.DEBUG)
    finally:
        logger.setLevel(before)
