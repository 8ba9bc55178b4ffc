"""Every failure as one line for a person, and an exit code: 2 for wrong usage, 1 for the rest."""

import errno

from deploy.errors import OnnxwayError

_DISK_FULL = (errno.ENOSPC, errno.EDQUOT)
_NOT_WRITABLE = (errno.EACCES, errno.EPERM, errno.EROFS)
_DISK_FULL_WORDS = ("no space left on device", "disk is full", "disk full")
_MEMORY_WORDS = ("out of memory", "can't allocate memory", "cannot allocate memory", "bad allocation", "bad_alloc")


class InterruptedStageError(OnnxwayError):
    """Ctrl-C or SIGTERM in a stage."""


def explain(error: BaseException) -> tuple[str, int]:
    """Return the line and the exit code for an exception that ended a command."""
    if isinstance(error, OnnxwayError):
        return _one_line(str(error)), error.exit_code
    if isinstance(error, KeyboardInterrupt):
        return "interrupted; nothing half-written is left, run the same command again", 1
    text = _one_line(str(error))
    if _is(error, _DISK_FULL, _DISK_FULL_WORDS):
        return f"disk full{_where(error)}; free some space (see: pipeline doctor) and run the same command again", 1
    if _is_memory(error):
        return (
            f"out of memory ({text or type(error).__name__}); take smaller batches (--set train.batch_size=32), "
            "or another device (--device cpu)",
            1,
        )
    if isinstance(error, OSError):
        return _explain_os(error), 1
    return f"unexpected {type(error).__name__}: {text}; run again with pipeline --debug for the traceback", 1


def _explain_os(error: OSError) -> str:
    if error.errno in _NOT_WRITABLE:
        reason = "read-only" if error.errno == errno.EROFS else "permission denied"
        return f"{reason}{_where(error)}; choose a folder that you may use (--runs or --data-root), or mend its rights"
    reason = error.strerror or _one_line(str(error)) or type(error).__name__
    return f"{reason}{_where(error)}; run again with pipeline --debug for the traceback"


def _where(error: BaseException) -> str:
    name = getattr(error, "filename", None)
    return f": {name}" if name else ""


def _is(error: BaseException, codes: tuple[int, ...], words: tuple[str, ...]) -> bool:
    """Tell by error number, or by words: SafeTensors and SQLite pass a full disk on as text only."""
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno in codes
    text = str(error).lower()
    return any(word in text for word in words)


def _is_memory(error: BaseException) -> bool:
    if isinstance(error, MemoryError):
        return True
    return isinstance(error, RuntimeError | OSError) and _is(error, (errno.ENOMEM,), _MEMORY_WORDS)


def _one_line(text: str) -> str:
    return " ".join(text.split())
