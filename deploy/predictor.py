"""A bundle on disk to typed answers."""

import itertools
import os
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from deploy import bundle, samples
from deploy.arrays import Array
from deploy.bundle import Bundle, Signature
from deploy.cuda import GRAPHS
from deploy.errors import InputError, OnnxwayError, UsageError
from deploy.inputs import MAX_PIXELS, InputKind, input_kind
from deploy.opening import (
    checked_bundle,
    find_bundle,
    require_certified,
    require_named,
    require_tensors,
    tensors_of,
    verified_bytes,
    verified_file,
    warn,
)
from deploy.outputs import OutputKind, Result, output_kind
from deploy.passport import Check, Passport
from deploy.providers import Provider, Session, Threads, open_session
from deploy.rows import AnyRows
from deploy.turns import Talk, Told, Turns, held, submitted, together

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

    `predict`, `predict_many` and `infer` run at once; `submit` hands over to lanes that merge what many callers ask for
    into batches. On CUDA all of them use the same buckets once it is warm (`deploy.buckets`), before that plain runs.
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
        self._session: Session | None = session  # until it is warm: what serves then may be another
        self._run: AnyRows | None = session.run
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
        source = checked_bundle(find_bundle(folder), trusted_key, unverified=unverified)
        passport = source.variant(variant).passport
        if unverified and not passport:
            warn(source, "loaded without a passing passport; its answers are not verified")
        if not replay and not unverified:
            require_named(source, variant, provider)
        golden = samples.load(source.folder / bundle.SAMPLES) if replay else ()
        session = open_session(
            verified_bytes(source, variant),
            provider,
            provider_options,
            threads=threads,
            warmup=golden[0].inputs if golden else None,
        )
        require_tensors(source, session)
        require_certified(source, variant, session, replay=replay, unverified=unverified)
        replayed = samples.replay(session.run, golden, passport) if golden else ()
        return cls(source, session, variant, replayed, threads=threads, max_pixels=max_pixels)

    def predict(self, payload: object) -> Any:
        """Return the result for one payload, or a list of results for a batch array.

        For images: a path, the bytes of a file, a PIL image or a uint8 array, (H, W) or (H, W, C); a uint8 array
        (N, H, W, C) is a batch. For texts: a string, or a list of them. For series, volumes and spectral patches: an
        array, numbers in lists, or a file; an array with one axis more is a batch (`deploy.inputs` has a file for each
        kind). For tensors: arrays by input name, or the array of the only input; with the batch axis a batch, without
        it a single row. For poems: a title, or a mapping that says more; a list of either is a batch.
        """
        results = self._held(self._input.converse(payload))
        return results if self._input.is_batch(payload) else results[0]

    def predict_many(self, payloads: Iterable[object]) -> list[Any]:
        """Return one result for each payload, in their order.

        Payloads of equal shape share a run; what is held at a time is bounded. The first bad one is an `InputError`
        with its number.
        """
        if self._input.talks:
            return self._held_many(payloads)
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
        return self._open()(arrays)

    def submit(self, payload: object, deadline: float | None = None, priority: int = 0) -> "Future[Any]":
        """Return a future of what `predict` returns; many callers' payloads share batches. Warms up if nobody has.

        deadline    seconds from now by which the answer is of use; what cannot meet it is refused
        priority    1 is the highest, 0 the default

        Raises `InputError` at once, and `OverloadedError` when the queue is too long; `DeadlineError` may come later,
        from the future. Cancelling the future takes the job out of the queue.
        """
        turns = Turns(self._input.converse(payload))
        arrays, batch, batcher = turns.first, self._input.is_batch(payload), self.batcher
        self._input.check(arrays)

        def ask(asked: Arrays, told: Told, left: float | None) -> Callable[[], object]:
            return batcher.ask(asked, told, left, priority)

        def result(outputs: Mapping[str, Array]) -> Any:
            results = self.results(outputs, arrays)
            return results if batch else results[0]

        return submitted(turns, ask, deadline, result)

    def warm_up(self, serving: "Serving | None" = None) -> "Batcher":
        """Measure the model, choose lanes and batch sizes, and return the batcher that `submit` uses; once.

        Takes from 0.1 s for a small network to some seconds. What serves best remains, and also answers `infer` from
        then on. `BundleError` when a session opened here does not pass the golden samples.
        """
        from deploy import warmup  # here, because only serving needs it

        with self._warming:
            if self._batcher is None:
                self._open()
                assert self._session is not None
                auto = self._threads in ("auto", None)
                parts = warmup.parts(self._source, self.info.variant, self._session, self._reopen, auto=auto)
                self._run, threads, self._batcher = warmup.warm_up(parts, serving or warmup.Serving())
                self._session = None
                self.info = replace(self.info, threads=threads)
            elif serving is not None:
                raise UsageError(f"predictor {self.info.name!r} is warm already; give `serving` to the first warm_up")
            return self._batcher

    @property
    def batcher(self) -> "Batcher":
        """Return the batcher that serves this model, for event loops: `await predictor.batcher.run(arrays)`."""
        return self._batcher or self.warm_up()

    @property
    def kind(self) -> InputKind:
        """Return the kind of input, which makes tensors of payloads."""
        return self._input

    @property
    def answers(self) -> OutputKind:
        """Return the kind of output, which makes results of tensors."""
        return self._output

    def check(self, arrays: Mapping[str, Array]) -> int:
        """Return the number of rows of input tensors that the model takes; `InputError` for others."""
        return self._input.check(arrays)

    def arrays(self, payload: object) -> Arrays:
        """Return the input tensors of a payload, as `predict` makes them."""
        return self._input.arrays(payload)

    def results(self, outputs: Mapping[str, Array], inputs: Mapping[str, Array]) -> list[Any]:
        """Return one typed result for each row of output tensors, as `predict` makes them of these input tensors."""
        return list(self._output.read(outputs, inputs))

    def close(self) -> None:
        """Finish what was submitted and release the session; runs that have begun end normally."""
        batcher, self._batcher = self._batcher, None
        self._session = self._run = None
        if batcher is not None and os.getpid() == self._process:
            batcher.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _open(self) -> AnyRows:
        run = self._run
        if run is None:
            raise OnnxwayError(f"predictor {self.info.name!r} is closed; load it again: Predictor.load")
        if os.getpid() != self._process:
            raise OnnxwayError(
                f"predictor {self.info.name!r} was loaded before this process was forked; load it in each process, "
                "and start processes with spawn"
            )
        return run

    def _reopen(self, file: str, threads: int, *, graphs: bool = True) -> Session:
        options = {key: value for key, value in self.info.provider_options.items() if graphs or key != GRAPHS}
        return open_session(verified_file(self._source, file), self.info.provider, options, threads=threads)

    def _answer(self, arrays: Mapping[str, Array]) -> list[Any]:
        return self.results(self.infer(arrays), arrays)

    def _held(self, talk: Talk) -> list[Any]:
        return self.results(*held(talk, self.infer))

    def _held_many(self, payloads: Iterable[object]) -> list[Any]:
        """Return one result for each payload of a kind that takes several runs, `MAX_ROWS` of them at a time."""
        numbered, results = enumerate(payloads), list[Any]()
        while talks := [self._begun(number, payload) for number, payload in itertools.islice(numbered, MAX_ROWS)]:
            results += self._held(together(talks))
        return results

    def _begun(self, number: int, payload: object) -> Talk:
        self._require_single(number, payload)
        try:
            return self._input.converse(payload)
        except InputError as error:
            raise type(error)(f"payload {number}: {error}") from None

    def _single(self, number: int, payload: object) -> Arrays:
        self._require_single(number, payload)
        try:
            arrays = self._input.arrays(payload)
            self._input.check(arrays)
        except InputError as error:
            raise type(error)(f"payload {number}: {error}") from None
        return arrays

    def _require_single(self, number: int, payload: object) -> None:
        if self._input.is_batch(payload):
            raise InputError(f"payload {number}: is a batch, expected a single payload; give batches to predict")

    def _flush(self, waiting: dict[tuple[Any, ...], list[tuple[int, Arrays]]], results: dict[int, Result]) -> None:
        for group in waiting.values():
            names = group[0][1]
            merged = {name: np.concatenate([arrays[name] for _, arrays in group]) for name in names}
            for (number, _), result in zip(group, self._answer(merged), strict=True):
                results[number] = result
        waiting.clear()
