"""What a model is tried on: real rows in batches, more rows when there are too few, and inputs at the edges."""

import itertools
from collections.abc import Iterator, Sequence

import numpy as np

from deploy.bundle import TensorSpec
from stages.dataset import Array, Dataset

ODD_BATCH = 7
_WIDE = 1500
_SIZES = ((37, 53), (64, 31), (127, 127))


def batches(inputs: Array | Sequence[Array], most: int) -> Iterator[Array]:
    """Yield batches of at most `most` rows, in order; rows of another shape start another batch."""
    if isinstance(inputs, np.ndarray):
        for start in range(0, len(inputs), most):
            yield inputs[start : start + most]
        return
    for _, alike in itertools.groupby((inputs[i] for i in range(len(inputs))), key=lambda row: row.shape):
        while chunk := list(itertools.islice(alike, most)):
            yield np.stack(chunk)


def more_rows(dataset: Dataset, wanted: int, most: int, spec: TensorSpec, seed: int = 0) -> Iterator[Array]:
    """Yield batches of rows beyond the test split until `wanted`: validation, train, then all of them disturbed."""
    left = wanted
    for split in (dataset.validation, dataset.train):
        for batch in batches(split.inputs, most):
            if left <= 0:
                return
            yield batch[:left]
            left -= len(batch)
    generator = np.random.default_rng(seed)
    while left > 0:
        for batch in batches(dataset.test.inputs, most):
            if left <= 0:
                return
            yield disturbed(batch[:left], spec, generator)
            left -= len(batch)


def disturbed(batch: Array, spec: TensorSpec, generator: np.random.Generator) -> Array:
    """Return the batch with normal noise of a sixteenth of the value range, clipped to the range."""
    low, high = spec.range or (float(batch.min()), float(batch.max()))
    noisy = batch + generator.normal(0, (high - low) / 16, batch.shape)
    return (
        np.clip(noisy, low, high).round().astype(batch.dtype) if batch.dtype.kind in "iu" else noisy.astype(batch.dtype)
    )


def edges(spec: TensorSpec, like: Array, seed: int = 0) -> Iterator[tuple[str, Array]]:
    """Yield named batches of one or two rows at the edges of what the input may be.

    All smallest, all largest, one disturbed value; and where sizes are free: single-element, very long in each
    direction, odd, prime and large sizes, filled with random values of the range.
    """
    low, high = spec.range or (0.0, 1.0)
    generator = np.random.default_rng(seed)
    shape = like.shape[1:]
    dtype = np.dtype(spec.dtype)

    def random(*sizes: int) -> Array:
        values = generator.uniform(low, high, sizes)
        return (values.round() if dtype.kind in "iu" else values).astype(dtype)

    yield "all smallest", np.full((1, *shape), low, dtype)
    yield "all largest", np.full((1, *shape), high, dtype)
    single = np.full((1, *shape), low, dtype)
    single.reshape(-1)[single.size // 2] = high
    yield "one value", single
    yield "random", random(2, *shape)
    free = [axis for axis, size in enumerate(spec.shape[1:]) if isinstance(size, str)]
    if not free:
        return
    yield "size 1", random(1, *_sized(shape, dict.fromkeys(free, 1)))
    for axis in free:
        yield (
            f"{spec.shape[axis + 1]} {_WIDE}, else 1",
            random(1, *_sized(shape, dict.fromkeys(free, 1) | {axis: _WIDE})),
        )
        yield f"{spec.shape[axis + 1]} {_WIDE}", random(1, *_sized(shape, {axis: _WIDE}))
    for sizes in _SIZES:
        chosen = dict(zip(free, itertools.cycle(sizes)))
        yield f"size {' x '.join(map(str, chosen.values()))}", random(2, *_sized(shape, chosen))


def _sized(shape: tuple[int, ...], sizes: dict[int, int]) -> tuple[int, ...]:
    return tuple(sizes.get(axis, size) for axis, size in enumerate(shape))
