"""Addresses: taken before anything is served, and as clients write them."""

import os
import socket

from deploy.errors import OnnxwayError, UsageError

BACKLOG = 2048
"""Connections that the kernel holds for the server before it takes them."""


def listen(host: str, port: int, option: str = "--port", *, shared: bool = False) -> socket.socket:
    """Return a socket that listens; port 0 takes a free one. `OnnxwayError` when the address cannot be had.

    shared    other processes of this user may listen there too; the kernel gives each its part of the connections
    """
    if not 0 <= port <= 65535:
        raise UsageError(f"port {port}: expected 0 to 65535")
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=BACKLOG, reuse_port=shared)
    except OSError as error:
        # create_server puts more into strerror than the reason; a host that does not resolve has its own numbers
        reason = error.strerror if isinstance(error, socket.gaierror) else os.strerror(error.errno or 0).lower()
        words = f"{host}:{port}: cannot listen there ({reason}); choose another port ({option} 0 takes a free one)"
        raise OnnxwayError(words) from None


def url(listener: socket.socket, encrypted: bool) -> str:
    """Return the address of a listening socket as a URL without a path."""
    host, port = listener.getsockname()[:2]
    scheme = "https" if encrypted else "http"
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"
