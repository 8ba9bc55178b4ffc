"""`python -m deploy` as a process, on a real socket."""

import contextlib
import http.client
import itertools
import json
import os
import re
import select
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from deploy import __main__ as command
from deploy.errors import OnnxwayError, UsageError

pytest.importorskip("starlette", reason="needs the extra 'serve'")
pytest.importorskip("httptools", reason="needs the extra 'serve'")

from deploy.server.options import ServerOptions
from deploy.server.sockets import listen

START_S = 60


@contextmanager
def server(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Start `python -m deploy` on a free port; yields the process and its address once it answers."""
    process = subprocess.Popen(
        [sys.executable, "-m", "deploy", *arguments, "--port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    )
    assert process.stdout is not None
    try:
        ready, _, _ = select.select([process.stdout], [], [], START_S)
        line = process.stdout.readline() if ready else ""
        found = re.search(r"serving on (http://\S+)", line)
        if not found:
            process.kill()
            pytest.fail(f"no server: {line!r} {process.communicate()[1]}")
        yield process, found[1]
    finally:
        process.kill()
        process.communicate()


def call(url: str, body: bytes | None = None) -> tuple[int, dict]:
    try:
        with urllib.request.urlopen(url, body, timeout=30) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read())


def test_it_answers_and_ends_cleanly_on_sigterm(colours: Path, blue_png: bytes) -> None:
    with server(str(colours), "--threads", "1") as (process, url):
        status, answer = call(f"{url}/v2/health/ready")
        assert (status, answer["ready"]) == (200, True)
        assert call(f"{url}/predict", blue_png)[1]["label"] == "blue"
        assert call(f"{url}/predict", b"bad")[0] == 400
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=30)
        assert process.returncode == 0, err
        assert out == ""
        lines = [json.loads(line) for line in err.splitlines()]
        assert [(line["method"], line["target"], line["status"]) for line in lines] == [
            ("GET", "/v2/health/ready", 200),
            ("POST", "/predict", 200),
            ("POST", "/predict", 400),
        ]


def test_ctrl_c_ends_it_too_without_a_traceback(colours: Path) -> None:
    with server(str(colours)) as (process, _):
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
        assert process.returncode == 0
        assert err == ""


def test_a_request_that_has_begun_is_answered_after_sigterm(colours: Path, blue_png: bytes) -> None:
    with server(str(colours)) as (process, url):
        host, port = url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=30) as connection:
            head = f"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: {len(blue_png)}\r\n\r\n"
            connection.sendall(head.encode() + blue_png[:10])
            time.sleep(0.3)
            process.send_signal(signal.SIGTERM)
            time.sleep(0.3)
            connection.sendall(blue_png[10:])
            answer = b""
            while chunk := connection.recv(65536):
                answer += chunk
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert b'"label":"blue"' in answer
        assert process.wait(30) == 0


def test_sigterm_under_load_loses_no_request(colours: Path, blue_png: bytes) -> None:
    """Every request that the server took is answered.

    A connection may be closed before it takes one: a client that is starved for a second while the server drains, or
    whose connection is made in the moment in which the listening socket closes, is to try elsewhere (RFC 9112, 9.3.1).
    """
    tensor = {"name": "image", "datatype": "UINT8", "shape": [1, 4, 4, 3], "data": [0] * 48}
    sent = {"/predict": blue_png, "/v2/models/colours/infer": json.dumps({"inputs": [tensor]}).encode()}
    answered, lost, ending = [0] * 8, [], threading.Event()

    def work(number: int, host: str, port: int) -> None:
        while True:
            try:
                connection = http.client.HTTPConnection(host, port, timeout=30)
                connection.connect()
            except OSError:
                return  # not accepted any more
            try:
                for path, body in itertools.cycle(sent.items()):
                    try:
                        connection.request("POST", path, body)
                        answer = connection.getresponse()
                    except ConnectionError:
                        assert ending.is_set()
                        return
                    assert answer.status == 200, answer.read()
                    answer.read()
                    answered[number] += 1
                    if answer.will_close:
                        break
            except Exception as error:
                lost.append(repr(error))
                return
            finally:
                connection.close()

    with server(str(colours), "--threads", "1") as (process, url):
        host, port = url.removeprefix("http://").split(":")
        threads = [threading.Thread(target=work, args=(number, host, int(port))) for number in range(8)]
        for thread in threads:
            thread.start()
        while min(answered) < 20 and not lost:
            time.sleep(0.01)
        ending.set()
        process.send_signal(signal.SIGTERM)
        for thread in threads:
            thread.join()
        _, err = process.communicate(timeout=30)
        assert process.returncode == 0, err
    assert lost == []
    assert '"status":499' not in err
    assert sum('"status":200' in line for line in err.splitlines()) == sum(answered)


def test_while_draining_it_says_that_it_is_not_ready(colours: Path, blue_png: bytes) -> None:
    with server(str(colours), "--threads", "1") as (process, url):
        host, port = url.removeprefix("http://").split(":")
        connections = [http.client.HTTPConnection(host, int(port), timeout=30) for _ in range(2)]
        for connection in connections:
            connection.request("GET", "/v2/health/ready")
            assert json.loads(connection.getresponse().read())["ready"] is True
        process.send_signal(signal.SIGTERM)
        wait_until_it_refuses(host, int(port))
        connections[0].request("GET", "/v2/health/ready")
        answer = connections[0].getresponse()
        assert (answer.status, answer.headers["connection"]) == (503, "close")
        assert json.loads(answer.read())["ready"] is False
        connections[1].request("POST", "/predict", blue_png)
        answer = connections[1].getresponse()
        assert (answer.status, answer.headers["connection"]) == (200, "close")
        answer.read()
        for connection in connections:
            connection.close()
        assert process.wait(30) == 0


def wait_until_it_refuses(host: str, port: int) -> None:
    with contextlib.suppress(ConnectionError):
        while True:
            socket.create_connection((host, port), timeout=30).close()


def test_a_second_signal_ends_the_waiting(colours: Path) -> None:
    with server(str(colours)) as (process, url):
        host, port = url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=30) as connection:
            connection.sendall(b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n")
            connection.settimeout(0.2)
            with pytest.raises(TimeoutError):
                connection.recv(1)
            process.send_signal(signal.SIGINT)
            wait_until_it_refuses(host, int(port))
            process.send_signal(signal.SIGINT)
            assert process.wait(5) == 0


def test_companions_start_and_stop_with_it(colours: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from deploy.predictor import Predictor
    from deploy.server.dataplane import DataPlane
    from deploy.server.serve import DRAIN_S, serve

    calls: list[object] = []

    class Companion:
        async def start(self) -> None:
            calls.append("start")
            os.kill(os.getpid(), signal.SIGTERM)

        async def stop(self, grace: float) -> None:
            calls.append(grace)

    plane = DataPlane(workers=1)
    plane.add(Predictor.load(colours, threads=1))
    before = signal.getsignal(signal.SIGTERM)
    serve(plane, ServerOptions(port=0, access_log=False), beside=[Companion()])
    assert calls == ["start", DRAIN_S]
    assert not plane.ready()
    assert signal.getsignal(signal.SIGTERM) == before
    assert re.match(r"serving on http://127\.0\.0\.1:\d+  try: curl", capsys.readouterr().out)


def test_clients_at_once_each_get_their_own_answer(colours: Path) -> None:
    from tests.deploy.conftest import png

    pictures = {"red": png((255, 0, 0), (9, 9)), "green": png((0, 255, 0), (5, 9)), "blue": png((0, 0, 255), (9, 5))}
    wrong: list[str] = []

    def work(url: str, label: str) -> None:
        for _ in range(10):
            found = call(f"{url}/predict", pictures[label])[1].get("label")
            if found != label:
                wrong.append(f"{label}: {found}")

    with server(str(colours), "--threads", "1") as (_, url):
        threads = [threading.Thread(target=work, args=(url, label)) for label in [*pictures, *pictures]]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert wrong == []


def test_tritonclient(colours: Path) -> None:
    client_module = pytest.importorskip("tritonclient.http", reason="needs tritonclient[http]")
    picture = np.zeros((2, 9, 7, 3), np.uint8)
    picture[..., 2] = 255
    with server(str(colours)) as (_, url):
        client = client_module.InferenceServerClient(url.removeprefix("http://"))
        try:
            assert client.is_server_live()
            assert client.is_server_ready()
            assert client.is_model_ready("colours")
            assert client.get_server_metadata()["name"] == "onnxway"
            assert client.get_model_metadata("colours")["inputs"][0]["shape"] == [-1, -1, -1, 3]
            tensor = client_module.InferInput("image", list(picture.shape), "UINT8")
            tensor.set_data_from_numpy(picture, binary_data=False)
            answer = client.infer("colours", [tensor], request_id="7")
            assert answer.get_response()["id"] == "7"
            assert answer.as_numpy("class_index").tolist() == [2, 2]
            assert answer.as_numpy("probabilities").shape == (2, 3)
            wanted = [client_module.InferRequestedOutput("class_index", binary_data=False)]
            assert len(client.infer("colours", [tensor], outputs=wanted).get_response()["outputs"]) == 1
        finally:
            client.close()


def failing(*arguments: str) -> tuple[int, str]:
    done = subprocess.run([sys.executable, "-m", "deploy", *arguments], capture_output=True, text=True, timeout=60)
    assert done.stdout == ""
    return done.returncode, done.stderr


def test_errors_of_the_process_are_one_line(colours: Path, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        code, err = failing(str(colours), "--port", port)
    assert code == 1
    assert (
        err == f"error: 127.0.0.1:{port}: cannot listen there (address already in use); choose another port "
        "(--port 0 takes a free one)\n"
    )
    code, err = failing(str(tmp_path))
    assert code == 1
    assert err.startswith(f"error: {tmp_path}: no bundle there")
    assert err.count("\n") == 1


def test_cuda_without_cuda_is_one_line_and_no_server(colours: Path) -> None:
    from tests.gpu import cuda_works

    if cuda_works():
        pytest.skip("CUDA works here")
    code, err = failing(str(colours), "--provider", "cuda", "--port", "0")
    assert code == 1
    assert err.startswith("error: provider cuda")
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--option", "nonsense"], 2, "--option 'nonsense': expected KEY=VALUE"),
        (["--option", "a=b"], 2, "provider cpu takes no options, got a"),
        (["--variant", "int8"], 2, "variant 'int8'"),
        (["--port", "70000"], 2, "port 70000: expected 0 to 65535"),
        (["--host", "no such host"], 1, "no such host:8000: cannot listen there"),
        (["--threads", "0"], 2, "threads 0: expected 1 or more"),
    ],
)
def test_errors_in_process(
    colours: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, words: str
) -> None:
    assert command.main([str(colours), *arguments]) == code
    assert words in capsys.readouterr().err


def test_two_folders_of_one_name_are_refused(colours: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main([str(colours), str(colours)]) == 2
    assert "is there twice" in capsys.readouterr().err


def test_without_the_extra_the_remedy_is_named(
    colours: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert command.main([str(colours)]) == 1
    assert (
        capsys.readouterr().err == "error: starlette, httptools, orjson not installed; pip install 'onnxway[serve]'\n"
    )


def test_help_shows_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        command.main(["--help"])
    assert caught.value.code == 0
    assert "examples:\n  python -m deploy" in capsys.readouterr().out


def test_ctrl_c_while_loading(colours: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("deploy.server.serve_bundles", interrupt)
    assert command.main([str(colours)]) == 130


def test_the_address_is_taken_before_anything_is_served() -> None:
    with listen("127.0.0.1", 0) as listener, pytest.raises(OnnxwayError, match="cannot listen there"):
        listen("127.0.0.1", listener.getsockname()[1])
    with pytest.raises(UsageError, match="port -1"):
        listen("127.0.0.1", -1)
