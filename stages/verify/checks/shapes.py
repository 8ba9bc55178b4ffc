"""The shape space: batch sizes, free sizes, neighbours, order and repetition; whatever export baked in shows here."""

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from deploy.bundle import TensorSpec
from deploy.errors import OnnxwayError, ProviderError
from deploy.passport import Check
from stages.dataset import Array
from stages.verify.cases import all_edges, works_on_volumes
from stages.verify.compare import Comparison
from stages.verify.examination import Examination, limited
from stages.verify.material import count, head, repeated, row
from stages.verify.places import held
from stages.verify.reference import Feeds, Outputs, Particular

ODD_BATCH = 7
_BATCHES = (1, 2, 3, 5, ODD_BATCH, 8)
_SIZES = ((16, 16), (31, 47), (48, 33), (97, 64))  # even, prime, multiple of 3, prime by even: any free axes in turn
_VOLUMES = ((8, 9, 12), (17, 16, 7), (12, 24, 31))  # of volumes on which the network works at the size that comes


def check(exam: Examination) -> Iterator[Check]:
    """Yield the checks of batch sizes, free sizes, batch invariance, order of rows, repetition and edge inputs."""
    table: list[dict[str, Any]] = []
    yield _swept(exam, "batch sizes", [_batches(exam)], table)
    sizes = list(_sizes(exam, _VOLUMES if works_on_volumes(exam.reference) else _SIZES))
    if sizes:
        own = tuple(2 * size for size in _own_sizes(exam))
        yield _swept(exam, "free sizes", [iter(sizes), _sizes(exam, (own,))], table)
    exam.findings["shapes"] = table
    rows = repeated(exam.unsure(), ODD_BATCH)
    together = exam.answer(rows)
    odd = exam.compare([(rows, together, f"batch of {ODD_BATCH}")])
    if not odd.malformed:
        noise = {name: max(value, exam.noise[name]) for name, value in odd.noise().items()}
        yield from _relations(replace(exam, noise=noise), rows, together, odd.decisions().margins)
    edge = Comparison(exam.reference)
    tries = list(all_edges(exam.reference, exam.unsure()))
    judged = [one for name, feeds in tries if (one := compared(exam, feeds, name)) is not None]
    for one in judged:
        edge.merge(one)
    left = f"; {len(tries) - len(judged)} left out, which the reference cannot run" if len(judged) < len(tries) else ""
    yield exam.group("edge inputs", [edge], f"{edge.rows} rows: extremes, size 1, very wide, odd sizes{left}")


def _batches(exam: Examination) -> Iterator[Feeds]:
    """Yield the least sure test rows, and again from the start where they end, in batches of each size."""
    rows = repeated(exam.unsure(), max(exam.config.max_batch, *_BATCHES))
    for size in sorted({*_BATCHES, exam.config.max_batch}):
        yield head(rows, size)


def _own_sizes(exam: Examination) -> list[int]:
    """Return the free sizes of the test rows, one for each name."""
    found: dict[str, int] = {}
    for spec in exam.reference.input.tensors:
        for axis, name in _free(spec):
            found.setdefault(name, exam.sample()[spec.name].shape[axis])
    return list(found.values())


def _sizes(exam: Examination, tried: Sequence[tuple[int, ...]]) -> Iterator[Feeds]:
    """Yield a few test rows with each free size cut, or repeated like tiles, to even, odd and prime sizes."""
    rows = repeated(exam.unsure(), 8)  # of fewer, noise is now and then small by luck
    free = list(dict.fromkeys(name for spec in exam.reference.input.tensors for _, name in _free(spec)))
    if not free:
        return
    for sizes in tried:
        chosen = dict(zip(free, itertools.cycle(sizes)))
        yield {
            spec.name: _tiled(rows[spec.name], {axis: chosen[name] for axis, name in _free(spec)})
            for spec in exam.reference.input.tensors
        }


def _free(spec: TensorSpec) -> list[tuple[int, str]]:
    """Return (axis, name) of the free sizes behind the batch; inputs that share a name share the size."""
    return [(axis, size) for axis, size in enumerate(spec.shape) if axis and isinstance(size, str)]


def _tiled(array: Array, sizes: dict[int, int]) -> Array:
    for axis, size in sizes.items():
        array = np.take(array, np.arange(size) % array.shape[axis], axis=axis)
    return array


def _swept(exam: Examination, name: str, rounds: Sequence[Iterator[Feeds]], table: list[dict[str, Any]]) -> Check:
    """Check each shape on its own, and note each in the table; what the reference cannot run is no fault.

    A round is made when the reference could run nothing of those before: networks may take multiples of 32 only.
    """
    groups: list[Comparison] = []
    tried: list[str] = []
    for feeds in itertools.chain.from_iterable(itertools.takewhile(lambda _: not groups, rounds)):
        shape = " and ".join("x".join(map(str, array.shape)) for array in feeds.values())
        found = compared(exam, feeds, f"{name}: {shape}")
        table.append(_line(exam, shape, found))
        if found is not None:
            groups.append(found)
            tried.append(str(count(feeds)) if name == "batch sizes" else shape)
    if not groups:
        return Check(name, False, detail=f"{name}: the reference itself cannot run any of {len(table)} shapes")
    return exam.group(name, groups, f"{name} {', '.join(tried)}")


def compared(exam: Examination, feeds: Feeds, where: str) -> Comparison | None:
    """Compare one shape; None where the reference cannot run it. That only the model cannot is malformed."""
    try:
        found = exam.answer(feeds)
    except ProviderError:
        raise
    except OnnxwayError as error:
        if not _reference_runs(exam, feeds):
            return None
        failed = Comparison(exam.reference, malformed=[f"{where}: {error}"])
        exam.malformed += failed.malformed
        return failed
    return exam.compare([(feeds, found, where)]) if _reference_runs(exam, feeds) else None


def _reference_runs(exam: Examination, feeds: Feeds) -> bool:
    try:
        exam.reference.rounded(head(feeds, 1))  # first: onnx's numpy evaluator takes maps too small for their kernels
        exam.reference.truth(head(feeds, 1))
    except (RuntimeError, OnnxwayError):  # what torch and ONNX Runtime raise for sizes that a network does not take
        return False
    return True


def _line(exam: Examination, shape: str, found: Comparison | None) -> dict[str, Any]:
    """Return a row of the sweep table; `ratio` is null where nothing could be compared."""
    if found is None:
        return {"shape": shape, "ratio": None, "flips": 0, "ties": 0, "note": "the reference cannot run it"}
    ratio = found.worst_ratio(exam.noise)
    known = ratio if math.isfinite(ratio) else None
    flips, ties = found.flips(exam.tie_margin)
    note = found.malformed[0] if found.malformed else ""
    return {"shape": shape, "ratio": known, "flips": flips, "ties": ties, "note": note}


def _relations(exam: Examination, rows: Feeds, together: Outputs, margins: Array) -> Iterator[Check]:
    """Yield what must hold between answers to the same rows: alone, in another order, and again."""
    alone = [exam.answer(row(rows, number)) for number in range(count(rows))]
    stacked = {name: np.concatenate([answer[name] for answer in alone]) for name in together}
    yield _alike(exam, "batch invariance", together, stacked, margins, "a row alone answers as it does among others")

    yield from _restated(exam, rows, together, margins)

    orders = (np.random.default_rng(0).permutation(count(rows)), np.arange(count(rows))[::-1])
    moved = [_moved(exam, rows, together, margins, order) for order in orders]
    yield max(moved, key=_badness)

    again = [exam.answer(rows) for _ in range(2)]  # twice: a state may come round again every other time
    words = "the same rows answer the same after other batches"
    if exam.provider == "cpu":
        same = all(np.array_equal(value, one[name]) for one in again for name, value in together.items())
        yield Check("repetition", same, detail=f"{words}, bit for bit" if same else f"not so, bit for bit: {words}")
    else:
        repeats = [_alike(exam, "repetition", together, one, margins, words) for one in again]
        yield max(repeats, key=_badness)


def _restated(exam: Examination, rows: Feeds, together: Outputs, margins: Array) -> Iterator[Check]:
    """Yield a check that the same rows in other forms are answered alike, where their kind has other forms."""
    if not isinstance(exam.reference, Particular):
        return
    told = list(exam.reference.restated(rows))
    if told:
        names = ", ".join(name for name, _ in told)
        words = f"the same rows in other forms answer the same ({names})"
        yield max(
            (_alike(exam, "other forms", together, exam.answer(feeds), margins, words) for _, feeds in told),
            key=_badness,
        )


def _badness(check: Check) -> tuple[bool, float]:
    return not check, check.value or 0.0


def _moved(exam: Examination, rows: Feeds, together: Outputs, margins: Array, order: Array) -> Check:
    answers = exam.answer({name: array[order] for name, array in rows.items()})
    by_row = {name: value[order] for name, value in together.items() if value.shape[:1] == order.shape}
    words = "rows in another order answer the same, in that order"
    return _alike(exam, "order of rows", by_row, answers, margins[order], words)


def _alike(exam: Examination, name: str, first: Outputs, second: Outputs, margins: Array, words: str) -> Check:
    """Check that answers to the same rows differ by no more than noise, and whole numbers only where rows are ties."""
    for key, value in first.items():
        if value.shape != second[key].shape:
            return Check(name, False, detail=f"not so: {words}; {key} is {second[key].shape} instead of {value.shape}")
    matched = held(exam.reference, second, first)
    second, sure = dict(matched.aligned), matched.margins
    ratio, same = 0.0, not ((matched.expected != matched.decided) & (sure > exam.tie_margin)).any()
    for key, value in first.items():
        other = second[key]
        if value.dtype.kind == "f":
            difference = value.astype(np.float64) - other
            error, noise = float(np.sqrt(np.square(difference).mean())), exam.noise[key]
            if error:  # where no row has an answer, as of a detector that finds nothing, there is no noise either
                ratio = max(ratio, error / noise if noise else math.inf)
        elif value.shape == sure.shape:
            same = same and not ((value != other) & (sure > exam.tie_margin)).any()
        elif value.shape[:1] == margins.shape:
            differs = (value != other).reshape(len(value), -1).any(axis=1)
            same = same and not (differs & (margins > exam.tie_margin)).any()
        else:
            same = same and np.array_equal(value, other)
    check = limited(name, ratio, exam.config.limit, words)
    return check if same else Check(name, False, check.value, check.limit, f"not so: {words}; they decide otherwise")
