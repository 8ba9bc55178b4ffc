"""Certificates to what HTTP and gRPC want of them."""

import ssl
from pathlib import Path
from typing import TYPE_CHECKING

from deploy.errors import NotFoundError, UsageError

if TYPE_CHECKING:
    import grpc


def server_context(certificate: Path, key: Path | None = None) -> ssl.SSLContext:
    """Return the context for a server: TLS 1.2 or newer, HTTP/1.1.

    certificate    PEM, with the chain that leads to it
    key            PEM, not encrypted; None when it is in the same file

    Raises `NotFoundError` and `UsageError`.
    """
    for path in (certificate, key or certificate):
        if not path.is_file():
            raise NotFoundError(f"{path}: no such file; expected a certificate or key in PEM form")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(certificate, key or certificate, password=_no_password)
    except (ssl.SSLError, OSError) as error:
        reason = (getattr(error, "reason", None) or error.strerror or str(error)).lower().replace("_", " ")
        names = f"{certificate} and {key}" if key else str(certificate)
        raise UsageError(f"{names}: no certificate with its key ({reason}); expected both in PEM form") from None
    return context


def grpc_credentials(certificate: Path, key: Path | None = None) -> "grpc.ServerCredentials":
    """Return the same for gRPC; what is wrong with the files `server_context` has said."""
    import grpc

    return grpc.ssl_server_credentials([((key or certificate).read_bytes(), certificate.read_bytes())])


def _no_password() -> str:
    """Stop OpenSSL from asking on the terminal."""
    raise UsageError("the key is encrypted; store it without a pass phrase, readable by the server only")
