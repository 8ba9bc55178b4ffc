"""Clients that lie, stall, leave or want too much: each path answers the same, and nothing is left behind."""

import json
import resource
import socket
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytest.importorskip("httptools", reason="needs the extra 'serve'")

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deploy.errors import UsageError
from deploy.server.http.limits import Limits
from tests.deploy.server.http.kit import ASGI, FAST, Client, Served, chunked, request, serving

SHORT = Limits(body=2**20, head_s=0.2, body_s=0.2, body_rate=1e6, idle_s=0.2, write_s=0.2, linger_s=0.1)


@pytest.fixture(scope="module")
def served(loop: str) -> Iterator[Served]:
    with serving(loop, Limits(body=2**20, connections=50, buffered=3 * 2**20)) as found:
        yield found


@pytest.fixture(scope="module")
def hasty(loop: str) -> Iterator[Served]:
    """A front that waits for nobody."""
    with serving(loop, SHORT) as found:
        yield found


START = "POST {} HTTP/1.1\r\nHost: a\r\n"
FAULTS = {
    "length and coding": (START + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
    "coding and length": (START + "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n", 400),
    "two lengths": (START + "Content-Length: 1\r\nContent-Length: 2\r\n\r\nab", 400),
    "one length twice": (START + "Content-Length: 1\r\nContent-Length: 1\r\n\r\na", 400),
    "list of lengths": (START + "Content-Length: 1, 1\r\n\r\na", 400),
    "signed length": (START + "Content-Length: +1\r\n\r\na", 400),
    "negative length": (START + "Content-Length: -1\r\n\r\na", 400),
    "length of 2^64": (START + "Content-Length: 18446744073709551616\r\n\r\n", 400),
    "length of 2^63": (START + "Content-Length: 9223372036854775808\r\n\r\n", 413),
    "no length's value": (START + "Content-Length: \r\n\r\n", 400),
    "coding twice": (START + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
    "chunked not last": (START + "Transfer-Encoding: chunked, gzip\r\n\r\n", 400),
    "gzip, chunked": (START + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501),
    "unknown coding": (START + "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 501),
    "coding in 1.0": ("POST {} HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    "space before colon": (START + "Transfer-Encoding : chunked\r\n\r\n", 400),
    "folded header": (START + "A: b\r\n c\r\nContent-Length: 0\r\n\r\n", 400),
    "folded first header": ("POST {} HTTP/1.1\r\n Host: a\r\nContent-Length: 0\r\n\r\n", 400),
    "NUL in a value": (START + "A: b\0c\r\nContent-Length: 0\r\n\r\n", 400),
    "NUL in a name": (START + "A\0: b\r\nContent-Length: 0\r\n\r\n", 400),
    "bare CR": (START + "A: b\rContent-Length: 5\r\n\r\n", 400),
    "bare LF": ("POST {} HTTP/1.1\nHost: a\nContent-Length: 0\n\n", 400),
    "no name": (START + ": b\r\n\r\n", 400),
    "no colon": (START + "ab\r\n\r\n", 400),
    "no host": ("POST {} HTTP/1.1\r\nContent-Length: 0\r\n\r\n", 400),
    "two hosts": (START + "Host: b\r\nContent-Length: 0\r\n\r\n", 400),
    "chunk size no number": (START + "Transfer-Encoding: chunked\r\n\r\nxyz\r\nabc\r\n", 400),
    "chunk size 0x3": (START + "Transfer-Encoding: chunked\r\n\r\n0x3\r\nabc\r\n0\r\n\r\n", 400),
    "chunk size negative": (START + "Transfer-Encoding: chunked\r\n\r\n-3\r\nabc\r\n0\r\n\r\n", 400),
    "chunk size 2^64": (START + "Transfer-Encoding: chunked\r\n\r\n10000000000000000\r\n", 400),
    "chunk too long": (START + "Transfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n", 400),
    "chunk after a good one": (START + "Transfer-Encoding: chunked\r\n\r\n1\r\na\r\nq\r\n", 400),
    "chunks by LF": (START + "Transfer-Encoding: chunked\r\n\r\n3\nabc\n0\n\n", 400),
    "HTTP/0.9": ("GET {}\r\n\r\n", 505),
    "HTTP/2": ("POST {} HTTP/2.0\r\nHost: a\r\n\r\n", 505),
    "HTTP/1.2": ("POST {} HTTP/1.2\r\nHost: a\r\n\r\n", 400),
    "preface of HTTP/2": ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    "TLS": ("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 501),
    "no method": ("/ HTTP/1.1\r\nHost: a\r\n\r\n", 501),
    "unknown method": ("BREW {} HTTP/1.1\r\nHost: a\r\n\r\n", 501),
    "lower case method": ("post {} HTTP/1.1\r\nHost: a\r\n\r\n", 501),
    "proxy": ("CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n", 501),
    "target *": ("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "target of another scheme": ("POST ftp://a/b HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "fragment": ("POST {}#a HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", 400),
    "space in the target": ("POST {} b HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "NUL in the target": ("POST {}\0 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "bytes over 127 in the target": ("POST {}\xff HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "expectation": (START + "Expect: wonders\r\nContent-Length: 1\r\n\r\n", 417),
    "long target": ("POST {}?" + "a" * 9000 + " HTTP/1.1\r\nHost: a\r\n\r\n", 414),
    "many headers": (START + "" + "A: b\r\n" * 101 + "\r\n", 431),
    "large header": (START + "A: " + "b" * 33_000 + "\r\n\r\n", 431),
    "endless header": (START + "A: " + "b" * 2_000_000, 431),
    "endless target": ("POST {}" + "a" * 2_000_000, 431),
    "endless trailer": (
        START + "Transfer-Encoding: chunked\r\n\r\n0\r\nA: " + "b" * 2_000_000, 400
    ),
    "endless chunk extension": (
        START + "Transfer-Encoding: chunked\r\n\r\n1;" + "b" * 2_000_000, 400
    ),
}  # fmt: skip


@pytest.mark.parametrize(("sent", "status"), FAULTS.values(), ids=FAULTS.keys())
def test_faults_are_refused_and_what_follows_is_not_run(
    served: Served, client: Client, path: str, sent: str, status: int
) -> None:
    handled = len(served.site.handled)
    smuggled = request("/smuggled", b"")
    client.send(request(path, b"before") + sent.replace("{}", path).encode("latin-1") + smuggled)
    assert client.answer().body == b"before"
    answer = client.answer()
    assert (answer.status, answer.headers["connection"]) == (status, "close"), answer
    assert set(json.loads(answer.body)) == {"error"}
    assert client.rest() == b""
    assert "/smuggled" not in served.site.handled[handled:]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    changes=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 4), st.binary(max_size=6)), min_size=1, max_size=5),
    framing=st.sampled_from([request, chunked]),
)
def test_damaged_requests_harm_nobody_else(
    served: Served, path: str, changes: list[tuple[float, int, bytes]], framing: Callable[..., bytes]
) -> None:
    sent = framing(path, b"abc") + framing(path, b"def")
    for where, cut, inserted in changes:
        at = round(where * len(sent))
        sent = sent[:at] + inserted + sent[at + cut :]
    damaged, sound = served.client(), served.client()
    damaged.send(sent)
    sound.post(path, b"sound")
    assert sound.answer().body == b"sound"
    damaged.close()
    sound.close()


def test_half_a_body_then_gone(served: Served, path: str) -> None:
    for sent in (request(path, b"abc")[:-1], chunked(path, b"abc")[:-2], request(path)[:-2], b"POST"):
        client = served.client()
        client.send(sent)
        client.socket.shutdown(socket.SHUT_WR)
        assert client.rest() == b""


def test_a_client_that_leaves_cancels_what_is_run_for_it(served: Served, path: str) -> None:
    for reset in (False, True):
        client = served.client()
        client.post(path, b"x" * 1000, "X-Do: wait")
        assert served.site.begun.acquire(timeout=10)
        client.send(request(path, b"and another"))
        if reset:
            client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
        assert served.site.cancelled.acquire(timeout=10)


def test_a_request_found_bad_while_it_is_run_is_cancelled_and_refused(served: Served) -> None:
    client = served.client()
    client.send(chunked(ASGI, b"abc")[:-5])
    client.send(b"nonsense\r\n")
    assert client.answer().status == 400
    client = served.client()
    client.send(chunked(ASGI, b"abc", headers=("X-Do: early",))[:-5])
    assert client.answer().body == b"early"
    client.send(b"nonsense\r\n")  # its answer is out: nothing is left but to close
    assert client.rest() == b""


def test_handlers_that_fail(client: Client, path: str, caplog: pytest.LogCaptureFixture) -> None:
    for do in ("fail", "forge"):
        client.post(path, b"a", f"X-Do: {do}")
        answer = client.answer()
        assert answer.status == 500
        assert json.loads(answer.body) == {"error": "internal error; the server's log has the cause"}
        assert "x-forged" not in answer.headers
        if path == FAST:
            client.post(path, b"still there")
            assert client.answer().body == b"still there"
        else:
            assert client.rest() == b""
            break
    assert "secret" in caplog.text


def test_bodies_of_all_connections_are_bounded_together(served: Served, path: str) -> None:
    large = request(path, bytes(2**20))[:-1]
    clients = [served.client() for _ in range(4)]
    for client in clients[:3]:
        client.send(large)
    served.call(holds(served, 3 * 2**20 - 3))
    clients[3].send(large)
    answer = clients[3].answer()
    assert (answer.status, answer.headers["retry-after"]) == (503, "1")
    for client in clients[:3]:
        client.send(b"\0")
        assert client.answer().status == 200
    for client in clients:
        client.close()


async def holds(served: Served, size: int) -> None:
    import asyncio

    while served.front.buffered < size:
        await asyncio.sleep(0.001)


def test_one_connection_too_many_is_closed(served: Served) -> None:
    served.settled()
    served.clients.clear()
    clients = [served.client() for _ in range(50)]
    clients[0].post(FAST, b"a")
    assert clients[0].answer().status == 200
    assert served.client().rest() == b""
    clients[49].post(ASGI, b"a")
    assert clients[49].answer().status == 200
    served.settled()
    served.clients.clear()


def test_slow_heads_and_bodies(hasty: Served, path: str) -> None:
    for sent in (b"P", request(path)[:-2], request(path, b"abc")[:-1], chunked(path, b"abc")[:-2]):
        client = hasty.client()
        client.send(request(path, b"a") + sent)
        assert client.answer().status == 200
        answer = client.answer()
        assert (answer.status, answer.headers["connection"]) == (408, "close")


def test_a_dripping_client_is_not_waited_for(hasty: Served, path: str) -> None:
    client = hasty.client()
    began = time.monotonic()
    with pytest.raises(OSError, match=r"reset|[Bb]roken"):  # noqa: PT012
        client.send(request(path, b"x" * 1000)[:-1000])
        while time.monotonic() < began + 5:
            client.send(b"x")
            time.sleep(0.01)
    assert time.monotonic() < began + 3


def test_idle_connections_are_closed_without_a_word(hasty: Served, path: str) -> None:
    fresh, used = hasty.client(), hasty.client()
    used.post(path, b"a")
    assert used.answer().status == 200
    assert fresh.rest() == used.rest() == b""


def test_a_request_that_takes_long_is_not_idle(hasty: Served, path: str) -> None:
    client = hasty.client()
    client.post(path, b"a", "X-Do: wait")
    assert hasty.site.begun.acquire(timeout=10)
    time.sleep(0.5)
    hasty.open_gate()
    assert client.answer().body == b"a"
    hasty.loop.call_soon_threadsafe(hasty.site.gate.clear)


def test_who_does_not_take_the_answer_is_given_up(hasty: Served, path: str) -> None:
    client = hasty.client()
    client.post(path, b"", "X-Do: big50000000")
    assert client.socket.recv(1) == b"H"
    hasty.call(gone(hasty))
    assert len(client.rest()) < 50_000_000


async def gone(served: Served) -> None:
    import asyncio

    while served.front.connections:
        await asyncio.sleep(0.001)


def test_who_takes_the_answer_slowly_gets_it(hasty: Served, path: str) -> None:
    client = hasty.client()
    client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2**16)
    client.post(path, b"", "X-Do: big8000000", "Connection: close")
    size, began = 0, time.monotonic()
    while data := client.socket.recv(2**17):
        size += len(data)
        time.sleep(0.01)
    assert size > 8_000_000
    assert time.monotonic() > began + 2 * SHORT.write_s


def test_waiting_requests_stop_the_reading(served: Served, path: str) -> None:
    client = served.client()
    client.socket.settimeout(0.3)
    client.post(path, b"", "X-Do: wait")
    assert served.site.begun.acquire(timeout=10)
    sent = 0
    with pytest.raises(TimeoutError):  # noqa: PT012
        while sent < 2**26:
            client.send(request(path, bytes(2**19)))
            sent += 2**19
    assert served.front.buffered < 2 * 2**20
    client.close()  # not noticed before reading goes on
    served.open_gate()
    served.call(gone(served))
    served.loop.call_soon_threadsafe(served.site.gate.clear)


def test_many_idle_connections_cost_little(served: Served) -> None:
    count = 2000
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 3 * count:
        pytest.skip(f"at most {hard} descriptors here")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 3 * count), hard))
    kind = "uvloop" if "uvloop" in type(served.loop).__module__ else "asyncio"
    with serving(kind, Limits(connections=count + 10)) as large:
        before = memory()
        for number in range(count):
            client = large.client()
            if number % 2:
                client.post(FAST, b"a")
                client.answer()
        assert len(large.front.connections) == count
        assert (memory() - before) / count < 12_000  # bytes, the client's end included
        client.post(ASGI, b"a")
        assert client.answer().status == 200


def memory() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def test_limits_are_above_zero() -> None:
    with pytest.raises(UsageError, match="limit head_s: got 0, expected a number above 0"):
        Limits(head_s=0)
    assert Limits().tick_s == 0.25
