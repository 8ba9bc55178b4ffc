"""A new certificate is taken without a restart, and a broken one is not."""

import shutil
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("starlette", reason="needs the extra 'serve'")
pytest.importorskip("httptools", reason="needs the extra 'serve'")
pytest.importorskip("cryptography", reason="makes the certificates of these tests")

from deploy.server.ops import watched
from deploy.server.ops.tls import server_context
from deploy.server.options import ServerOptions
from tests.deploy.server.http.kit import FAST, Client, serving
from tests.deploy.server.ops.kit import Running, certificate, running, warm

Pair = tuple[Path, Path]


@pytest.fixture(autouse=True)
def looked_at_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watched, "LOOK_S", 0.0)


@pytest.fixture
def pairs(tmp_path: Path) -> tuple[Pair, Pair, Pair]:
    """What is served, and two others to put there."""
    folders = [tmp_path / name for name in ("served", "second", "third")]
    for folder in folders:
        folder.mkdir()
    served, second, third = map(certificate, folders)
    return served, second, third


def put(source: Pair, target: Pair) -> None:
    """Replace a certificate and its key, one after the other."""
    for new, old in zip(source, target, strict=True):
        made = old.with_suffix(".new")
        shutil.copyfile(new, made)
        made.replace(old)


def shown(port: int, name: str | None = "localhost") -> bytes:
    """Return the certificate that a new connection is shown; without a name, the client names no server."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with (
        socket.create_connection(("127.0.0.1", port), timeout=10) as plain,
        context.wrap_socket(plain, server_hostname=name) as connection,
    ):
        return connection.getpeercert(binary_form=True) or b""


def der(pair: Pair) -> bytes:
    return ssl.PEM_cert_to_DER_cert(pair[0].read_text())


@pytest.mark.parametrize("kind", ["asyncio", "uvloop"])
def test_new_connections_get_the_new_one(
    kind: str, pairs: tuple[Pair, Pair, Pair], caplog: pytest.LogCaptureFixture
) -> None:
    if kind == "uvloop":
        pytest.importorskip("uvloop")
    served, second, third = pairs
    trust = ssl.create_default_context(cafile=str(served[0]))
    with serving(kind, tls=server_context(*served)) as site:
        old = site.client(trust)
        assert shown(site.port) == der(served)
        put(second, served)
        assert shown(site.port) == shown(site.port, None) == der(second)
        shutil.copyfile(third[0], served[0])  # with the key of another one
        assert shown(site.port) == der(second)
        assert "the certificate stays as it was: " in caplog.text
        assert "(key values mismatch)" in caplog.text
        served[0].unlink()
        assert shown(site.port) == der(second)
        assert "no such file" in caplog.text
        put(third, served)
        assert shown(site.port) == der(third)
        old.post(FAST, b"still there")
        assert old.answer().body == b"still there"
        fresh = Client(site.port, ssl.create_default_context(cafile=str(third[0])))
        fresh.post(FAST, b"new")
        assert fresh.answer().body == b"new"
        fresh.close()


@pytest.fixture
def encrypted(colours: Path, pairs: tuple[Pair, Pair, Pair]) -> Iterator[Running]:
    pytest.importorskip("grpc", reason="needs the extra 'grpc'")
    options = ServerOptions(tls_cert=pairs[0][0], tls_key=pairs[0][1], grpc_port=0, access_log=False)
    with running(options, warm(colours)) as found:
        yield found


def test_grpc_too(encrypted: Running, pairs: tuple[Pair, Pair, Pair], caplog: pytest.LogCaptureFixture) -> None:
    served, second, third = pairs
    port = int(encrypted.grpc.rpartition(":")[2])
    first = served[0].read_bytes()
    assert shown(port) == ssl.PEM_cert_to_DER_cert(first.decode())
    put(second, served)
    assert shown(port) == der(second)
    shutil.copyfile(third[0], served[0])
    assert shown(port) == der(second)
    assert "gRPC: the certificate stays as it was: " in caplog.text
    put(third, served)
    assert shown(port) == der(third)
    grpc = pytest.importorskip("tritonclient.grpc", reason="needs tritonclient[grpc]")
    with grpc.InferenceServerClient(f"localhost:{port}", ssl=True, root_certificates=str(third[0])) as client:
        assert client.is_server_live(client_timeout=10)
