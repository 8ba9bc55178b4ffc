"""The models that are served, by name and version."""

import re
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Protocol, Self

from deploy.accounts import Passage
from deploy.arrays import Array
from deploy.errors import InputError, NotFoundError, UsageError
from deploy.predictor import Predictor
from deploy.schema import closest
from deploy.server.lifecycle.routing import Share, choose
from deploy.server.statistics import Statistics

if TYPE_CHECKING:
    from deploy.batcher import Batcher

Run = Callable[[Mapping[str, Array]], Awaitable[Mapping[str, Array]]]
"""Checked input tensors to output tensors, at once and without deadlines."""


class Scheduled(Protocol):
    """Checked input tensors to output tensors by way of a queue, as `Batcher.run` does it."""

    def __call__(
        self,
        arrays: Mapping[str, Array],
        deadline: float | None = None,
        priority: int = 0,
        passage: Passage | None = None,
    ) -> Awaitable[Mapping[str, Array]]:
        """Return the outputs; `deadline` is in seconds from now, priority 1 is the highest, 0 the default."""


_NAME = re.compile(r"[A-Za-z0-9._-]+")


class Served:
    """One version of a model, the way its batches run (a batcher is the predictor's own), and what it has done.

    share      of the requests that name no version, for a canary; None for a version that stands on its own
    release    does what it is given, the closing of the model, where it keeps nobody waiting
    """

    def __init__(
        self,
        predictor: Predictor,
        run: "Run | Batcher",
        *,
        share: Share | None = None,
        release: Callable[[Callable[[], None]], object] | None = None,
    ) -> None:
        self.predictor = predictor
        self.share = share
        self.statistics = Statistics()
        self.run: Scheduled = _without_deadlines(run) if callable(run) else run.run
        self.batcher = None if callable(run) else run
        self._release = release or (lambda close: close())
        self._active = 0
        self._retired = False

    def __enter__(self) -> Self:
        """Keep the model open within the block, though it be retired meanwhile."""
        self._active += 1
        return self

    def __exit__(self, *_: object) -> None:
        self._active -= 1
        if self._retired:
            self._close_if_done()

    @property
    def active(self) -> int:
        """Return how many requests it has now."""
        return self._active

    def retire(self) -> None:
        """Close the model as soon as nobody uses it."""
        self._retired = True
        self._close_if_done()

    def _close_if_done(self) -> None:
        if self._retired and not self._active:
            self._release(self.predictor.close)

    def stats(self) -> dict[str, Any]:
        """Return what the model has done since it was loaded, as the protocol's statistics extension has it."""
        info = self.predictor.info
        return self.statistics.to_dict(info.name, info.version, self.batcher.stats if self.batcher else None)


class Models:
    """Models by name and version; without a version, the newest answers that is no canary."""

    def __init__(self) -> None:
        self._models: dict[str, dict[str, Served]] = {}
        self._default: dict[str, Served] = {}
        self._canaries: dict[str, list[Served]] = {}

    def __len__(self) -> int:
        return len(self._models)

    def __contains__(self, name: object) -> bool:
        return name in self._models

    def __iter__(self) -> Iterator[Served]:
        """Walk all models by name, the versions of each from the oldest up."""
        for _, versions in sorted(self._models.items()):
            yield from versions.values()

    def add(self, served: Served, *, replace: bool = False, instead_of: Served | None = None) -> None:
        """Serve a model; `replace` retires the one that has its name and version, which is else a `UsageError`.

        instead_of    retire this one, whatever version it is: no request finds neither of them, or both
        """
        name, version = served.predictor.info.name, served.predictor.info.version
        for what, value in (("model name", name), ("model version", version)):
            if not _NAME.fullmatch(value):
                raise UsageError(f"{what} {value!r}: expected letters, digits, '.', '_' and '-' only")
        versions = {other: there for other, there in self._models.get(name, {}).items() if there is not instead_of}
        old = versions.get(version)
        if old is not None and not replace:
            raise UsageError(
                f"model {name!r} version {version!r} is there twice; serve it once, or package one under another name"
            )
        shares = sum(one.share.weight for one in (served, *versions.values()) if one is not old and one.share)
        if shares > 1 + 1e-9:  # 0.9 + 0.1 may be a little more
            raise UsageError(f"model {name!r}: its canaries would get {shares:g} of its requests, expected 1 at most")
        # a new dictionary, so that whoever walks the old one is not disturbed
        self._set(name, dict(sorted((versions | {version: served}).items(), key=lambda item: _age(item[0]))))
        for gone in (old, instead_of):
            if gone is not None:
                gone.retire()

    def remove(self, name: str, only: Served | None = None) -> None:
        """Stop serving all versions of a model, or one; requests that have begun are answered."""
        versions = self._models.get(name, {})
        gone = {version: there for version, there in versions.items() if only in (None, there)}
        self._set(name, {version: there for version, there in versions.items() if version not in gone})
        for served in gone.values():
            served.retire()

    def _set(self, name: str, versions: dict[str, Served]) -> None:
        for table in (self._models, self._default, self._canaries):
            table.pop(name, None)
        if versions:
            self._models[name] = versions
            alone = [served for served in versions.values() if served.share is None]
            self._default[name] = (alone or list(versions.values()))[-1]
            if canaries := [served for served in versions.values() if served.share is not None]:
                self._canaries[name] = canaries

    def get(self, name: str | None = None, version: str | None = None) -> Served:
        """Return a model, by default its newest version but canaries; without a name, the only one. `NotFoundError`."""
        if name is None:
            if len(self._models) != 1:
                raise InputError(f"several models are served; name one: /v2/models/NAME/predict ({self._names()})")
            name = next(iter(self._models))
        versions = self._models.get(name)
        if versions is None:
            raise NotFoundError(f"model {name[:100]!r}: not served here; {closest(name[:100], self._models)}")
        if not version:
            return self._default[name]
        if version not in versions:
            raise NotFoundError(
                f"model {name!r}: no version {version[:100]!r} here; choose from: {', '.join(versions)}"
            )
        return versions[version]

    def route(self, name: str | None = None, version: str | None = None) -> Served:
        """Return who is to answer a request: as `get` has it, but canaries take their shares where none is named."""
        served = self.get(name, version)
        if version or not self._canaries:
            return served
        canaries = {there.share: there for there in self._canaries.get(served.predictor.info.name, ()) if there.share}
        chosen = choose(list(canaries))
        return canaries[chosen] if chosen else served

    def versions(self, name: str) -> list[str]:
        """Return the versions of a model, the oldest first."""
        return list(self._models.get(name, ()))

    def _names(self) -> str:
        return ", ".join(sorted(self._models)) or "none yet"


def _age(version: str) -> list[tuple[int, int, str]]:
    """Return a key that puts versions in order: 2 before 10, 1.9 before 1.10, 2.0rc1 before 2.0 before 2.0.1."""
    parts = re.split(r"[._-]|(?<=\d)(?=[a-z])|(?<=[a-z])(?=\d)", version)
    end = (0, 1, "")  # after a word in its place, before a number
    return [*((1, int(part), "") if part.isdecimal() else (0, 0, part) for part in parts), end]


def _without_deadlines(run: Run) -> Scheduled:
    async def scheduled(
        arrays: Mapping[str, Array],
        deadline: float | None = None,
        priority: int = 0,
        passage: Passage | None = None,
    ) -> Mapping[str, Array]:
        return await run(arrays)

    return scheduled
