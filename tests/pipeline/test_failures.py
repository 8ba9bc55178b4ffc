"""Failures in one line: what no command test reaches."""

import errno

import pytest

from deploy.errors import UsageError
from pipeline.failures import explain


@pytest.mark.parametrize(
    ("error", "line", "code"),
    [
        (UsageError("a\nb"), "a b", 2),
        (RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)"), "disk full; ", 1),
        (RuntimeError("CUDA out of memory. Tried to allocate 20 GiB"), "out of memory (CUDA out of memory", 1),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), "out of memory (", 1),
        (OSError(errno.EDQUOT, "Disk quota exceeded", "/x"), "disk full: /x; ", 1),
        (OSError(errno.EIO, "Input/output error", "/x"), "Input/output error: /x; ", 1),
        (OSError("no number"), "no number; ", 1),
        (ValueError("out of memory"), "unexpected ValueError: ", 1),
    ],
)
def test_explain(error: Exception, line: str, code: int) -> None:
    found, exit_code = explain(error)
    assert found.startswith(line)
    assert "\n" not in found
    assert exit_code == code
