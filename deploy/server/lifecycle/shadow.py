"""A version that is asked what another one was asked: nobody gets its answers, and how they differ is counted."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from deploy.arrays import Array
from deploy.predictor import Info, Predictor
from deploy.server.lifecycle.disagreement import Disagreement, compare
from deploy.server.lifecycle.routing import Share

MAX_WAITING = 256
MAX_BYTES = 64 * 2**20
"""Copies of requests, and bytes of them, that wait for a shadow; more are dropped."""

LOG_S = 1.0
_LOOK_S = 0.05

Arrays = Mapping[str, Array]

_log = logging.getLogger(__name__)


@dataclass
class Counts:
    """What became of the copies of requests, since the version was loaded.

    compared, failed, dropped    requests: answered by the shadow, not answered by it, never given to it
    rows, disagreed              rows compared, and those on which it decided differently
    largest                      largest difference by output, in units of the passport's noise
    """

    compared: int = 0
    failed: int = 0
    dropped: int = 0
    rows: int = 0
    disagreed: int = 0
    largest: dict[str, float] = field(default_factory=dict)

    def add(self, found: Disagreement) -> None:
        """Count a request that was compared."""
        self.compared += 1
        self.rows += found.rows
        self.disagreed += found.decided
        for name, apart in found.largest.items():
            self.largest[name] = max(self.largest.get(name, 0.0), apart)


@dataclass(frozen=True)
class _Copy:
    info: Info
    arrays: Arrays
    answers: Arrays

    @property
    def nbytes(self) -> int:
        return sum(array.nbytes for arrays in (self.arrays, self.answers) for array in arrays.values())


class Shadow:
    """Runs copies of a share of requests, one at a time on a thread of its own, while nobody is `busy`.

    Its methods are for the event loop that serves. Copies that come faster than it is idle are dropped.
    """

    def __init__(self, predictor: Predictor, share: Share, busy: Callable[[], bool]) -> None:
        self.predictor = predictor
        self.counts = Counts()
        self._share = share
        self._busy = busy
        self._waiting: deque[_Copy] = deque()
        self._nbytes = 0
        self._running = False
        self._timer: asyncio.TimerHandle | None = None
        self._logged_at = -LOG_S
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="onnxway-shadow")

    def offer(self, info: Info, arrays: Arrays, answers: Arrays) -> None:
        """Take a copy of a request, if it falls into the share, with what `info`'s model answered."""
        loop = asyncio.get_running_loop()
        if self._share.take():
            copy = _Copy(info, arrays, answers)
            if len(self._waiting) >= MAX_WAITING or self._nbytes + copy.nbytes > MAX_BYTES:
                self.counts.dropped += 1
            else:
                self._waiting.append(copy)
                self._nbytes += copy.nbytes
        if self._waiting and not self._running:
            loop.call_soon(self._next)  # the answer goes out first

    def exchange(self, predictor: Predictor) -> None:
        """Ask another version from now on, and count anew; the old one is closed when it is done."""
        old, self.predictor = self.predictor, predictor
        self.counts = Counts()
        self._thread.submit(old.close)

    def snapshot(self) -> dict[str, Any]:
        """Return name, version and digest of the shadow, its share, and all counts."""
        info, counts = self.predictor.info, self.counts
        return {
            "name": info.name,
            "version": info.version,
            "digest": info.digest,
            "share": self._share.weight,
            "waiting": len(self._waiting),
            **vars(counts),
            "largest": dict(counts.largest),
        }

    def close(self) -> None:
        """Forget what waits and release the model; what runs ends first."""
        self._waiting.clear()
        self._thread.shutdown()
        self.predictor.close()

    def _next(self) -> None:
        if self._running or not self._waiting:
            return
        if self._busy():
            self._look_again()
            return
        copy = self._waiting.popleft()
        self._nbytes -= copy.nbytes
        self._running = True
        counts = self.counts
        task = asyncio.get_running_loop().run_in_executor(self._thread, _ask, self.predictor, copy)
        task.add_done_callback(lambda done: self._done(done, counts))

    def _look_again(self) -> None:
        """Requests that end call `offer`; the timer is for the last one, if it was not answered."""
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_LOOK_S, self._timed)

    def _timed(self) -> None:
        self._timer = None
        self._next()

    def _done(self, done: "asyncio.Future[Disagreement]", counts: Counts) -> None:
        self._running = False
        if done.cancelled():
            return
        error = done.exception()
        if error is None:
            counts.add(done.result())
        else:
            counts.failed += 1
        if error is not None or done.result().decided:
            self._say(error)
        self._next()

    def _say(self, error: BaseException | None) -> None:
        """Log the counts, at most once a second."""
        now = asyncio.get_running_loop().time()
        if now - self._logged_at < LOG_S:
            return
        self._logged_at = now
        info, counts = self.predictor.info, self.counts
        _log.warning(
            "shadow %s %s: decided otherwise in %d of %d rows; %d requests failed, %d dropped%s",
            *(info.name, info.version, counts.disagreed, counts.rows, counts.failed, counts.dropped),
            f"; last error: {error}" if error is not None else "",
        )


def _ask(predictor: Predictor, copy: _Copy) -> Disagreement:
    return compare(copy.info, copy.answers, predictor.info, predictor.infer(copy.arrays))
