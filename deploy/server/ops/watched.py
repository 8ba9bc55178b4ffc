"""Files that say how to serve, read again when they change."""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Generic, TypeVar

from deploy.errors import OnnxwayError

LOOK_S = 1.0
"""How often files are looked at for changes."""

T = TypeVar("T")

_log = logging.getLogger(__name__)


class Watched(Generic[T]):
    """What was read from files; any thread may ask, and whoever asks first after a change has it read again.

    Files that are gone or wrong later change nothing, with a warning in the log.

    read     reads all of them; raises `OnnxwayError`, also here
    kept     what the warning says of what was read before
    """

    def __init__(
        self, paths: Sequence[Path], read: Callable[[], T], kept: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._paths = paths
        self._read = read
        self._kept = kept
        self._clock = clock
        self._lock = threading.Lock()
        self._look_at = clock() + LOOK_S
        self._seen = self._stamps()
        self._value = read()

    def get(self) -> T:
        """Return what they said when they were last right."""
        if self._clock() >= self._look_at:
            with self._lock:
                self._look()
        return self._value

    def _look(self) -> None:
        if self._clock() < self._look_at:
            return
        self._look_at = self._clock() + LOOK_S
        stamps = self._stamps()
        if stamps == self._seen:
            return
        try:
            value = self._read()
        except OnnxwayError as error:
            _log.warning("%s: %s", self._kept, error)
        else:
            if self._stamps() != stamps:
                return  # they were being written: the next look has another try
            self._value = value
            _log.info("%s: read again", ", ".join(map(str, self._paths)))
        self._seen = stamps

    def _stamps(self) -> list[tuple[int, int, int] | None]:
        return [_stamp(path) for path in self._paths]


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
