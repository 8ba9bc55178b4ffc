"""What is served from where: loaded at the start, and swapped when what lies there changes.

All of it happens on one thread: look, load with all checks, warm up. Then the event loop switches between two requests:
those that have begun end on the old version, the next one gets the new. What does not pass is refused with one line in
the log, and the old version goes on; it is tried again only when its files have changed.

Nothing that is served is read from disk again: its files may be replaced or removed at any time.
"""

import asyncio
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from deploy.errors import OnnxwayError, UsageError
from deploy.predictor import Info, Predictor
from deploy.server.dataplane import DataPlane
from deploy.server.lifecycle.interface import require_fit
from deploy.server.lifecycle.routing import Share
from deploy.server.lifecycle.shadow import Shadow
from deploy.server.lifecycle.watch import Found, Source, look, shelf
from deploy.server.models import Served

if TYPE_CHECKING:
    from deploy.batcher import Batcher
    from deploy.server.ops.exposition import Page, Sample

Load = Callable[[Path], Predictor]

MIN_WATCH_S = 0.05
CANARY = "canary"

_log = logging.getLogger(__name__)


class Place:
    """One bundle that is served, and where it lies.

    source    of the bundle
    share     of a model's requests that its canary or shadow gets; none for a model that stands on its own
    shadow    it answers nobody
    """

    def __init__(self, source: Source, *, share: Share | None = None, shadow: bool = False) -> None:
        self.source = source
        self.share = share
        self.is_shadow = shadow
        self.info: Info | None = None
        self.shadow: Shadow | None = None
        self.state: Hashable = None
        self.said = ""
        self.missing = 0

    @property
    def role(self) -> str:
        """What the model is there for, in a word."""
        return "shadow" if self.is_shadow else "model" if self.share is None else CANARY


class Lifecycle:
    """Loads what is to be served, and follows it; a companion of the HTTP front, which answers meanwhile.

    load         makes a predictor of a folder, with all checks; `load_shadow` one for a shadow
    places       what must be there at the start: the first one that does not pass is an error
    repository   a folder of bundles: what passes is served, now and, if it is watched, when it comes or changes
    watch_s      seconds between two looks; none: what was loaded at the start is served to the end
    """

    def __init__(
        self,
        dataplane: DataPlane,
        load: Load,
        places: Sequence[Place],
        *,
        load_shadow: Load | None = None,
        repository: Path | None = None,
        watch_s: float | None = None,
    ) -> None:
        self._dataplane = dataplane
        if watch_s is not None and not MIN_WATCH_S <= watch_s < threading.TIMEOUT_MAX:
            raise UsageError(f"watch {watch_s}: expected seconds between two looks, {MIN_WATCH_S} at least")
        self._load = load
        self._load_shadow = load_shadow or load
        self._places = sorted(places, key=lambda place: place.share is not None)  # what others stand beside comes first
        self._repository = repository
        self._shelf: dict[Path, Place] = {}
        self._watch_s = watch_s
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._work, name="onnxway-lifecycle", daemon=True)
        self._loop: asyncio.AbstractEventLoop
        self._loaded: asyncio.Future[None]
        self._ended: asyncio.Event
        self._swaps: Counter[tuple[str, str, str]] = Counter()
        dataplane.loading = True
        dataplane.pages.append(self._show)

    async def start(self) -> None:
        """Load everything; the first error of a place that must be there."""
        self._loop = asyncio.get_running_loop()
        self._loaded, self._ended = self._loop.create_future(), asyncio.Event()
        self._thread.start()
        await self._loaded

    async def stop(self, grace: float) -> None:
        """Follow nothing any more; a version that is being loaded is dropped, when that is possible."""
        self._stopping.set()
        if self._thread.is_alive():
            with suppress(TimeoutError):
                await asyncio.wait_for(self._ended.wait(), grace)

    # On the thread

    def _work(self) -> None:
        try:
            self._start()
        except BaseException as error:  # whatever it is, `start` raises it
            self._tell(self._finish_loading, error)
        else:
            self._tell(self._finish_loading, None)
            while self._watch_s is not None and not self._stopping.wait(self._watch_s):
                self._look_at_all()
        self._tell(self._ended.set)

    def _start(self) -> None:
        for place in self._places:
            if self._stopping.is_set():
                return
            found = look(place.source)
            place.state = found.state
            self._fill(place, found)
        if self._watch_s is not None:
            self._look_at_repository()

    def _look_at_all(self) -> None:
        for place in self._places:
            self._look(place)
        self._look_at_repository()

    def _look_at_repository(self) -> None:
        there = shelf(self._repository) if self._repository else None
        if there is None:
            return
        for path in there:
            self._look(self._shelf.setdefault(path, Place(path)))
        for path in [path for path in self._shelf if path not in there]:
            place = self._shelf[path]
            place.missing += 1
            if place.missing > 1:  # a folder that is being replaced is away for a moment
                del self._shelf[path]
                self._on_loop(partial(self._remove, place))

    def _look(self, place: Place) -> None:
        """Swap what is served from a place, if something else lies there now and passes."""
        if self._stopping.is_set():
            return
        place.missing = 0
        found = None
        began = time.monotonic()
        try:
            found = look(place.source)
            if found.state == place.state:
                return
            digest, place.state = found.digest(), found.state
            if place.info is not None and digest == place.info.digest:
                return
            old = place.info
            self._fill(place, found)
        except Exception as error:  # whatever it is, what is served stays
            self._refuse(place, found, error)
        else:
            place.said = ""
            self._count(place, "succeeded")
            _log.info("%s", _swapped(place, old, found, time.monotonic() - began))

    def _fill(self, place: Place, found: Found) -> None:
        """Load what lies at a place with all checks, warm it up, and let the event loop switch to it."""
        predictor = (self._load_shadow if place.is_shadow else self._load)(found.folder)
        if place.role == CANARY:
            predictor.info = _as_canary(predictor.info)
        try:
            for old in self._beside(place, predictor.info):
                require_fit(predictor.info, old)
            run = None if place.is_shadow else self._dataplane.schedule(predictor)
            self._on_loop(partial(self._put, place, predictor, run))
        except BaseException:
            predictor.close()
            raise
        place.info = predictor.info

    def _beside(self, place: Place, new: Info) -> Iterator[Info]:
        """Yield the versions whose clients will meet the new one."""
        if place.info is not None:
            yield place.info
        elif place.share is not None:
            if new.name not in self._dataplane.models:
                raise UsageError(
                    f"{place.role} of model {new.name!r}: no such model is served; name its bundle before the options"
                )
            yield self._dataplane.models.get(new.name).predictor.info

    def _refuse(self, place: Place, found: Found | None, error: Exception) -> None:
        """Say why, once, unless the files were still being written: then the next look has another try."""
        if self._stopping.is_set():
            return
        if found is not None:
            with suppress(OnnxwayError):
                if look(place.source).state != found.state:
                    return
            self._count(place, "refused")
        words = " ".join(str(error).split()) if isinstance(error, OnnxwayError) else repr(error)
        if words != place.said:
            place.said = words
            goes_on = f"{_title(place.info)} goes on" if place.info else "nothing is served from there"
            _log.warning("%s refused, %s: %s", place.role, goes_on, words)

    def _count(self, place: Place, outcome: str) -> None:
        self._swaps[place.info.name if place.info else "", place.role, outcome] += 1

    # On the event loop

    def _show(self, page: "Page") -> None:
        """Write how often something else was found, and served or refused."""
        samples: list[Sample] = [
            ({"model": model, "role": role, "outcome": outcome}, count)
            for (model, role, outcome), count in sorted(self._swaps.copy().items())
        ]
        page.add("onnxway_swaps_total", "counter", "Versions that came while others were served.", samples)

    def _on_loop(self, action: Callable[[], None]) -> None:
        """Do something between two requests, and wait for it; raises what it raises."""
        done: Future[None] = Future()

        def act() -> None:
            try:
                action()
            except Exception as error:  # belongs to the thread, which waits for it
                done.set_exception(error)
            else:
                done.set_result(None)

        self._loop.call_soon_threadsafe(act)
        done.result()

    def _tell(self, call: Callable[..., None], *arguments: object) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody listens any more
            self._loop.call_soon_threadsafe(call, *arguments)

    def _finish_loading(self, error: BaseException | None) -> None:
        if self._loaded.done():
            return
        if error is not None:
            self._loaded.set_exception(error)
        else:
            self._dataplane.loading = False
            self._loaded.set_result(None)

    def _put(self, place: Place, predictor: Predictor, run: "Batcher | None") -> None:
        if self._stopping.is_set():
            raise OnnxwayError("the server is shutting down; nothing is swapped any more")
        if not place.is_shadow:
            self._dataplane.add(predictor, run, instead_of=self._served(place), share=place.share)
        elif place.shadow is None:
            assert place.share is not None
            place.shadow = self._dataplane.shadow(predictor, place.share)
        else:
            place.shadow.exchange(predictor)

    def _remove(self, place: Place) -> None:
        served = self._served(place)
        if served is not None:
            _log.info("%s is gone, and is served no more", _title(served.predictor.info))
            self._dataplane.models.remove(served.predictor.info.name, served)

    def _served(self, place: Place) -> Served | None:
        """Return what is served from a place, if a client has not had it unloaded meanwhile."""
        for served in self._dataplane.models if place.info else ():
            there = served.predictor.info
            if place.info and (there.name, there.version, there.digest) == _identity(place.info):
                return served
        return None


def _identity(info: Info) -> tuple[str, str, str]:
    return info.name, info.version, info.digest


def _as_canary(info: Info) -> Info:
    """Return a canary's name tag: the bundle may be promoted while it is one, and then both are served."""
    return replace(info, version=f"{info.version}-{info.digest[:8]}")


def _title(info: Info) -> str:
    return f"{info.name} {info.version} ({info.digest[:12]})"


def _swapped(place: Place, old: Info | None, found: Found, seconds: float) -> str:
    assert place.info is not None
    instead = f" in the place of {old.version} ({old.digest[:12]})" if old else ""
    return f"{place.role} {_title(place.info)} serves{instead}, {seconds:.1f} s after it was found in {found.folder}"
