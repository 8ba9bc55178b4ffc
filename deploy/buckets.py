"""Batches on CUDA run in few fixed sizes ("buckets"), each with buffers, and by option with a CUDA graph, of its own.

A convolution keeps one cuDNN plan, for its last shape: batches of 1, 8, 1, 8 rows in one session would make it anew
each time. So every bucket has a session of its own (and a copy of the weights); models without convolutions, and CUDA
graphs, which hold what they launch, do with one session for all.

Pictures come in any size, and buffers have one. Where a bundle holds its graph cut at `preprocessed`, the buckets are
those of the network behind the cut: every picture is brought to its one size on the device, without a graph, and
pictures of different sizes share a batch.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate

import numpy as np

from deploy import cuda, samples
from deploy.arrays import Array
from deploy.binding import Buffers, Preprocessing
from deploy.bundle import UNNAMED
from deploy.errors import ProviderError, UsageError
from deploy.graphs import Graph, capture
from deploy.passport import Passport
from deploy.providers import FixedBatchSession, Session
from deploy.rows import count, filled_up, first, in_parts, joined

Arrays = Mapping[str, Array]

SIZES = (1, 8, 32)
MAX_SESSIONS = 3
"""A session holds a copy of the weights."""


@dataclass(frozen=True)
class Bucket:
    """Runs `rows` rows, or fewer.

    bound       for rows of one shape; others run in the session without buffers
    """

    rows: int
    session: Session
    bound: Buffers | Graph | None = None

    def run(self, arrays: Arrays) -> dict[str, Array]:
        """Return the answers; the caller may keep them."""
        run = self.bound.run if self.bound and self.bound.fit(arrays) else self.session.run
        return filled_up(run, arrays, self.rows)

    def run_pictures(self, jobs: Sequence[Arrays], front: Preprocessing) -> dict[str, Array]:
        """Return the answers for pictures that are preprocessed job by job, each of a size of its own.

        In what is left of the bucket lies what an earlier batch left there; its answers are cut off.
        """
        bound = self.bound
        if bound is None:
            merged = joined([front.run(arrays) for arrays in jobs])
            return filled_up(self.session.run, merged, self.rows)

        starts = list(accumulate(map(count, jobs), initial=0))

        def feed() -> None:
            for arrays, start in zip(jobs, starts, strict=False):
                front.write(arrays, bound.address(front.name, start, count(arrays)))

        return first(bound.fed(feed), starts[-1])


@dataclass(frozen=True)
class Buckets:
    """Runs any number of rows in the sizes of its buckets, which rise.

    front       preprocesses pictures of any size for the buckets; without one, they take what the model takes
    """

    buckets: tuple[Bucket, ...]
    front: Preprocessing | None = None

    @property
    def sizes(self) -> tuple[int, ...]:
        """Return the rows of each bucket."""
        return tuple(bucket.rows for bucket in self.buckets)

    def run(self, arrays: Arrays) -> dict[str, Array]:
        """Return the output tensors; the caller may keep them."""
        return in_parts(lambda part: self.mixed([part]), arrays, self.sizes[-1])

    def mixed(self, jobs: Sequence[Arrays]) -> dict[str, Array]:
        """Return the output tensors of jobs with no more rows than the largest bucket.

        With a `front` their pictures may be of different sizes; without one there is one job.
        """
        rows = sum(map(count, jobs))
        bucket = next(bucket for bucket in self.buckets if bucket.rows >= rows)
        if self.front is not None:
            return bucket.run_pictures(jobs, self.front)
        (arrays,) = jobs
        return bucket.run(arrays)

    def replay(self, golden: Sequence[samples.Sample], passport: Passport) -> None:
        """Replay the golden samples in every bucket; `BundleError` when one does not pass."""
        for bucket in self.buckets:
            samples.replay(Buckets((bucket,), self.front).run, golden, passport)


def bucket_sizes(session: Session, asked: Sequence[int]) -> tuple[int, ...]:
    """Return the rows of each bucket, rising: `asked`, else `SIZES`; a model that takes one size only decides itself.

    Raises `UsageError` for more sizes than there may be sessions, if each needs its own.
    """
    if isinstance(session, FixedBatchSession):
        return (session.batch,)
    sizes = tuple(sorted(set(asked))) or SIZES
    if sizes[0] < 1:
        raise UsageError(f"sizes {sizes}: expected numbers of rows, 1 or more")
    if _a_session_each(session) and len(sizes) > MAX_SESSIONS:
        raise UsageError(
            f"sizes {sizes}: each needs a session with a copy of the weights on CUDA, so {MAX_SESSIONS} at most; "
            f"choose fewer, or try provider option {cuda.GRAPHS}"
        )
    return sizes


def prepare(
    session: Session,
    reopen: Callable[[], Session],
    sizes: Sequence[int],
    golden: Sequence[samples.Sample],
    passport: Passport,
    front: Preprocessing | None = None,
) -> Buckets:
    """Make buckets of these sizes, with buffers in the shape of the first golden sample, and graphs if asked for.

    session     of the model, or of its second half if there is a `front`, in whose output golden samples have one shape
    reopen      opens the same once more

    Raises `ProviderError` where graphs were asked for and cannot be captured, or do not answer as they must, and
    `BundleError` when a bucket does not pass the golden samples.
    """
    each = _a_session_each(session)
    found = [Bucket(size, reopen() if each and number else session) for number, size in enumerate(sizes)]
    obstacle = _obstacle(session)
    if obstacle:
        refuse_graphs(session, obstacle)
    else:
        inner = [front.run(sample.inputs) if front else sample.inputs for sample in golden]
        found = _bind(found, _rows(inner), passport)
    buckets = Buckets(tuple(found), front)
    buckets.replay(golden, passport)
    return buckets


def refuse_graphs(session: Session, why: str) -> None:
    """Raise `ProviderError` if CUDA graphs were asked for."""
    if cuda.captures(session.options):
        raise ProviderError(f"{cuda.GRAPHS}: {why}; leave {cuda.GRAPHS} out")


def _a_session_each(session: Session) -> bool:
    convolves = any("Conv" in node.operator for node in session.placement.nodes)
    return convolves and not cuda.captures(session.options)


def _obstacle(session: Session) -> str:
    """Return why outputs have no place known before the run; nothing if they have."""
    known = {size for spec in session.inputs for size in spec.shape} - {UNNAMED}
    for spec in session.outputs:
        free = [size for size in spec.shape if not isinstance(size, int) and size not in known]
        if free:
            return f"output {spec.name!r} has a size ({free[0]}) that no input has, it may depend on the data"
    if any(spec.dtype == "string" for spec in (*session.inputs, *session.outputs)):
        return "texts have no place on the device"
    return ""


def _bind(buckets: Sequence[Bucket], rows: Arrays, passport: Passport) -> list[Bucket]:
    """Return the buckets with buffers, and with graphs where these are asked for."""
    batches = {bucket.rows: [_batch(rows, bucket.rows, start) for start in range(2)] for bucket in buckets}
    buffers = {
        bucket.rows: Buffers(bucket.session, batch, bucket.session.run(batch))
        for bucket, (batch, _) in zip(buckets, batches.values(), strict=True)
    }
    if not cuda.captures(buckets[0].session.options):
        return [replace(bucket, bound=buffers[bucket.rows]) for bucket in buckets]
    device = int(buckets[0].session.options["device_id"])
    graphs = {size: Graph(bound, device) for size, bound in buffers.items()}
    capture(graphs, batches, passport)
    return [replace(bucket, bound=graphs[bucket.rows]) for bucket in buckets]


def _rows(golden: Sequence[Arrays]) -> dict[str, Array]:
    """Return the golden rows that are of the first one's shape, and a row of zeros: two different rows at least."""
    alike = [
        inputs for inputs in golden
        if all(inputs[name].shape[1:] == array.shape[1:] for name, array in golden[0].items())
    ]  # fmt: skip
    zeros = {name: np.zeros_like(array[:1]) for name, array in golden[0].items()}
    return joined([*alike, zeros])


def _batch(rows: Arrays, size: int, start: int) -> dict[str, Array]:
    return {name: array[(start + np.arange(size)) % len(array)] for name, array in rows.items()}
