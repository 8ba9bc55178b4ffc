import contextlib
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("starlette", reason="needs the extra 'serve'")
pytest.importorskip("httptools", reason="needs the extra 'serve'")
pytest.importorskip("cryptography", reason="makes the certificates of these tests")

from cryptography.hazmat.primitives import serialization

from deploy.errors import NotFoundError, OnnxwayError, UsageError
from deploy.server.ops.tls import server_context
from deploy.server.options import ServerOptions
from tests.deploy.server.ops.kit import TOKEN, Running, ask, certificate, running, tensor_body, warm


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def trust(pair: tuple[Path, Path]) -> ssl.SSLContext:
    """What a client holds that trusts the certificate."""
    return ssl.create_default_context(cafile=str(pair[0]))


@pytest.fixture(scope="module")
def encrypted(colours: Path, pair: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    pytest.importorskip("grpc", reason="needs the extra 'grpc'")
    token = tmp_path_factory.mktemp("token") / "token"
    token.write_text(TOKEN)
    options = ServerOptions(
        tls_cert=pair[0], tls_key=pair[1], grpc_port=0, admin_port=0, admin_token_file=token, access_log=False
    )
    with running(options, warm(colours)) as found:
        yield found


def test_all_ports_speak_it(encrypted: Running, trust: ssl.SSLContext, pair: tuple[Path, Path]) -> None:
    assert encrypted.url.startswith("https://")
    assert ask(f"{encrypted.url}/v2/models/colours/infer", tensor_body(), tls=trust).status == 200
    assert ask(f"{encrypted.admin}/log-level", tls=trust, Authorization=f"Bearer {TOKEN}").status == 200
    client_module = pytest.importorskip("tritonclient.grpc", reason="needs tritonclient[grpc]")
    tensor = client_module.InferInput("image", [1, 4, 4, 3], "UINT8")
    tensor.set_data_from_numpy(np.zeros((1, 4, 4, 3), np.uint8))
    host = encrypted.grpc.replace("127.0.0.1", "localhost")
    with client_module.InferenceServerClient(host, ssl=True, root_certificates=str(pair[0])) as client:
        assert client.infer("colours", [tensor]).as_numpy("class_index").shape == (1,)
    with (
        client_module.InferenceServerClient(encrypted.grpc) as client,
        pytest.raises(client_module.InferenceServerException),
    ):
        client.is_server_live(client_timeout=5)


@pytest.mark.parametrize(
    ("versions", "spoken"),
    [
        (ssl.TLSVersion.TLSv1_3, "TLSv1.3"),
        (ssl.TLSVersion.TLSv1_2, "TLSv1.2"),
        (ssl.TLSVersion.TLSv1_1, None),
    ],
)
@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1 is deprecated:DeprecationWarning")
def test_only_1_2_and_newer(
    encrypted: Running, pair: tuple[Path, Path], versions: ssl.TLSVersion, spoken: str | None
) -> None:
    context = ssl.create_default_context(cafile=str(pair[0]))
    context.set_ciphers("ALL:@SECLEVEL=0")  # else the client itself would decline the old ones
    context.minimum_version = context.maximum_version = versions
    address = ("127.0.0.1", int(encrypted.url.rpartition(":")[2]))
    with socket.create_connection(address, timeout=10) as plain:
        if spoken is None:
            with pytest.raises(ssl.SSLError):
                context.wrap_socket(plain, server_hostname="localhost")
        else:
            with context.wrap_socket(plain, server_hostname="localhost") as connection:
                assert connection.version() == spoken


def test_plain_http_on_its_port_is_no_way_in(encrypted: Running) -> None:
    address = ("127.0.0.1", int(encrypted.url.rpartition(":")[2]))
    with socket.create_connection(address, timeout=10) as plain:
        plain.sendall(b"GET /v2 HTTP/1.1\r\nHost: x\r\n\r\n")
        with contextlib.suppress(ConnectionResetError):
            assert b"HTTP" not in plain.recv(1000)


def test_both_in_one_file(pair: tuple[Path, Path], tmp_path: Path) -> None:
    both = tmp_path / "both.pem"
    both.write_bytes(pair[1].read_bytes() + pair[0].read_bytes())
    context = server_context(both)
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    with pytest.raises(UsageError, match="no certificate with its key"):
        server_context(pair[0])


def test_wrong_files_are_told(pair: tuple[Path, Path], tmp_path: Path) -> None:
    other = certificate(tmp_path)
    with pytest.raises(UsageError, match=r"no certificate with its key \(key values mismatch\)"):
        server_context(pair[0], other[1])
    (tmp_path / "words.pem").write_text("words")
    with pytest.raises(UsageError, match="no certificate with its key"):
        server_context(tmp_path / "words.pem", pair[1])
    with pytest.raises(NotFoundError, match="no such file"):
        server_context(tmp_path / "none.pem", pair[1])
    with pytest.raises(NotFoundError, match="no such file"):
        server_context(pair[0], tmp_path / "none.pem")


def test_an_encrypted_key_is_told_and_nobody_is_asked(pair: tuple[Path, Path], tmp_path: Path) -> None:
    key = serialization.load_pem_private_key(pair[1].read_bytes(), None)
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8)
    (tmp_path / "key.pem").write_bytes(key.private_bytes(*form, serialization.BestAvailableEncryption(b"phrase")))
    with pytest.raises(OnnxwayError, match="the key is encrypted"):
        server_context(pair[0], tmp_path / "key.pem")
