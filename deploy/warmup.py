"""From a verified model to lanes that serve it: latencies are measured, and the faster layout is kept.

On the CPU either as many lanes as cores, of one thread each and all on one session, or one lane whose session has a
thread a core. Which is faster depends on the model (a small net loses by being spread over threads), so both are tried.
On CUDA there is one lane, and batches are run in few sizes (`deploy.buckets`).
"""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, Protocol

import numpy as np

from deploy import buckets, samples
from deploy.arrays import Array
from deploy.batcher import INLINE_S, Batcher
from deploy.batching import Limits
from deploy.binding import Preprocessing
from deploy.buckets import Buckets
from deploy.bundle import SAMPLES, Bundle, Cut
from deploy.errors import UsageError
from deploy.lanes import CutRun, Runner, share_rows
from deploy.latency import LatencyTable
from deploy.passport import Passport
from deploy.providers import Session, usable_cores
from deploy.rows import AnyRows

Arrays = Mapping[str, Array]

MAX_ROWS = 64
SLOWEST_S = 0.5  # no batch is made that takes longer, but for a single row
ENOUGH = 0.97  # the smallest size with this share of the best rate is the largest that is used,
SHORT_S = 8e-3  # once it takes so long: between shorter ones noise would choose, and each costs the interpreter's time
AROUND_S = 1e-4  # what a batch costs around its run: it is handed to a thread, and its answers back

_COLD = 2  # runs of a new size are slow at first: memory is taken for it, caches are filled
_ROUNDS = 2
_REPEATS = 5
_MEASURE_S = 0.003
_PATIENCE_S = 0.2  # slow models repeat less


@dataclass(frozen=True)
class Serving:
    """How a model is to be served.

    lanes       batches that run at the same time, or "auto": cores or one, by measurement
    sizes       of batches, in rows; none: found by measurement. On CUDA batches are run in these (1, 8, 32)
    mixed       pictures of different sizes may share a batch; on the CPU that costs a second copy of the weights
    limits      of the queue
    patient     an idle lane may wait for another row if less is waited in all; else it never does
    """

    lanes: int | Literal["auto"] = "auto"
    sizes: tuple[int, ...] = ()
    mixed: bool = True
    limits: Limits = field(default_factory=Limits)
    patient: bool = False


class Reopen(Protocol):
    """What opens files of a bundle."""

    def __call__(self, file: str, threads: int, *, graphs: bool = True) -> Session:
        """Open a file with so many threads, and without CUDA graphs unless `graphs`, if they were asked for."""


class Warm(NamedTuple):
    """What serves: `run` at once, on the caller's thread, with so many threads within; the batcher for many callers."""

    run: AnyRows
    threads: int
    batcher: Batcher


@dataclass(frozen=True)
class Parts:
    """What warm-up needs of a model.

    session     open, with the threads that were asked for
    auto        nobody asked for threads: a session with one may take its place
    model, cut  the files; no cut where the model cannot use it
    golden      samples, of which the first is what is measured with
    """

    session: Session
    auto: bool
    reopen: Reopen
    model: str
    cut: Cut | None
    golden: Sequence[samples.Sample]
    passport: Passport


def parts(source: Bundle, variant: str, session: Session, reopen: Reopen, *, auto: bool) -> Parts:
    """Return the parts of one variant of a bundle; the cut is of the fp32 model."""
    return Parts(
        session=session,
        auto=auto,
        reopen=reopen,
        model=source.variant(variant).file,
        cut=source.manifest.cut if variant == "fp32" else None,
        golden=samples.load(source.folder / SAMPLES),
        passport=source.variant(variant).passport,
    )


def warm_up(parts: Parts, serving: Serving) -> Warm:
    """Return what serves, measured and ready.

    Every session that is opened here replays the golden samples; `BundleError` when one does not pass.
    """
    if parts.session.provider == "cuda":
        return _on_cuda(parts, serving)
    session, lanes, seconds = _layout(parts, serving)
    cut = _cut_run(parts, serving, session.threads)
    batcher = Batcher(
        Runner(session.run, cut),
        LatencyTable(seconds),
        lanes=lanes,
        mixed=cut is not None,
        alone=not share_rows(session.inputs, session.outputs),
        limits=serving.limits,
        patient=serving.patient,
    )
    return Warm(session.run, session.threads, batcher)


def _on_cuda(parts: Parts, serving: Serving) -> Warm:
    session = parts.session
    if serving.lanes not in ("auto", 1):
        raise UsageError(f"lanes {serving.lanes}: on CUDA a second one gains nothing; leave it at 1")
    served = _buckets(parts, serving) if share_rows(session.inputs, session.outputs) else None
    if served is None:
        buckets.refuse_graphs(session, "inputs and outputs do not all begin with one axis of rows")
    run, sizes = (served.run, served.sizes) if served else (session.run, (1,))
    mixed = served.mixed if served and served.front else None
    batcher = Batcher(
        Runner(run, mixed),
        LatencyTable(measure(run, parts.golden[0].inputs, 1, sizes), fixed=True),
        mixed=mixed is not None,
        alone=served is None,
        inline=False,
        limits=serving.limits,
        patient=serving.patient,
    )
    return Warm(run, session.threads, batcher)


def _buckets(parts: Parts, serving: Serving) -> Buckets:
    """Return buckets of the network behind the cut where there is one to be used, else of the whole model."""
    halves = _halves(parts, serving, 1)
    front = Preprocessing(halves[0]) if halves else None
    session = halves[1] if halves else parts.session
    file = parts.cut.net if parts.cut and halves else parts.model
    sizes = buckets.bucket_sizes(session, serving.sizes)
    return buckets.prepare(session, lambda: parts.reopen(file, 1), sizes, parts.golden, parts.passport, front)


def _layout(parts: Parts, serving: Serving) -> tuple[Session, int, dict[int, float]]:
    """Return session, lanes and latencies: those asked for, or the better by rows/s (within 3 %: by latency)."""
    session, wanted = parts.session, serving.lanes
    if wanted != "auto":
        if wanted < 1:
            raise UsageError(f"lanes {wanted}: expected 1 or more, or auto")
        if wanted > 1 and parts.auto and session.threads > 1:
            session = _single(parts)
        return session, wanted, _measured(session, wanted, parts, serving)
    cores = usable_cores()
    if cores == 1 or not parts.auto:
        return session, 1, _measured(session, 1, parts, serving)
    single = _single(parts)
    narrow = _measured(single, cores, parts, serving)
    if max(narrow.values()) <= INLINE_S:  # event loops run such batches themselves; threads inside them only cost
        return single, cores, narrow
    wide = _measured(session, 1, parts, serving)
    if cores * _rate(narrow) * ENOUGH > _rate(wide):
        return single, cores, narrow
    return session, 1, wide


def _halves(parts: Parts, serving: Serving, threads: int) -> tuple[Session, Session] | None:
    """Return the graph in its halves, if rows of different shapes can come and are of one shape in between."""
    if not serving.mixed or parts.cut is None:
        return None
    if all(isinstance(size, int) for spec in parts.session.inputs for size in spec.shape[1:]):
        return None
    pre, net = parts.reopen(parts.cut.pre, threads, graphs=False), parts.reopen(parts.cut.net, threads)
    given, taken = ([(it.name, it.dtype, it.shape[1:]) for it in specs] for specs in (pre.outputs, net.inputs))
    meets = given == taken and [name for name, *_ in given] == [parts.cut.tensor]
    one_shape = all(isinstance(size, int) for spec in net.inputs for size in spec.shape[1:])
    return (pre, net) if meets and one_shape and share_rows(net.inputs, net.outputs) else None


def _cut_run(parts: Parts, serving: Serving, threads: int) -> CutRun | None:
    """Return the graph in its halves for the CPU; `BundleError` when it does not pass the golden samples."""
    halves = _halves(parts, serving, threads)
    if halves is None:
        return None
    cut = CutRun(*(half.run for half in halves))
    samples.replay(lambda arrays: cut([arrays]), parts.golden, parts.passport)
    return cut


def _single(parts: Parts) -> Session:
    """Return the model opened with one thread: lanes share it, and so its weights."""
    session = parts.reopen(parts.model, 1)
    samples.replay(session.run, parts.golden, parts.passport)
    return session


def _measured(session: Session, lanes: int, parts: Parts, serving: Serving) -> dict[int, float]:
    sizes = tuple(sorted(serving.sizes)) if share_rows(session.inputs, session.outputs) else (1,)
    return measure(session.run, parts.golden[0].inputs, lanes, sizes)


def measure(run: Callable[[Arrays], object], row: Arrays, lanes: int, sizes: Sequence[int] = ()) -> dict[int, float]:
    """Return the seconds of a batch by rows, with all lanes at work; of a quarter of them, or fewer, it took less.

    What else the machine does only ever adds: a median would, on a busy one, choose the layout by accident.

    sizes   default: 1, 2, 4, ... while rows/s grow, up to `MAX_ROWS` rows and `SLOWEST_S`, cut where it is `ENOUGH`
    """
    seconds: dict[int, float] = {}
    with ThreadPoolExecutor(lanes) as pool:
        for _ in range(_ROUNDS):
            for size in sizes or _doubling(MAX_ROWS):
                batch = {name: np.repeat(array[:1], size, axis=0) for name, array in row.items()}
                times = pool.map(_times, [run] * lanes, [batch] * lanes)
                taken = sorted(one for lane in times for one in lane)
                seconds[size] = min(seconds.get(size, math.inf), taken[len(taken) // 4])
                if not sizes and _flat(seconds, size):
                    break
            if min(seconds.values()) > SHORT_S:
                break  # that was long enough to see past moments in which others had the machine
    return seconds if sizes else _enough(seconds)


def _doubling(most: int) -> list[int]:
    return [1 << power for power in range(most.bit_length()) if 1 << power <= most]


def _times(run: Callable[[Arrays], object], batch: Arrays) -> list[float]:
    times: list[float] = []
    while (len(times) < _COLD + _REPEATS or sum(times) < _MEASURE_S) and (
        len(times) <= _COLD or sum(times) < _PATIENCE_S
    ):
        began = time.perf_counter()
        run(batch)
        times.append(time.perf_counter() - began)
    return times[_COLD:]


def _flat(seconds: Mapping[int, float], size: int) -> bool:
    """Tell whether larger batches are of no use: this one is slow, or two doublings gained less than 5 %."""
    before = seconds.get(size // 4)
    slower = before is not None and size / seconds[size] < 1.05 * (size // 4) / before
    return (slower and seconds[size] > SHORT_S) or 2 * seconds[size] > SLOWEST_S


def _enough(seconds: Mapping[int, float]) -> dict[int, float]:
    """Leave out sizes that gain nothing over smaller ones, whose callers wait less; what is short anyway may grow."""
    best = _rate(seconds)
    good = [size for size, taken in seconds.items() if size / (taken + AROUND_S) >= ENOUGH * best]
    most = min((size for size in good if seconds[size] >= SHORT_S), default=max(good))
    return {size: taken for size, taken in seconds.items() if size <= most}


def _rate(seconds: Mapping[int, float]) -> float:
    return max(size / (taken + AROUND_S) for size, taken in seconds.items())
