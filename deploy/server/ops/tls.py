"""Certificates to what HTTP and gRPC want of them; a new one is taken without a restart."""

import ssl
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from deploy.errors import NotFoundError, UsageError
from deploy.server.ops.watched import Watched

if TYPE_CHECKING:
    import grpc

_KEPT = "the certificate stays as it was"


def server_context(certificate: Path, key: Path | None = None) -> ssl.SSLContext:
    """Return the context for a server: TLS 1.2 or newer, HTTP/1.1.

    certificate    PEM, with the chain that leads to it
    key            PEM, not encrypted; None when it is in the same file

    When the files change, new connections get what is in them; those that are open stay as they are.
    Raises `NotFoundError` and `UsageError`.
    """
    read = partial(_context, certificate, key or certificate)
    newest = Watched([certificate, key or certificate], read, _KEPT)
    context = newest.get()

    def choose(connection: ssl.SSLSocket | ssl.SSLObject, name: str | None, first: ssl.SSLContext) -> None:
        connection.context = newest.get()

    # called in each handshake, before a certificate is chosen, also for clients that name no server
    context.sni_callback = choose
    return context


def grpc_credentials(certificate: Path, key: Path | None = None) -> "grpc.ServerCredentials":
    """Return the same for gRPC."""
    import grpc

    def read() -> tuple[bytes, bytes]:
        _context(certificate, key or certificate)  # knows what is wrong with them
        return (key or certificate).read_bytes(), certificate.read_bytes()

    newest = Watched([certificate, key or certificate], read, f"gRPC: {_KEPT}")
    used = newest.get()

    def fetch() -> "grpc.ServerCertificateConfiguration | None":
        nonlocal used
        if (found := newest.get()) is used:
            return None
        used = found
        return grpc.ssl_server_certificate_configuration([found])

    return grpc.dynamic_ssl_server_credentials(grpc.ssl_server_certificate_configuration([used]), fetch)


def _context(certificate: Path, key: Path) -> ssl.SSLContext:
    for path in (certificate, key):
        if not path.is_file():
            raise NotFoundError(f"{path}: no such file; expected a certificate or key in PEM form")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(certificate, key, password=_no_password)
    except (ssl.SSLError, OSError) as error:
        reason = (getattr(error, "reason", None) or error.strerror or str(error)).lower().replace("_", " ")
        names = f"{certificate} and {key}" if key != certificate else str(certificate)
        raise UsageError(f"{names}: no certificate with its key ({reason}); expected both in PEM form") from None
    return context


def _no_password() -> str:
    """Stop OpenSSL from asking on the terminal."""
    raise UsageError("the key is encrypted; store it without a pass phrase, readable by the server only")
