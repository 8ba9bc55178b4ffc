"""Inputs at the edges of what they may be: where graphs break that answer well on real data."""

import itertools
import math
from collections.abc import Iterator, Mapping

import numpy as np

from deploy.bundle import Signature, TensorSpec
from stages.dataset import Array
from stages.verify.material import head, repeated
from stages.verify.reference import Feeds, Particular, Reference, Transparent

_WIDE = 1500
_MOST = 2**22  # values in a batch of wide rows
_MOST_INSIDE = 2**18  # the same where the network works at the size that comes: its maps are then as wide
_MOST_VOXELS = 2**16  # of volumes: in float64 a 3-D convolution lays out each value of each map 27 times
_PRIME = 127
_SIZES = ((37, 53), (64, 31), (127, 127))
_VOLUMES = ((13, 22, 9), (16, 31, 12), (31, 31, 31))


def all_edges(reference: Reference, like: Feeds) -> Iterator[tuple[str, Feeds]]:
    """Yield the edges of any tensors, and those of the reference's kind of input."""
    most = _MOST_INSIDE if works_inside(reference) else _MOST
    yield from edges(reference.input, like, most=_MOST_VOXELS if works_on_volumes(reference) else most)
    if isinstance(reference, Particular):
        yield from reference.cases(like)


def works_inside(reference: Reference) -> bool:
    """Tell whether the network works at the size that comes, so that its maps are as large as its input."""
    return isinstance(reference, Transparent) and not reference.own


def works_on_volumes(reference: Reference) -> bool:
    """Tell whether the network works at the size that comes, and what comes is free in three directions."""
    return works_inside(reference) and any(len(_free(spec)) > 2 for spec in reference.input.tensors)


def edges(signature: Signature, like: Feeds, seed: int = 0, most: int = _MOST) -> Iterator[tuple[str, Feeds]]:
    """Yield named batches of a few rows: each input at its edges in turn, the others as in `like`.

    `most` values are in a batch of wide rows, or as many as one has that is twice as wide as those.
    """
    for spec in signature.tensors:
        for name, array in _edges(spec, like[spec.name], np.random.default_rng(seed), most):
            title = name if len(signature.tensors) == 1 else f"{spec.name}: {name}"
            yield title, repeated(like, len(array)) | {spec.name: array}


def _edges(spec: TensorSpec, like: Array, generator: np.random.Generator, most: int) -> Iterator[tuple[str, Array]]:
    """Yield all smallest, all largest, one value; where sizes are free: 1, very long, odd, prime and large ones."""
    low, high = spec.range or (0.0, 1.0)
    shape = like.shape[1:]
    dtype = np.dtype(spec.dtype)

    def random(*sizes: int) -> Array:
        if dtype.kind == "i":  # symbols, not quantities: most others than those of the data would mean nothing
            return generator.choice(like.reshape(-1), sizes)
        values = generator.uniform(low, high, sizes)
        return (values.round() if dtype.kind in "iu" else values).astype(dtype)

    yield "all smallest", np.full((1, *shape), low, dtype)
    yield "all largest", np.full((1, *shape), high, dtype)
    single = np.full((1, *shape), low, dtype)
    single.reshape(-1)[single.size // 2] = high
    yield "one value", single
    yield "random", random(2, *shape)
    free = _free(spec)
    if not free:
        return
    yield "size 1", random(1, *_sized(shape, dict.fromkeys(free, 1)))
    for axis in free:
        wide = _wide(shape, axis, most)
        title = f"{spec.shape[axis + 1]} {wide}"
        yield title, random(1, *_sized(shape, {axis: wide}))
        places = np.arange(wide) * shape[axis] // wide  # like a row of the data: mere noise may saturate a soft-max
        rows = max(1, most // (wide * like[0].size // shape[axis]))
        yield f"{title}, stretched", np.take(like[: min(8, rows)], places, axis=axis + 1)
        yield f"{title}, else 1", random(1, *_sized(shape, dict.fromkeys(free, 1) | {axis: _WIDE}))
    for sizes in _VOLUMES if most == _MOST_VOXELS else _SIZES:
        chosen = dict(zip(free, itertools.cycle(sizes)))
        yield f"size {' x '.join(map(str, chosen.values()))}", random(2, *_sized(shape, chosen))


def _wide(shape: tuple[int, ...], axis: int, most: int) -> int:
    """Return a size that is long, yet no more than memory holds of volumes."""
    return max(2 * shape[axis], min(_WIDE, most * shape[axis] // max(1, math.prod(shape))))


def nasty(signature: Signature, like: Feeds, own: Mapping[str, int]) -> Iterator[tuple[str, Feeds]]:
    """Yield named rows that are hard on resizing, pooling and rounding: each input in turn, the others as in `like`.

    `own` are the sizes that the network works at inside, by the name of a free size; without them, those of `like`.
    """
    for spec in signature.tensors:
        for name, array in _nasty(spec, like[spec.name], own):
            title = name if len(signature.tensors) == 1 else f"{spec.name}: {name}"
            yield title, repeated(like, len(array)) | {spec.name: array}


def _nasty(spec: TensorSpec, like: Array, own: Mapping[str, int]) -> Iterator[tuple[str, Array]]:
    """Yield patterns that alias, single pixels and denormals; where sizes are free, patterns one off the own size."""
    low, high = spec.range or (0.0, 1.0)
    shape, dtype = like.shape[1:], np.dtype(spec.dtype)
    free = _free(spec) or list(range(len(shape)))

    def pattern(sizes: tuple[int, ...], axes: list[int]) -> Array:
        parity = np.indices(sizes)[axes].sum(0) % 2 if sizes else np.zeros(sizes)
        return np.where(parity, high, low).astype(dtype)[None]

    yield "checkerboard", pattern(shape, free)
    for axis in free:
        yield f"stripes across {spec.shape[axis + 1]}", pattern(shape, [axis])
    for place in (0, -1):
        pixel = np.full((1, *shape), low, dtype)
        pixel[(0, *[place] * len(shape))] = high
        yield f"{'first' if place == 0 else 'last'} value only", pixel
    if dtype.kind == "f" and low <= 0 <= high:
        yield "denormals", np.full((1, *shape), np.finfo(dtype).smallest_subnormal * 3, dtype)
    if not any(isinstance(size, str) for size in spec.shape[1:]):
        return
    inner = {axis: own.get(str(spec.shape[axis + 1]), shape[axis]) for axis in free}
    for off in (-1, 0, 1):
        sizes = _sized(shape, {axis: max(1, size + off) for axis, size in inner.items()})
        yield f"checkerboard {' x '.join(str(sizes[axis]) for axis in free)}", pattern(sizes, free)
    for axis in free:
        sizes = _sized(shape, dict.fromkeys(free, 1) | {axis: _PRIME})
        yield f"stripes of {' x '.join(str(sizes[a]) for a in free)}", pattern(sizes, [axis])


def unfinite(signature: Signature, like: Feeds) -> Iterator[tuple[str, Feeds]]:
    """Yield pairs of rows of real numbers: one as in `like`, one with NaN or infinity in one value or in all."""
    for spec in signature.tensors:
        if not spec.dtype.startswith("float"):
            continue
        for value in (np.nan, np.inf, -np.inf):
            for words, places in (("one value", slice(0, 1)), ("all values", slice(None))):
                feeds = {name: array.copy() for name, array in repeated(like, 2).items()}
                feeds[spec.name][1].reshape(-1)[places] = value
                yield f"{spec.name}: {value:g} in {words}", feeds


def empty(like: Feeds) -> Feeds:
    """Return a batch of no rows."""
    return head(like, 0)


def _free(spec: TensorSpec) -> list[int]:
    """Return the axes of a row, without the batch, whose size is free."""
    return [axis for axis, size in enumerate(spec.shape[1:]) if isinstance(size, str)]


def _sized(shape: tuple[int, ...], sizes: dict[int, int]) -> tuple[int, ...]:
    return tuple(sizes.get(axis, size) for axis, size in enumerate(shape))
