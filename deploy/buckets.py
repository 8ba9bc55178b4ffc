"""Batches on CUDA run in few fixed sizes ("buckets"), each with buffers, and by option with a CUDA graph, of its own.

A convolution keeps one cuDNN plan, for its last shape: batches of 1, 8, 1, 8 rows in one session would make it anew
each time. So every bucket has a session of its own (and a copy of the weights); models without convolutions, and CUDA
graphs, which hold what they launch, do with one session for all.

CUDA graphs (provider option `enable_cuda_graph`) are captured here, one by one, on the thread that replays them, while
no session is created and nothing else runs on the device. They are used only if they then answer as the same session
does without them.
"""

import itertools
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass

import numpy as np

from deploy import cuda, samples
from deploy.arrays import Array
from deploy.binding import Buffers, GraphIds
from deploy.bundle import UNNAMED
from deploy.errors import ProviderError, UsageError
from deploy.lanes import share_rows
from deploy.passport import Passport
from deploy.providers import EAGER, FixedBatchSession, Session, graph_id

Arrays = Mapping[str, Array]
Run = Callable[[Arrays], dict[str, Array]]
Form = tuple[tuple[np.dtype[np.generic], tuple[int, ...]], ...]

SIZES = (1, 8, 32)
MAX_SESSIONS = 3
"""A session holds a copy of the weights."""

_ROUNDS = 2


@dataclass(frozen=True)
class Buckets:
    """Runs batches: of a prepared shape by its own `Run`, others by the session of their rows, or the first.

    names       of the inputs, in the order of forms
    """

    names: tuple[str, ...]
    sessions: Mapping[int, Session]
    bound: Mapping[Form, Run]

    def __call__(self, arrays: Arrays) -> dict[str, Array]:
        """Return the output tensors; the caller may keep them."""
        run = self.bound.get(form(arrays, self.names))
        if run is not None:
            return run(arrays)
        rows = len(arrays[self.names[0]])
        return self.sessions.get(rows, next(iter(self.sessions.values()))).run(arrays)


def form(arrays: Arrays, names: Sequence[str]) -> Form:
    """Return dtypes and shapes of arrays."""
    return tuple((arrays[name].dtype, arrays[name].shape) for name in names)


def bucket_sizes(session: Session, asked: Sequence[int]) -> tuple[int, ...]:
    """Return the rows of each bucket, rising: `asked`, else `SIZES`; a model that takes one size only decides itself.

    Raises `UsageError` for more sizes than there may be sessions, if each needs its own.
    """
    if not share_rows(session.inputs, session.outputs):
        return (1,)
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
) -> Buckets:
    """Make buffers for batches of these sizes, in the shape of the first golden sample, and capture graphs if asked to.

    reopen      opens the model once more; what it returns has passed the golden samples

    Raises `ProviderError` where graphs were asked for and cannot be captured, or do not answer as they must.
    """
    names = tuple(spec.name for spec in session.inputs)
    each = _a_session_each(session)
    sessions = {size: reopen() if each and number else session for number, size in enumerate(sizes)}
    graphs = cuda.captures(session.options)
    obstacle = _obstacle(session)
    if obstacle:
        if graphs:
            raise ProviderError(f"{cuda.GRAPHS}: {obstacle}; leave {cuda.GRAPHS} out")
        return Buckets(names, sessions, {})
    rows = _rows(golden)
    batches = {size: [_batch(rows, size, start) for start in range(2)] for size in sizes}
    buffers = {size: Buffers(sessions[size], batches[size][0], sessions[size].run(batches[size][0])) for size in sizes}
    runs: Mapping[int, Run] = {size: buffers[size].run for size in sizes}
    if graphs:
        thread = cuda.device_thread(int(session.options["device_id"]))
        with cuda.making:  # waited for here: on that thread others' graphs would wait too
            captured = thread.submit(_capture, buffers, batches, passport).result()
        runs = {size: _on(thread, run) for size, run in captured.items()}
    return Buckets(names, sessions, {form(batches[size][0], names): runs[size] for size in sizes})


def _a_session_each(session: Session) -> bool:
    convolves = any("Conv" in node.operator for node in session.placement.nodes)
    return convolves and not cuda.captures(session.options)


def _obstacle(session: Session) -> str:
    """Return why outputs have no place known before the run; nothing if they have."""
    if not share_rows(session.inputs, session.outputs):
        return "inputs and outputs do not all begin with one axis of rows"
    known = {size for spec in session.inputs for size in spec.shape} - {UNNAMED}
    for spec in session.outputs:
        free = [size for size in spec.shape if not isinstance(size, int) and size not in known]
        if free:
            return f"output {spec.name!r} has a size ({free[0]}) that no input has, it may depend on the data"
    if any(spec.dtype == "string" for spec in (*session.inputs, *session.outputs)):
        return "texts have no place on the device"
    return ""


def _rows(golden: Sequence[samples.Sample]) -> dict[str, Array]:
    """Return the golden rows that are of the first one's shape, and a row of zeros: two different rows at least."""
    first = golden[0].inputs
    alike = [
        sample.inputs for sample in golden
        if all(sample.inputs[name].shape[1:] == array.shape[1:] for name, array in first.items())
    ]  # fmt: skip
    return {
        name: np.concatenate([*(inputs[name] for inputs in alike), np.zeros_like(array[:1])])
        for name, array in first.items()
    }


def _batch(rows: Arrays, size: int, start: int) -> dict[str, Array]:
    return {name: array[(start + np.arange(size)) % len(array)] for name, array in rows.items()}


def _on(thread: Executor, run: Run) -> Run:
    """Return a run that waits for the device's thread to do it."""
    return lambda arrays: thread.submit(run, arrays).result()


def _capture(
    buffers: Mapping[int, Buffers], batches: Mapping[int, Sequence[dict[str, Array]]], passport: Passport
) -> dict[int, Run]:
    """Capture a graph for each bucket and return what replays it.

    To be called on the thread that will replay, while `cuda.making` is held. First each bucket answers without a
    graph, so that its memory is there and its plans are made, and right after that its graph is captured. Then all
    graphs are replayed in turn, because a later bucket's plans took the place of an earlier one's.
    """
    ids = GraphIds()
    runs: dict[int, Run] = {}
    asked: list[samples.Sample] = []
    expected: dict[int, list[dict[str, Array]]] = {}
    found: list[dict[str, Array]] = []
    for size, bound in buffers.items():
        expected[size] = [bound.run(batch, graph_id(EAGER)) for batch in batches[size]]
        runs[size] = _replay(bound, ids, ids.assign(bound))
        runs[size](batches[size][0])
    turns = list(itertools.product(range(_ROUNDS), range(2), buffers))
    for _, number, size in turns:
        asked.append(samples.Sample(batches[size][number]))
        found.append(runs[size](batches[size][number]))
    _require_parity(asked, [expected[size][number] for _, number, size in turns], found, passport)
    return runs


def _replay(buffers: Buffers, ids: GraphIds, number: int) -> Run:
    options = graph_id(number)

    def run(arrays: Arrays) -> dict[str, Array]:
        ids.require(number, buffers)
        return buffers.run(arrays, options)

    return run


def _require_parity(
    asked: Sequence[samples.Sample], expected: Sequence[Arrays], found: Sequence[Arrays], passport: Passport
) -> None:
    """Raise `ProviderError` unless graphs answer as the session did without them, within the passport's noise."""
    for name in expected[0]:
        check = samples.difference(name, name, asked, expected, found, passport, what="the same without a graph")
        if not check:
            raise ProviderError(
                f"{cuda.GRAPHS}: output {name!r} of the captured graphs {check.detail}; leave {cuda.GRAPHS} out"
            )
