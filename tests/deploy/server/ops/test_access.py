import hashlib
import json
import socket
from pathlib import Path

import pytest

pytest.importorskip("starlette", reason="needs the extra 'serve'")
pytest.importorskip("httptools", reason="needs the extra 'serve'")

from deploy.errors import NotFoundError, UsageError
from deploy.server.ops.access import WORDS, ApiKeys, read_token
from deploy.server.ops.exposition import Page
from deploy.server.ops.watched import LOOK_S
from deploy.server.options import ServerOptions
from tests.deploy.server.http.kit import Client, request
from tests.deploy.server.ops.kit import KEY, TOKEN, Running, ask, running, tensor_body, warm

OTHER = "other-" + "o" * 32
HASHED = "hashed-" + "h" * 32
INFER = "/v2/models/colours/infer"


@pytest.fixture(scope="module")
def keyed(colours: Path, tmp_path_factory: pytest.TempPathFactory) -> Running:
    pytest.importorskip("grpc", reason="needs the extra 'grpc'")
    file = tmp_path_factory.mktemp("keys") / "keys"
    file.write_text(f"# of the team\n\n{KEY}\nsha256:{hashlib.sha256(HASHED.encode()).hexdigest()}\n")
    with running(ServerOptions(api_keys=file, grpc_port=0, access_log=False), warm(colours)) as found:
        yield found


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(
    ("path", "body"),
    [(INFER, tensor_body()), ("/predict", b"x"), ("/v2/models/colours", None), ("/metrics", None), ("/nowhere", None)],
)
@pytest.mark.parametrize(
    "headers", [{}, {"X_API_Key": OTHER}, {"Authorization": f"Basic {KEY}"}, {"Authorization": KEY}, {"X_API_Key": ""}]
)
def test_without_a_key_nothing_is_answered(
    keyed: Running, path: str, body: bytes | None, headers: dict[str, str]
) -> None:
    answer = ask(keyed.url + path, body, **headers)
    assert (answer.status, answer.json) == (401, {"error": WORDS})
    assert answer.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize(
    "headers",
    [{"X_API_Key": KEY}, {"Authorization": f"Bearer {KEY}"}, {"Authorization": f"bearer {HASHED}"},
     {"X_API_Key": KEY, "Authorization": "Basic YTpi"}],
)  # fmt: skip
def test_with_a_key_all_is_answered(keyed: Running, headers: dict[str, str], blue_png: bytes) -> None:
    assert ask(keyed.url + INFER, tensor_body(), **headers).status == 200
    assert ask(keyed.url + "/predict", blue_png, **headers).json["label"] == "blue"
    assert ask(keyed.url + "/metrics", **headers).status == 200


@pytest.mark.parametrize("path", ["/v2/health/live", "/v2/health/ready", "/v2/models/colours/ready"])
def test_health_needs_no_key(keyed: Running, path: str) -> None:
    assert ask(keyed.url + path).status == 200


@pytest.mark.parametrize(
    "path", ["/v2/health/live/../../v2", "/v2/health/live/", "/v2/health%2flive/x", "//v2/health/live"]
)
def test_no_path_gets_round_it(keyed: Running, path: str) -> None:
    assert ask(keyed.url + path).status == 401


def test_a_key_that_comes_twice_counts_for_nothing(keyed: Running) -> None:
    host, port = keyed.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(request(INFER, tensor_body(), f"X-API-Key: {KEY}", f"X-API-Key: {KEY}"))
        assert connection.recv(100).startswith(b"HTTP/1.1 401 ")


def test_the_answer_comes_before_the_body(keyed: Running) -> None:
    client = Client(int(keyed.url.rpartition(":")[2]))
    client.send(f"POST {INFER} HTTP/1.1\r\nHost: x\r\nContent-Length: 60000000\r\n\r\n".encode())
    answer = client.answer()
    assert (answer.status, answer.headers["connection"]) == (401, "close")
    client.close()


def test_what_was_asked_before_is_still_answered(keyed: Running) -> None:
    client = Client(int(keyed.url.rpartition(":")[2]))
    client.send(request(INFER, tensor_body(), f"X-API-Key: {KEY}") + request(INFER, tensor_body()))
    assert [client.answer().status for _ in range(2)] == [200, 401]
    client.close()


def test_openapi_says_so(keyed: Running) -> None:
    found = ask(keyed.url + "/openapi.json", X_API_Key=KEY).json
    assert found["security"] == [{"bearer": []}, {"header": []}]
    assert "401" in found["paths"]["/v2/models/colours/infer"]["post"]["responses"]
    assert "401" not in found["paths"]["/v2/health/live"]["get"]["responses"]


def test_requests_are_counted_by_the_names_of_keys(tmp_path: Path) -> None:
    file, clock = tmp_path / "keys", Clock()
    hashed = hashlib.sha256(HASHED.encode()).hexdigest()
    file.write_text(f"{KEY}  # mobile app\nsha256:{hashed} #web\n{OTHER}\n")
    keys = ApiKeys(file, clock)
    for key in (KEY, KEY, HASHED, OTHER):
        assert keys.know({"x-api-key": key})
    assert not keys.know({"x-api-key": f"{KEY}  # mobile app"})
    assert not keys.know({})
    keys.refuse()
    assert counted(keys) == {'{key="mobile app"}': "2", '{key="web"}': "1", '{key="key 3"}': "1", "refused": "1"}
    file.write_text(f"{HASHED} # mobile app")
    clock.now += LOOK_S
    assert keys.know({"x-api-key": HASHED})
    assert counted(keys)['{key="mobile app"}'] == "3", "a key that is replaced goes on under its name"


def counted(keys: ApiKeys) -> dict[str, str]:
    page = Page()
    keys.show(page)
    lines = [line.rpartition(" ") for line in page.text().splitlines() if not line.startswith("#") and line]
    for secret in (KEY, OTHER, HASHED, hashlib.sha256(HASHED.encode()).hexdigest()[:8]):
        assert secret not in page.text()
    named = {"onnxway_key_refused_total": "refused"}
    return {named.get(name, name.removeprefix("onnxway_key_requests_total")): count for name, _, count in lines}


def test_counts_are_among_the_metrics(keyed: Running) -> None:
    def found(name: str) -> int:
        page = ask(keyed.url + "/metrics", X_API_Key=KEY).body.decode()
        return int(page.partition(f"\n{name} ")[2].partition("\n")[0])

    name, refused = 'onnxway_key_requests_total{key="key 1"}', "onnxway_key_refused_total"
    before = found(name), found(refused)
    assert ask(keyed.url + INFER, tensor_body(), X_API_Key=KEY).status == 200
    assert ask(keyed.url + INFER, tensor_body()).status == 401
    assert ask(keyed.url + "/v2/health/live").status == 200
    assert (found(name) - before[0], found(refused) - before[1]) == (3, 1)  # the pages of metrics are requests too


def test_grpc_needs_it_too(keyed: Running) -> None:
    client_module = pytest.importorskip("tritonclient.grpc", reason="needs tritonclient[grpc]")
    import numpy as np

    tensor = client_module.InferInput("image", [1, 4, 4, 3], "UINT8")
    tensor.set_data_from_numpy(np.zeros((1, 4, 4, 3), np.uint8))
    with client_module.InferenceServerClient(keyed.grpc) as client:
        assert client.is_server_live()
        assert client.is_model_ready("colours")
        for headers in ({}, {"x-api-key": OTHER}):
            for call in (
                lambda: client.infer("colours", [tensor], headers=headers),  # noqa: B023  called at once
                lambda: client.get_model_metadata("colours", headers=headers),  # noqa: B023
            ):
                with pytest.raises(client_module.InferenceServerException, match="no key") as caught:
                    call()
                assert caught.value.status() == "StatusCode.UNAUTHENTICATED"
        for headers in ({"authorization": f"Bearer {HASHED}"}, {"x-api-key": KEY}):
            assert client.infer("colours", [tensor], headers=headers).as_numpy("class_index").shape == (1,)


def test_a_grpc_stream_needs_it_too(keyed: Running) -> None:
    import grpc

    with grpc.insecure_channel(keyed.grpc) as channel:
        stream = channel.stream_stream("/inference.GRPCInferenceService/ModelStreamInfer")
        with pytest.raises(grpc.RpcError) as caught:
            next(stream(iter([b""])))
        assert caught.value.code() == grpc.StatusCode.UNAUTHENTICATED
        with pytest.raises(StopIteration):
            next(stream(iter([]), metadata=(("x-api-key", KEY),)))


def test_the_file_is_read_when_it_changes(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file, clock = tmp_path / "keys", Clock()
    file.write_text(KEY)
    keys = ApiKeys(file, clock)
    assert keys.know({"x-api-key": KEY})
    new = tmp_path / "new"
    new.write_text(OTHER)
    new.replace(file)
    assert keys.know({"x-api-key": KEY}), "looked at too often"
    clock.now += LOOK_S
    assert not keys.know({"x-api-key": KEY})
    assert keys.know({"x-api-key": OTHER})
    for damage in (lambda: file.write_text("short"), file.unlink):
        damage()
        clock.now += LOOK_S
        assert keys.know({"x-api-key": OTHER})
        assert "the keys stay as they were" in caplog.text
        caplog.clear()
    file.write_text(KEY)
    clock.now += LOOK_S
    assert keys.know({"x-api-key": KEY})


@pytest.mark.parametrize(
    ("text", "words"),
    [("", "no keys in it"), ("# only words\n", "no keys in it"), ("a" * 15, "line 1: expected a key of 16"),
     (f"{KEY}\nsha256:abc", "line 2: "), ("ü" * 20, "line 1: ")],
)  # fmt: skip
def test_a_bad_file_is_told_without_its_keys(tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "keys"
    file.write_text(text)
    with pytest.raises(UsageError, match=words) as caught:
        ApiKeys(file)
    assert text.partition("\n")[0] not in str(caught.value) or not text
    with pytest.raises(NotFoundError):
        ApiKeys(tmp_path / "none")


def test_tokens(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(f"{TOKEN}\n")
    assert read_token(file, "V", {"V": "x" * 20}) == TOKEN
    assert read_token(None, "V", {"V": f" {TOKEN} "}) == TOKEN
    with pytest.raises(UsageError, match="V: no token there"):
        read_token(None, "V", {})
    with pytest.raises(UsageError, match="V: expected a token of 16"):
        read_token(None, "V", {"V": "short"})
    file.write_bytes(b"\xff")
    with pytest.raises(UsageError, match="expected text in UTF-8"):
        read_token(file, "V", {})
    with pytest.raises(UsageError, match="cannot be read"):
        read_token(tmp_path, "V", {})


def test_the_page_of_errors_is_json(keyed: Running) -> None:
    assert json.loads(ask(keyed.url + "/").body) == {"error": WORDS}
