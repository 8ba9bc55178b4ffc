"""HTTP/1.1 as clients speak it, on both paths of the front and on both event loops."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

import pytest

pytest.importorskip("httptools", reason="needs the extra 'serve'")

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deploy.server.http.limits import Limits
from tests.deploy.server.http.kit import ASGI, FAST, Client, Served, chunked, request, serving

BODY = 2**20


@pytest.fixture(scope="module")
def served(loop: str) -> Iterator[Served]:
    with serving(loop, Limits(body=BODY, pipelined=32)) as found:
        yield found


def test_keep_alive(client: Client, path: str) -> None:
    for body in (b"one", b"", b"three"):
        client.post(path, body)
        answer = client.answer()
        assert (answer.status, answer.body) == (200, body)
        assert "connection" not in answer.headers
        age = datetime.now(UTC) - parsedate_to_datetime(answer.headers["date"])
        assert timedelta(seconds=-1) < age < timedelta(seconds=4)


@pytest.mark.parametrize("header", ["Connection: close", "connection: CLOSE", "Connection: foo, close"])
def test_connection_close(client: Client, path: str, header: str) -> None:
    client.post(path, b"a", header)
    answer = client.answer()
    assert (answer.status, answer.headers["connection"]) == (200, "close")
    assert client.rest() == b""


def test_http_1_0(served: Served, path: str) -> None:
    client = served.client()
    client.send(f"POST {path} HTTP/1.0\r\nContent-Length: 1\r\n\r\na".encode())
    assert client.answer().headers["connection"] == "close"
    assert client.rest() == b""
    client = served.client()
    for _ in range(2):
        client.send(f"POST {path} HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\na".encode())
        assert client.answer().headers["connection"] == "keep-alive"


def test_pipelined_answers_come_in_order(client: Client, path: str) -> None:
    bodies = [b"%d" % number for number in range(30)]
    client.send(b"".join(request(path, body) for body in bodies))
    assert [client.answer().body for _ in bodies] == bodies


def test_a_known_head_goes_with_the_body_behind_it(client: Client, path: str) -> None:
    head = request(path, b"abc")[:-3]
    for body in (b"abc", b"xyz", b"\r\n\r"):
        client.send(head + body)
        assert client.answer().body == body
    client.send(head + b"one" + head + b"two")
    assert [client.answer().body for _ in range(2)] == [b"one", b"two"]
    client.send(head)
    client.send(b"a")
    client.send(b"bc" + head + b"de")  # a known head in the middle of a piece, and half a body
    client.send(b"f")
    assert [client.answer().body for _ in range(2)] == [b"abc", b"def"]


def test_pipelined_behind_a_slow_one_on_either_path(served: Served, client: Client, path: str) -> None:
    other = FAST if path == ASGI else ASGI
    client.send(request(path, b"1", "X-Do: wait") + request(other, b"2") + b"GET / HTTP/1.1\r\n\r\n")
    assert served.site.begun.acquire(timeout=10)
    served.open_gate()
    assert [client.answer().body for _ in range(2)] == [b"1", b"2"]
    answer = client.answer()
    assert (answer.status, answer.headers["connection"]) == (400, "close")
    served.loop.call_soon_threadsafe(served.site.gate.clear)


def test_too_many_pipelined_are_left_to_be_sent_again(client: Client, path: str) -> None:
    client.send(b"".join(request(path, b"%d" % number) for number in range(100)))
    answers = []
    while not answers or "connection" not in answers[-1].headers:
        answers.append(client.answer())
    assert [answer.body for answer in answers] == [b"%d" % number for number in range(len(answers))]
    assert 32 <= len(answers) < 100
    assert client.rest() == b""


STREAM = [
    (request("{path}", b"plain"), b"plain"),
    (request("{path}"), b""),
    (chunked("{path}", b"a", b"bc" * 20), b"a" + b"bc" * 20),
    (chunked("{path}"), b""),
    (request("{path}", b"x" * 3000, "A: b"), b"x" * 3000),
    (b"\r\n" + request("{path}", b"after an empty line"), b"after an empty line"),
]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(picked=st.lists(st.sampled_from(STREAM), min_size=1, max_size=4), cuts=st.lists(st.floats(0, 1), max_size=12))
def test_how_the_bytes_are_cut_changes_nothing(
    served: Served, path: str, picked: list[tuple[bytes, bytes]], cuts: list[float]
) -> None:
    stream = b"".join(sent for sent, _ in picked).replace(b"{path}", path.encode())
    client = served.client()
    begin = 0
    for end in [*sorted(round(cut * len(stream)) for cut in cuts), len(stream)]:
        client.send(stream[begin:end])
        begin = end
    assert [client.answer().body for _ in picked] == [body for _, body in picked]
    client.close()


def test_one_byte_at_a_time(client: Client, path: str) -> None:
    for byte in request(path, b"abc") + chunked(path, b"de", b"f"):
        client.send(bytes([byte]))
    assert [client.answer().body for _ in range(2)] == [b"abc", b"def"]


def test_chunk_extensions_and_trailers_are_passed_over(client: Client, path: str) -> None:
    head = f"POST {path} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n".encode()
    client.send(head + b"3;name=value\r\nabc\r\n0\r\nX-Trailer: 7\r\nX-Do: fail\r\n\r\n" + request(path, b"next"))
    assert [client.answer().body for _ in range(2)] == [b"abc", b"next"]


def test_100_continue(client: Client, path: str) -> None:
    client.send(request(path, b"abc", "Expect: 100-Continue")[:-3])
    assert client.answer().status == 100
    client.send(b"abc")
    answer = client.answer()
    assert (answer.status, answer.body) == (200, b"abc")
    assert "connection" not in answer.headers


def test_100_continue_is_not_said_when_the_body_is_there(client: Client, path: str) -> None:
    client.post(path, b"abc", "Expect: 100-continue")
    assert client.answer().status in (100, 200)  # it may, if the body came later than the head


def test_100_continue_is_unknown_to_http_1_0(client: Client, path: str) -> None:
    client.send(f"POST {path} HTTP/1.0\r\nContent-Length: 1\r\nExpect: 100-continue\r\n\r\n".encode())
    client.send(b"a")
    assert client.answer().body == b"a"


def test_100_continue_waits_for_its_turn(served: Served, client: Client, path: str) -> None:
    client.send(request(path, b"1", "X-Do: wait") + request(path, b"abc", "Expect: 100-continue")[:-3])
    assert served.site.begun.acquire(timeout=10)
    served.open_gate()
    assert client.answer().body == b"1"
    assert client.answer().status == 100
    client.send(b"abc")
    assert client.answer().body == b"abc"
    served.loop.call_soon_threadsafe(served.site.gate.clear)


@pytest.mark.parametrize("header", ["Expect: 100-continue", "A: b"])
def test_a_body_stated_too_large_is_refused_at_once(client: Client, path: str, header: str) -> None:
    client.send(f"POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {BODY + 1}\r\n{header}\r\n\r\n".encode())
    answer = client.answer()
    assert (answer.status, answer.headers["connection"]) == (413, "close")
    assert json.loads(answer.body) == {
        "error": f"the body is over {BODY} bytes, which is the limit; send a smaller one"
    }
    assert client.rest() == b""


def test_a_client_in_the_midst_of_a_large_body_reads_why_it_is_refused(served: Served, path: str) -> None:
    client = served.client()
    client.send(f"POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {2**23}\r\n\r\n".encode())
    client.send(bytes(2**23))  # all of it goes: what is dropped is read
    assert client.answer().status == 413


def test_a_chunked_body_is_counted_as_it_grows(client: Client, path: str) -> None:
    client.send(chunked(path, *[bytes(2**16)] * (BODY // 2**16 + 1))[:-5])
    assert client.answer().status == 413
    assert client.rest() == b""


def test_the_largest_body_is_taken(client: Client, path: str) -> None:
    body = bytes(range(256)) * (BODY // 256)
    client.post(path, body)
    assert client.answer().body == body
    client.send(chunked(path, body[: BODY // 2], body[BODY // 2 :]))
    assert client.answer().body == body


def test_tiny_chunks_are_taken(client: Client, path: str) -> None:
    client.send(chunked(path, *[b"x"] * 5000))
    assert client.answer().body == b"x" * 5000


@pytest.mark.parametrize(
    ("target", "handled"),
    [
        ("/v2/models/m/infer", "m None"),
        ("/v2/models/m/versions/3/infer", "m 3"),
        ("/v2/models/%6D/infer?a=b", "m None"),
        ("http://elsewhere:80/v2/models/m/infer?x", "m None"),
        ("/v2/models/a%2Fb/infer", "/v2/models/a/b/infer"),
        ("/v2/models//infer", "/v2/models//infer"),
        ("/v2/models/../infer", ".. None"),
        ("/v2/models/m/infer/", "/v2/models/m/infer/"),
        ("//v2/models/m/infer", "//v2/models/m/infer"),
        ("/%C3%A4%00%0a", "/ä\0\n"),
        ("/%ff", "/�"),
        ("http://elsewhere", "/"),
        ("/a?b=%20", "/a"),
    ],
)
def test_paths(served: Served, client: Client, target: str, handled: str) -> None:
    client.send(f"POST {target} HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nX-Do: big3\r\n\r\n".encode())
    if "\n" in handled:  # the application puts it into a header, which is refused
        assert client.answer().status == 500
    else:
        assert client.answer().status == 200
    assert served.site.handled[-1] == handled


def test_an_inference_path_is_only_that_for_post(served: Served, client: Client) -> None:
    client.send(f"GET {FAST} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
    assert client.answer().headers["x-path"] == FAST


def test_declined_upgrades_are_answered_as_they_are(client: Client, path: str) -> None:
    offer = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABk")
    client.send(request(path, b"abc", *offer) + request(path, b"next"))
    assert [client.answer().body for _ in range(2)] == [b"abc", b"next"]
    for byte in chunked(path, b"a", b"b", headers=offer) + request(path, b"", *offer) + request(path, b"last"):
        client.send(bytes([byte]))
    assert [client.answer().body for _ in range(3)] == [b"ab", b"", b"last"]


def test_repeated_headers_reach_both_paths(client: Client, path: str) -> None:
    client.post(path, b"x", "X-Do: big3", "X-Other: 1", "X-Other: 2")
    assert client.answer().body == b"xxx"


def test_large_answers(client: Client, path: str) -> None:
    for size in (100_000, 20_000_000):
        client.post(path, b"", f"X-Do: big{size}")
        assert client.answer().body == b"x" * size
