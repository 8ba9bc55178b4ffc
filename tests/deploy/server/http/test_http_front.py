"""The front's life, its log, TLS, and what an ASGI application may do behind it."""

import asyncio
import datetime
import json
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("httptools", reason="needs the extra 'serve'")

from deploy.errors import OnnxwayError
from deploy.server.http.answer import Ends, refusal, status_line
from deploy.server.http.limits import Limits
from deploy.server.http.request import Body, Request
from tests.deploy.server.http.kit import ASGI, FAST, Served, Site, request, serving


@pytest.fixture(params=["asyncio", "uvloop"])
def kind(request: pytest.FixtureRequest) -> str:
    if request.param == "uvloop":
        pytest.importorskip("uvloop")
    return str(request.param)


@pytest.fixture
def served(kind: str) -> Iterator[Served]:
    with serving(kind) as found:
        yield found


@pytest.fixture(params=[FAST, ASGI], ids=["fast", "asgi"])
def path(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_draining_answers_what_has_come_and_ends_idle_connections(served: Served, path: str) -> None:
    busy, idle, begun = served.client(), served.client(), served.client()
    busy.send(request(path, b"1", "X-Do: wait") + request(path, b"2"))
    begun.send(request(path, b"abc")[:-1])
    idle.post(path, b"idle")
    assert "connection" not in idle.answer().headers
    assert served.site.begun.acquire(timeout=10)
    drained = asyncio.run_coroutine_threadsafe(served.front.drain(10), served.loop)
    served.call(draining(served))
    idle.post(path, b"late")  # sent before it could know
    answer = idle.answer()
    assert (answer.body, answer.headers["connection"]) == (b"late", "close")
    assert idle.rest() == b""
    begun.send(b"c")
    answer = begun.answer()
    assert (answer.body, answer.headers["connection"]) == (b"abc", "close")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", served.port))
    assert not drained.done()
    served.open_gate()
    first, second = busy.answer(), busy.answer()
    assert [first.body, second.body] == [b"1", b"2"]
    assert "connection" not in first.headers
    assert second.headers["connection"] == "close"
    drained.result(10)


async def draining(served: Served) -> None:
    while served.front._server.is_serving():
        await asyncio.sleep(0.001)


def test_draining_closes_connections_that_stay_idle(served: Served) -> None:
    clients = [served.client() for _ in range(3)]
    clients[0].post(FAST, b"a")
    assert clients[0].answer().status == 200
    served.call(served.front.drain(10), 5)
    assert [client.rest() for client in clients] == [b""] * 3


def test_draining_ends_in_time(served: Served, path: str) -> None:
    client = served.client()
    client.post(path, b"1", "X-Do: wait")
    assert served.site.begun.acquire(timeout=10)
    served.call(served.front.drain(0.05))
    served.call(served.front.close())
    assert client.rest() == b""
    assert served.site.cancelled.acquire(timeout=10)


def test_head_and_refusals_of_it(served: Served) -> None:
    client = served.client()
    for _ in range(2):
        client.send(f"HEAD {ASGI} HTTP/1.1\r\nHost: a\r\nX-Do: big5\r\n\r\n".encode())
        answer = client.answer(head=True)
        assert (answer.status, answer.headers["content-length"]) == (200, "5")
    client.send(f"HEAD {ASGI} HTTP/1.1\r\n\r\n".encode())
    assert client.answer(head=True).status == 400
    assert client.rest() == b""
    client = served.client()
    client.send(f"HEAD {ASGI} HTTP/1.1\r\nHost: a\r\nX-Do: fail\r\n\r\n".encode())
    assert client.answer(head=True).status == 500
    assert client.rest() == b""


def test_answers_of_unknown_length(served: Served) -> None:
    client = served.client()
    for do, body in (("stream", b"part0part1part2"), ("echo", b"a"), ("no content", b""), ("echo", b"b")):
        client.post(ASGI, body[:1], f"X-Do: {do}")
        assert client.answer().body == body
    client.send(f"POST {ASGI} HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: 0\r\nX-Do: stream\r\n\r\n".encode())
    answer = client.answer()
    assert (answer.body, answer.headers["connection"]) == (b"part0part1part2", "close")


def test_an_answer_before_the_body_keeps_the_connection(served: Served) -> None:
    client = served.client()
    client.send(request(ASGI, b"x" * 1000, "X-Do: early")[:-500])
    assert client.answer().body == b"early"
    client.send(b"x" * 500 + request(ASGI, b"next"))
    assert client.answer().body == b"next"
    client.send(request(ASGI, b"x" * 1000, "X-Do: early", "Expect: 100-continue")[:-1000])
    answer = client.answer()  # the client will not send the body now, or will
    assert (answer.body, answer.headers["connection"]) == (b"early", "close")
    assert client.rest() == b""


@pytest.mark.parametrize(
    ("do", "found", "words"),
    [
        ("unfinished", b"half", "its answer was left unfinished"),
        ("short", b"internal error", "is not of its Content-Length"),
        ("nothing", b"internal error", ""),
    ],
)
def test_applications_that_fail(
    served: Served, caplog: pytest.LogCaptureFixture, do: str, found: bytes, words: str
) -> None:
    client = served.client()
    client.post(ASGI, b"", f"X-Do: {do}")
    assert found in client.rest()
    assert words in caplog.text


def test_the_scope_is_what_asgi_says(kind: str) -> None:
    seen: dict[str, Any] = {}

    class Recording(Site):
        async def app(self, scope: Any, receive: Any, send: Any) -> None:
            if scope["type"] == "lifespan":
                scope["state"]["shared"] = 1
            else:
                seen.update(scope)
            await super().app(scope, receive, send)

    with serving(kind, app=Recording().app) as served:
        client = served.client()
        client.send(b"POST /a%20b?c=%20d HTTP/1.1\r\nHost: h\r\nX-A: 1\r\nx-a: 2\r\nContent-Length: 0\r\n\r\n")
        assert client.answer().status == 200
        host, port = client.socket.getsockname()
        assert isinstance(seen.pop("extensions")["onnxway"]["request"], Request)
        assert seen == {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": "POST",
            "scheme": "http",
            "path": "/a b",
            "raw_path": b"/a%20b",
            "query_string": b"c=%20d",
            "root_path": "",
            "headers": [(b"host", b"h"), (b"x-a", b"1"), (b"x-a", b"2"), (b"content-length", b"0")],
            "client": (host, port),
            "server": ("127.0.0.1", served.port),
            "state": {"shared": 1},
        }


def test_an_application_that_does_not_start(kind: str) -> None:
    async def refuses(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "lifespan.startup.failed", "message": "no model"})

    async def breaks(scope: Any, receive: Any, send: Any) -> None:
        raise OSError("disk full")

    for app, words in ((refuses, "no model"), (breaks, "disk full")):
        with pytest.raises(OnnxwayError, match=f"did not start: {words}"), serving(kind, app=app):
            pass


def test_an_application_without_a_lifespan(kind: str) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            await Site().app(scope, receive, send)

    with serving(kind, app=app) as served:
        client = served.client()
        client.post(ASGI, b"a")
        assert client.answer().body == b"a"


def test_the_log_is_a_line_of_json_for_each_request(kind: str, capfd: pytest.CaptureFixture[str]) -> None:
    with serving(kind, access_log=True) as served:
        client = served.client()
        for path in (FAST, ASGI + "?%0a{"):
            client.post(path, b"abc")
            client.answer()
        client.post(ASGI, b"abc", "X-Do: wait")
        assert served.site.begun.acquire(timeout=10)
        client.close()
        assert served.site.cancelled.acquire(timeout=10)
        client = served.client()
        client.send(b"nonsense\r\n\r\n")
        assert client.answer().status == 501
    lines = [json.loads(line) for line in capfd.readouterr().err.splitlines()]
    assert [(line["method"], line["target"], line["status"], line["in"], line["out"] > 0) for line in lines] == [
        ("POST", FAST, 200, 3, True),
        ("POST", ASGI + "?%0a{", 200, 3, True),
        ("POST", ASGI, 499, 3, False),
        ("", "", 501, 0, True),
    ]
    assert all(line["client"] == "127.0.0.1" and 0 <= line["ms"] < 10_000 for line in lines)
    assert datetime.datetime.fromisoformat(lines[0]["time"]).tzinfo is not None


def certificate(folder: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Return contexts of a server and its client that trust one fresh key."""
    x509 = pytest.importorskip("cryptography.x509")
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now - datetime.timedelta(1)).not_valid_after(now + datetime.timedelta(1))
    signed = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), False)
    certified = signed.sign(key, hashes.SHA256())
    plain = serialization.NoEncryption()
    secret = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    file = folder / "both.pem"
    file.write_bytes(secret + certified.public_bytes(serialization.Encoding.PEM))
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(file)
    return server, ssl.create_default_context(cafile=str(file))


def test_tls(kind: str, tmp_path: Path) -> None:
    server, context = certificate(tmp_path)
    with serving(kind, Limits(body=2**20), tls=server) as served:
        client = served.client(context)
        for path in (FAST, ASGI):
            body = bytes(range(256)) * 4096
            client.post(path, body)
            assert client.answer().body == body
        client.post(FAST, b"", "X-Do: big5000000")
        assert len(client.answer().body) == 5_000_000
        client.send(f"POST {FAST} HTTP/1.1\r\nHost: a\r\nContent-Length: {2**21}\r\n\r\n".encode())
        assert client.answer().status == 413
        assert client.rest() == b""


def test_bodies_come_back_whole() -> None:
    for pieces in ([], [b"one"], [b"a", b"bc"], [b"%d," % number for number in range(5000)]):
        body = Body()
        for piece in pieces:
            body.add(piece)
        assert body.held == body.total == len(b"".join(pieces))
        assert body.take() == b"".join(pieces)
        assert (body.take(), body.held) == (b"", 0)


def test_the_end_of_a_head_is_made_once_a_second() -> None:
    ends = Ends()
    ends.update(0.2)
    assert ends.keep == b"Date: Thu, 01 Jan 1970 00:00:00 GMT\r\n\r\n"
    same = ends.close
    ends.update(0.9)
    assert ends.close is same
    ends.update(1.0)
    assert b"00:00:01 GMT\r\nConnection: close\r\n\r\n" in ends.close


def test_status_lines() -> None:
    assert status_line(404) == b"HTTP/1.1 404 Not Found\r\n"
    assert status_line(599) == b"HTTP/1.1 599 \r\n"
    assert refusal(503, "x").headers[-1] == ("Retry-After", "1")


def test_clients_at_once_each_get_their_own_answer(served: Served, path: str) -> None:
    wrong: list[bytes] = []

    def work(number: int) -> None:
        client = served.client()
        for turn in range(50):
            body = b"%d of %d" % (turn, number) * (1 + 1000 * (turn % 3))
            client.post(path, body)
            if client.answer().body != body:
                wrong.append(body)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
