"""A server as its options make it, on an event loop in a thread, and certificates for it."""

import asyncio
import contextlib
import datetime
import ipaddress
import json
import ssl
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from deploy import Predictor
from deploy.server.assembly import Addressed, assemble
from deploy.server.dataplane import DataPlane
from deploy.server.options import ServerOptions
from deploy.server.sockets import listen, url

WAIT_S = 30
TOKEN = "token-" + "t" * 32
KEY = "key-" + "k" * 32


@dataclass
class Running:
    """Where it answers, and the loop that it runs on."""

    url: str = ""
    where: list[str] = field(default_factory=list)
    loop: asyncio.AbstractEventLoop | None = None
    dataplane: DataPlane | None = None

    @property
    def admin(self) -> str:
        return next(words.removeprefix("admin on ") for words in self.where if words.startswith("admin"))

    @property
    def grpc(self) -> str:
        return next(words.removeprefix("gRPC on ") for words in self.where if words.startswith("gRPC"))


@contextlib.contextmanager
def running(options: ServerOptions, dataplane: DataPlane) -> Iterator[Running]:
    """Serve on free ports until the block ends."""
    found, ready, ended = Running(dataplane=dataplane), threading.Event(), asyncio.Event()
    options = replace(options, port=0, access_log=options.access_log)

    async def serve() -> None:
        with listen(options.host, options.port) as listener:
            front, companions = assemble(dataplane, options)
            await front.start(listener)
            for companion in companions:
                await companion.start()
            found.url = url(listener, options.tls_cert is not None)
            found.where = [companion.where for companion in companions if isinstance(companion, Addressed)]
            found.loop = asyncio.get_running_loop()
            ready.set()
            await ended.wait()
            await asyncio.gather(front.drain(1), *(companion.stop(1) for companion in companions))
            await front.close()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    assert ready.wait(WAIT_S)
    try:
        yield found
    finally:
        assert found.loop is not None
        found.loop.call_soon_threadsafe(ended.set)
        thread.join(WAIT_S)


def warm(folder: Path, **options: Any) -> DataPlane:
    """Return a data plane with one model that is served through a batcher."""
    dataplane = DataPlane(workers=2, scheduler=Predictor.warm_up, **options)
    dataplane.add(Predictor.load(folder, threads=1))
    return dataplane


@dataclass(frozen=True)
class Reply:
    status: int
    headers: Any
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def ask(
    address: str,
    body: bytes | None = None,
    *,
    method: str | None = None,
    tls: ssl.SSLContext | None = None,
    **headers: str,
) -> Reply:
    """Ask once; underscores in the names of headers stand for hyphens."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    question = urllib.request.Request(address, body, named, method=method)
    try:
        with urllib.request.urlopen(question, timeout=WAIT_S, context=tls) as answer:
            return Reply(answer.status, answer.headers, answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return Reply(error.code, error.headers, error.read())


def tensor_body(rows: int = 1) -> bytes:
    """Return an inference request for the model of these tests."""
    tensor = {"name": "image", "datatype": "UINT8", "shape": [rows, 4, 4, 3], "data": [0] * (48 * rows)}
    return json.dumps({"inputs": [tensor]}).encode()


def certificate(folder: Path) -> tuple[Path, Path]:
    """Write a certificate for localhost, signed by itself, and its key."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    cert, secret = folder / "cert.pem", folder / "key.pem"
    cert.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    secret.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return cert, secret
