"""Extensions of Triton's that its clients may ask for and that are not spoken here, with what to do instead."""

from deploy.errors import UnsupportedError

_INSTEAD = {
    "shared memory": "is not used here; send and take tensors as bytes",
    "tracing": "is set up by OpenTelemetry's variables when the server is started",
    "logging": "is set by --log-level, or on the admin port by PUT /log-level",
}


def declined(what: str, where: str = "") -> UnsupportedError:
    """Return the error for an extension: shared memory, tracing or logging; `where` it was asked for."""
    return UnsupportedError(f"{where}{what} {_INSTEAD[what]}")
