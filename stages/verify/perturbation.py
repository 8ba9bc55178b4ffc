"""What other honest implementations of the same arithmetic may answer, by chance: more draws for the yardstick.

perturbed    every value of every operator moved by up to one unit in the last place (Monte Carlo arithmetic:
             D. S. Parker, 1997, UCLA CSD-970002)
reordered    long sums moved by what adding their terms in another order costs
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch

from stages.recipe import Precision
from stages.verify.precision import FACTORS, UNITS, Rounding, each_float32, seen, to_bfloat16, to_float16

_SUMS = frozenset({"mean", "sum", "_adaptive_avg_pool2d", "_adaptive_avg_pool3d", "avg_pool2d", "avg_pool3d"})


@contextmanager
def perturbed(precision: Precision, seed: int, *, alike: bool) -> Iterator[None]:
    """Make float32 modules of torch round as another implementation of `precision` may, by chance.

    alike    all places of a map, which come from the same weights, move alike: where an input is constant, or striped,
             the errors of an implementation do, and no mean over the map takes them out
    """
    fused = torch.backends.mkldnn.enabled
    # Its recurrent layers are one operator, whose steps could not be reached.
    torch.backends.mkldnn.enabled = False  # type: ignore[assignment]
    try:
        with seen(_Perturbed(precision, seed, alike=alike)):
            yield
    finally:
        torch.backends.mkldnn.enabled = fused


@contextmanager
def reordered(precision: Precision, seed: int) -> Iterator[None]:
    """Make float32 modules of torch round as an implementation may that adds the terms of long sums in sequence.

    torch adds in pairs, ONNX Runtime in sequence along some axes. n roundings one after the other move a sum by up to
    sqrt(n) / 9 units in the last place. Higham, Accuracy and Stability of Numerical Algorithms, section 4.2, has the
    root; 1,500, 5,000 and 50,000 terms measured 8.5, 15.5 and 52 times the rounding of one value, as against 8.6, 16
    and 50 by this formula.
    """
    with seen(_Reordered(precision, seed)):
        yield


class _Moving(Rounding):  # type: ignore[no-untyped-call]
    """Moves values at random before they are rounded to a precision."""

    def __init__(self, precision: Precision, seed: int, *, alike: bool = False) -> None:
        super().__init__({"bf16": to_bfloat16, "fp16": to_float16}.get(precision, lambda values: values))
        self.unit = 2 * UNITS["fp32" if precision == "tf32" else precision]
        self.factor_unit = 2 * UNITS[precision]
        self.alike = alike
        self.generator = torch.Generator().manual_seed(seed)

    def moved(self, values: torch.Tensor, most: float) -> torch.Tensor:
        """Return values moved by up to `most` of each; where `alike`, by one draw for each (N, C) of (N, C, ...)."""
        shape = (*values.shape[:2], *[1] * (values.ndim - 2)) if self.alike else values.shape
        return self.nearest(values + values * (torch.rand(shape, generator=self.generator) * (2 * most) - most))


class _Perturbed(_Moving):  # type: ignore[no-untyped-call]
    def compute(self, func: Any, args: Any, kwargs: Any) -> Any:
        factors = FACTORS.get(func.overloadpacket.__name__, ())
        args = self.rescaled(func, args)
        factor, value = partial(self.moved, most=self.factor_unit), partial(self.moved, most=self.unit)
        result = func(*(each_float32(a, factor) if i in factors else a for i, a in enumerate(args)), **kwargs)
        if all(returned.alias_info is None for returned in func._schema.returns):
            return each_float32(result, value)
        if func._schema.is_mutable and isinstance(result, torch.Tensor) and result.dtype == torch.float32:
            result.copy_(value(result))
        return result

    def rescaled(self, func: Any, args: Any) -> Any:
        """Return the arguments of a resize with its scales moved: where it looks between pixels is rounded too.

        On smooth pictures that is nothing; on stripes one pixel wide it was all of ONNX Runtime's error, 15 times
        torch's.
        """
        names = [argument.name for argument in func._schema.arguments]
        scales = [place for place, name in enumerate(names) if name.startswith("scales")]
        if not scales or len(args) < 2 or not isinstance(args[1], list | tuple):
            return args
        padded = [*args, *[None] * (len(names) - len(args))]
        for place, size, old in zip(scales, args[1], args[0].shape[2:], strict=True):
            move = float(torch.rand((), generator=self.generator)) * 2 - 1
            padded[place] = (padded[place] or size / old) * (1 + move * self.unit)
        return tuple(padded)


class _Reordered(_Moving):  # type: ignore[no-untyped-call]
    def compute(self, func: Any, args: Any, kwargs: Any) -> Any:
        result = func(*args, **kwargs)
        if func.overloadpacket.__name__ not in _SUMS:
            return result
        terms = args[0].numel() / max(1, result.numel())
        return each_float32(result, partial(self.moved, most=self.unit * math.sqrt(terms) / 9))
