"""Inputs at the edges of what they may be: where graphs break that answer well on real data."""

import itertools
from collections.abc import Iterator

import numpy as np

from deploy.bundle import Signature, TensorSpec
from stages.dataset import Array
from stages.verify.material import repeated
from stages.verify.reference import Feeds

_WIDE = 1500
_SIZES = ((37, 53), (64, 31), (127, 127))


def edges(signature: Signature, like: Feeds, seed: int = 0) -> Iterator[tuple[str, Feeds]]:
    """Yield named batches of one or two rows: each input at its edges in turn, the others as in `like`."""
    for spec in signature.tensors:
        for name, array in _edges(spec, like[spec.name], np.random.default_rng(seed)):
            title = name if len(signature.tensors) == 1 else f"{spec.name}: {name}"
            yield title, repeated(like, len(array)) | {spec.name: array}


def _edges(spec: TensorSpec, like: Array, generator: np.random.Generator) -> Iterator[tuple[str, Array]]:
    """Yield all smallest, all largest, one value; where sizes are free: 1, very long, odd, prime and large ones."""
    low, high = spec.range or (0.0, 1.0)
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
        long = {axis: _WIDE}
        yield f"{spec.shape[axis + 1]} {_WIDE}", random(1, *_sized(shape, long))
        yield f"{spec.shape[axis + 1]} {_WIDE}, else 1", random(1, *_sized(shape, dict.fromkeys(free, 1) | long))
    for sizes in _SIZES:
        chosen = dict(zip(free, itertools.cycle(sizes)))
        yield f"size {' x '.join(map(str, chosen.values()))}", random(2, *_sized(shape, chosen))


def _sized(shape: tuple[int, ...], sizes: dict[int, int]) -> tuple[int, ...]:
    return tuple(sizes.get(axis, size) for axis, size in enumerate(shape))
