"""A bundle on disk to typed answers."""

import os
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from deploy import bundle, expiry, files, samples
from deploy.arrays import Array
from deploy.bundle import Bundle, Signature, TensorSpec
from deploy.errors import BundleError, InputError, OnnxwayError, UsageError
from deploy.inputs import MAX_PIXELS, InputKind, input_kind
from deploy.outputs import OutputKind, Result, output_kind
from deploy.passport import Check, Passport
from deploy.providers import Provider, Session, Threads, open_session
from deploy.rows import fixed_batch, freed

if TYPE_CHECKING:
    from concurrent.futures import Future

    from deploy.batcher import Batcher
    from deploy.warmup import Serving

Arrays = dict[str, Array]

MAX_ROWS = 32
MAX_BYTES = 64 * 2**20
"""`predict_many` sends at most so many rows, and so many bytes of input, to one run."""


@dataclass(frozen=True)
class Info:
    """What a predictor serves, and on what."""

    name: str
    version: str
    variant: str
    digest: str
    provider: Provider
    provider_options: dict[str, str]
    threads: int
    nodes: dict[str, int]
    input: Signature
    output: Signature
    labels: tuple[str, ...]
    passport: Passport
    replayed: tuple[Check, ...]


class Predictor:
    """A verified model, ready to answer. Make one with `Predictor.load`.

    Threads may share it. Processes may not: neither a session nor its threads survive `fork`, so load in each process
    (start them with `spawn`); in a forked child every call is an error that says so, and the parent goes on as before.
    `close` it, or use it as a context manager, to release the memory.

    `predict`, `predict_many` and `infer` run at once, on the caller's thread; `submit` hands over to lanes that merge
    what many callers ask for into batches.
    """

    def __init__(
        self,
        source: Bundle,
        session: Session,
        variant: str,
        replayed: tuple[Check, ...] = (),
        *,
        threads: Threads = "auto",
        max_pixels: int = MAX_PIXELS,
    ) -> None:
        manifest = source.manifest
        self._source = source
        self._threads = threads
        self._batcher: Batcher | None = None
        self._warming = threading.Lock()
        self._session: Session | None = session
        self._process = os.getpid()
        taken, answered = tensors_of(source)
        self._input: InputKind = input_kind(taken)
        self._input.max_pixels = max_pixels
        self._output: OutputKind = output_kind(answered)
        self.info = Info(
            name=manifest.name,
            version=manifest.version,
            variant=variant,
            digest=source.digest,
            provider=session.provider,
            provider_options=session.options,
            threads=session.threads,
            nodes=session.placement.counts,
            input=taken,
            output=answered,
            labels=manifest.output.labels,
            passport=source.variant(variant).passport,
            replayed=replayed,
        )

    @classmethod
    def load(
        cls,
        folder: Path | str,
        provider: Provider = "cpu",
        *,
        variant: str = "fp32",
        provider_options: Mapping[str, object] | None = None,
        threads: Threads = "auto",
        replay: bool = True,
        unverified: bool = False,
        trusted_key: Path | str | None = None,
        max_pixels: int = MAX_PIXELS,
    ) -> Self:
        """Load a bundle (or the bundle of a run folder), check it, and open it strictly on `provider`.

        provider            cpu or cuda; an error, never another provider, when it is not really used
        provider_options    over the defaults of `deploy.cuda`
        threads             within one run; "auto": the cores that this process may use (affinity, cgroup), and after
                            `warm_up` what was found to serve best
        replay              run the golden samples and compare; only where the bundle was certified may one go without
        unverified          take a model without a passing passport, or one that does not hold here, with a warning
        trusted_key         public key (PEM): take only a bundle that was signed with its private half
        max_pixels          that a picture may have, by its header

        Raises `NotFoundError`, `BundleError`, `ProviderError` or `UsageError`, each with what to do next.
        """
        source = _load(find_bundle(folder), trusted_key, unverified=unverified)
        passport = source.variant(variant).passport
        if unverified and not passport:
            _warn(source, "loaded without a passing passport; its answers are not verified")
        if not replay and not unverified:
            _require_named(source, variant, provider)
        golden = samples.load(source.folder / bundle.SAMPLES) if replay else ()
        session = open_session(
            verified_bytes(source, variant),
            provider,
            provider_options,
            threads=threads,
            warmup=golden[0].inputs if golden else None,
        )
        require_tensors(source, session)
        _require_certified(source, variant, session, replay=replay, unverified=unverified)
        replayed = samples.replay(session.run, golden, passport) if golden else ()
        return cls(source, session, variant, replayed, threads=threads, max_pixels=max_pixels)

    def predict(self, payload: object) -> Any:
        """Return the result for one payload, or a list of results for a batch array.

        For images: a path, the bytes of a file, a PIL image or a uint8 array, (H, W) or (H, W, C); a uint8 array
        (N, H, W, C) is a batch. For tensors: arrays by input name, or the array of the only input; with the batch axis
        a batch, without it a single row.
        """
        results = self._answer(self._input.arrays(payload))
        return results if self._input.is_batch(payload) else results[0]

    def predict_many(self, payloads: Iterable[object]) -> list[Any]:
        """Return one result for each payload, in their order.

        Payloads of equal shape share a run; what is held at a time is bounded. The first bad one is an `InputError`
        with its number.
        """
        results: dict[int, Result] = {}
        waiting: dict[tuple[Any, ...], list[tuple[int, Arrays]]] = {}
        held = 0
        for number, payload in enumerate(payloads):
            arrays = self._single(number, payload)
            size = sum(array.nbytes for array in arrays.values())
            if held + size > MAX_BYTES:
                self._flush(waiting, results)
                held = 0
            held += size
            shapes = tuple((name, array.shape) for name, array in arrays.items())
            group = waiting.setdefault(shapes, [])
            group.append((number, arrays))
            if len(group) == MAX_ROWS:
                held -= size * MAX_ROWS
                self._flush({shapes: waiting.pop(shapes)}, results)
        self._flush(waiting, results)
        return [results[number] for number in range(len(results))]

    def infer(self, arrays: Mapping[str, Array]) -> Arrays:
        """Return the raw output tensors for input tensors by name, after checking these."""
        self._input.check(arrays)
        return self._open().run(arrays)

    def submit(self, payload: object, deadline: float | None = None, priority: int = 0) -> "Future[Any]":
        """Return a future of what `predict` returns; many callers' payloads share batches. Warms up if nobody has.

        deadline    seconds from now by which the answer is of use; what cannot meet it is refused
        priority    1 is the highest, 0 the default

        Raises `InputError` at once, and `OverloadedError` when the queue is too long; `DeadlineError` may come later,
        from the future. Cancelling the future takes the job out of the queue.
        """
        from deploy.batcher import then  # here, because only serving needs it

        arrays = self._input.arrays(payload)
        self._input.check(arrays)
        batch = self._input.is_batch(payload)
        answer = self.batcher.submit(arrays, deadline, priority)
        return then(answer, lambda outputs: self.results(outputs) if batch else self.results(outputs)[0])

    def warm_up(self, serving: "Serving | None" = None) -> "Batcher":
        """Measure the model, choose lanes and batch sizes, and return the batcher that `submit` uses; once.

        Takes from 0.1 s for a small network to some seconds. One session remains, the one that serves best, and also
        answers `infer` from then on. `BundleError` when a session opened here does not pass the golden samples.
        """
        from deploy import warmup  # here, because only serving needs it

        with self._warming:
            if self._batcher is None:
                auto = self._threads in ("auto", None)
                parts = warmup.parts(self._source, self.info.variant, self._open(), self._reopen, auto=auto)
                self._session, self._batcher = warmup.warm_up(parts, serving or warmup.Serving())
                self.info = replace(self.info, threads=self._session.threads)
            elif serving is not None:
                raise UsageError(f"predictor {self.info.name!r} is warm already; give `serving` to the first warm_up")
            return self._batcher

    @property
    def batcher(self) -> "Batcher":
        """Return the batcher that serves this model, for event loops: `await predictor.batcher.run(arrays)`."""
        return self._batcher or self.warm_up()

    def check(self, arrays: Mapping[str, Array]) -> int:
        """Return the number of rows of input tensors that the model takes; `InputError` for others."""
        return self._input.check(arrays)

    def arrays(self, payload: object) -> Arrays:
        """Return the input tensors of a payload, as `predict` makes them."""
        return self._input.arrays(payload)

    def results(self, arrays: Mapping[str, Array]) -> list[Any]:
        """Return one typed result for each row of output tensors, as `predict` makes them."""
        return list(self._output.read(arrays))

    def close(self) -> None:
        """Finish what was submitted and release the session; runs that have begun end normally."""
        batcher, self._batcher = self._batcher, None
        self._session = None
        if batcher is not None and os.getpid() == self._process:
            batcher.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _open(self) -> Session:
        session = self._session
        if session is None:
            raise OnnxwayError(f"predictor {self.info.name!r} is closed; load it again: Predictor.load")
        if os.getpid() != self._process:
            raise OnnxwayError(
                f"predictor {self.info.name!r} was loaded before this process was forked; load it in each process, "
                "and start processes with spawn"
            )
        return session

    def _reopen(self, name: str, threads: int) -> Session:
        options = self.info.provider_options
        return open_session(verified_file(self._source, name), self.info.provider, options, threads=threads)

    def _answer(self, arrays: Mapping[str, Array]) -> list[Any]:
        return self.results(self.infer(arrays))

    def _single(self, number: int, payload: object) -> Arrays:
        if self._input.is_batch(payload):
            raise InputError(f"payload {number}: is a batch, expected a single payload; give batches to predict")
        try:
            arrays = self._input.arrays(payload)
            self._input.check(arrays)
        except InputError as error:
            raise type(error)(f"payload {number}: {error}") from None
        return arrays

    def _flush(self, waiting: dict[tuple[Any, ...], list[tuple[int, Arrays]]], results: dict[int, Result]) -> None:
        for group in waiting.values():
            names = group[0][1]
            merged = {name: np.concatenate([arrays[name] for _, arrays in group]) for name in names}
            for (number, _), result in zip(group, self._answer(merged), strict=True):
                results[number] = result
        waiting.clear()


def find_bundle(reference: Path | str) -> Path:
    """Return the bundle's folder for a bundle or for a run folder that holds one; a registry reference is explained."""
    text = str(reference)
    if text.startswith(("models:", "runs:")):
        raise UsageError(
            f"{text}: deploy reads folders only; use pipeline serve or pipeline predict, or download it: "
            f"mlflow artifacts download --artifact-uri {text}"
        )
    folder = Path(reference)
    for candidate in (folder, folder / "package" / "bundle", folder / "bundle"):
        if (candidate / bundle.MANIFEST).exists():
            return candidate
    return folder


def _load(folder: Path, trusted_key: Path | str | None, *, unverified: bool) -> Bundle:
    """Return the checked bundle, and be sure that what was read is what was signed, if a key is given."""
    if trusted_key is None:
        return bundle.load(folder, unverified=unverified)
    from deploy import signing  # here, because only signed bundles need it

    signed = signing.check(folder, trusted_key)
    source = bundle.load(folder, unverified=unverified)
    if signed != source.manifest.files | {bundle.MANIFEST: source.digest}:
        raise BundleError(
            f"{folder}: holds files that are signed, but not listed in the manifest, or changed; fetch the bundle again"
        )
    return source


def _require_named(source: Bundle, variant: str, provider: Provider) -> None:
    """Raise, before any session is opened, when nobody ever certified the model on the provider."""
    providers = source.variant(variant).passport.providers
    if provider not in providers and not expiry.recertifications(source, variant, provider):
        raise UsageError(
            f"replay=False: the passport covers {', '.join(providers) or 'no provider'}, not {provider}; "
            f"recertify it first: {expiry.command(source.folder, provider)}"
        )


def _require_certified(source: Bundle, variant: str, session: Session, *, replay: bool, unverified: bool) -> None:
    """Raise unless the verdict holds on this machine and provider, as it stands or with a replay of the samples."""
    try:
        changes = expiry.require(source, variant, session)
    except BundleError as error:
        if not unverified:
            raise
        _warn(source, str(error))
        return
    if changes and not replay and not unverified:
        words = "; ".join(change.words for change in changes)
        raise UsageError(f"replay=False: the bundle was certified elsewhere ({words}); leave the replay on")


def _warn(source: Bundle, words: str) -> None:
    import logging

    logging.getLogger("deploy").warning("%s: %s", source.folder, words)


def verified_bytes(source: Bundle, variant: str) -> bytes:
    """Return the bytes of a variant's model, as `verified_file` does."""
    return verified_file(source, source.variant(variant).file)


def verified_file(source: Bundle, name: str) -> bytes:
    """Return a file's bytes, with the digest taken of exactly these: the file may change after it was checked."""
    path = source.folder / name
    data = path.read_bytes()
    if files.sha256(data) != source.manifest.files[path.name]:
        raise BundleError(f"{path}: changed while it was loaded; load it again")
    return data


def require_tensors(source: Bundle, session: Session) -> None:
    """Check that the graph has the inputs and outputs that the manifest states."""
    taken, answered = tensors_of(source)
    pairs = (("input", taken, session.inputs), ("output", answered, session.outputs))
    for side, signature, specs in pairs:
        found = {spec.name: spec for spec in specs}
        for spec in signature.tensors:
            there = found.pop(spec.name, None)
            if there is None or _form(there) != _form(spec):
                words = f"{there.dtype} {there.shape}" if there else "nothing"
                raise BundleError(
                    f"{source.folder}: {side} {spec.name!r} is {spec.dtype} {spec.shape} in the manifest and {words} "
                    "in the model; package the model again: pipeline package"
                )
        if found:
            raise BundleError(
                f"{source.folder}: the model has {side}s that the manifest lacks: {', '.join(found)}; "
                "package the model again: pipeline package"
            )


def tensors_of(source: Bundle) -> tuple[Signature, Signature]:
    """Return inputs and outputs as callers see them: where the file has a fixed batch, any number of rows is taken."""
    taken, answered = source.manifest.input, source.manifest.output
    if fixed_batch(taken.tensors, answered.tensors) is None:
        return taken, answered
    return freed(taken), freed(answered)


def _form(spec: TensorSpec) -> tuple[str, tuple[int | None, ...]]:
    """Return dtype and sizes; what a free size is called does not matter."""
    return spec.dtype, tuple(size if isinstance(size, int) else None for size in spec.shape)
