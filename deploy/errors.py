"""Every error that a user or a client is meant to read, with its exit code and its HTTP status.

    OnnxwayError            1   500   anything below; the message is one line: what, where, what to do next
      UsageError            2   400   a name, a key or an option that does not exist or does not fit
      InputError            1   400   a payload or a tensor that the model does not take
        TooLargeError       1   413   a payload over a stated limit
        MediaTypeError      1   415   a Content-Type or Content-Encoding that is not taken here
      ForbiddenError        1   403   what is not done here, whoever asks
      NotFoundError         1   404   a model, a version, a file or a run that is not there
      UnsupportedError      1   501   a part of a protocol that this server does not speak
      NotReadyError         1   503   the server has not finished loading, or is draining
        OverloadedError     1   503   a queue is full, or would be too slow; `retry_after_s` says when to come back
      DeadlineError         1   504   the deadline of a request has passed, or cannot be met
      BundleError           1   500   a bundle that is damaged, unverified or from a newer schema
      ProviderError         1   500   an execution provider that was asked for and is not really used

The stages add their own below `OnnxwayError` (`stages/errors.py`). Whoever shows an error to a person prints
`str(error)` alone and exits with `error.exit_code`; the server answers `error.status` and `{"error": str(error)}`.
"""


class OnnxwayError(Exception):
    """Base of all errors with a message made for the reader."""

    exit_code = 1
    status = 500


class UsageError(OnnxwayError):
    """A name, a key or an option that does not exist or does not fit."""

    exit_code = 2
    status = 400


class InputError(OnnxwayError):
    """A payload or a tensor that the model does not take."""

    status = 400


class TooLargeError(InputError):
    """A payload over a stated limit."""

    status = 413


class MediaTypeError(InputError):
    """A Content-Type or Content-Encoding that is not taken here."""

    status = 415


class ForbiddenError(OnnxwayError):
    """What is not done here, whoever asks."""

    status = 403


class NotFoundError(OnnxwayError):
    """A model, a version, a file or a run that is not there."""

    status = 404


class UnsupportedError(OnnxwayError):
    """A part of a protocol that this server does not speak."""

    status = 501


class NotReadyError(OnnxwayError):
    """The server has not finished loading, or is draining."""

    status = 503


class OverloadedError(NotReadyError):
    """A queue is full, or too long for the deadline of a request; `retry_after_s` says when to come back."""

    def __init__(self, message: str, retry_after_s: float) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class DeadlineError(OnnxwayError):
    """The deadline of a request has passed, or is sooner than the model can answer."""

    status = 504


class BundleError(OnnxwayError):
    """A bundle that is damaged, unverified or written by a newer schema."""


class ProviderError(OnnxwayError):
    """An execution provider that was asked for and is not really used."""
