"""Errors of the stages; messages and exit codes as in `deploy.errors`.

OnnxwayError
  DataError       data that is missing, damaged or too small, with the file and what to do
  TrainingError   a device that does not work, a loss that is not finite
  ExportError     a graph that is not what was asked for (opset, free sizes, outputs)
  VerifyError     verification that could not be made at all (a failing verdict is a result, not an error)
"""

from deploy.errors import OnnxwayError


class DataError(OnnxwayError):
    """Data that is missing, damaged or too small."""


class TrainingError(OnnxwayError):
    """A device that does not work, or a loss that is not finite."""


class ExportError(OnnxwayError):
    """A graph that is not what was asked for."""


class VerifyError(OnnxwayError):
    """Verification that could not be made at all; a failing verdict is a result, not an error."""
