"""The arithmetic that is certified, and the yardstick that belongs to it: a twin that rounds alike.

    fp32    torch float32 as it is
    tf32    factors of convolutions and matrix products rounded to 10 bits after the point, sums in float32: what CUDA
            does with `use_tf32`
    bf16    every value rounded to bfloat16, sums inside an operator in float32
    fp16    every value rounded to float16, sums inside an operator in float32; overflow is infinite, as on a GPU

The limit on the noise ratio is one and the same for all: what changes is the noise. Which arithmetic it is, is said by
whoever asks, never read from the file: a layer that was put into fp16 by mistake would excuse itself.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from deploy.providers import Provider
from stages.recipe import Precision

WORDS: dict[Precision, str] = {
    "fp32": "torch float32",
    "tf32": "torch rounded to TF32",
    "bf16": "torch rounded to bfloat16",
    "fp16": "torch rounded to float16",
}

UNITS: dict[Precision, float] = {"fp32": 2.0**-24, "tf32": 2.0**-11, "bf16": 2.0**-8, "fp16": 2.0**-11}
"""Unit roundoff: half a unit in the last place of 1."""

# Positions of the factors among the arguments of what tensor cores compute; biases are added in float32.
FACTORS = {
    "convolution": (0, 1),
    "linear": (0, 1),
    "mm": (0, 1),
    "bmm": (0, 1),
    "mv": (0, 1),
    "dot": (0, 1),
    "addmm": (1, 2),
    "addmv": (1, 2),
    "baddbmm": (1, 2),
    "_trilinear": (0, 1, 2),
    "_scaled_dot_product_flash_attention_for_cpu": (0, 1, 2),
    "mkldnn_rnn_layer": (0, 1, 2),
}


def provider_options(precision: Precision, provider: Provider) -> dict[str, str]:
    """Return the provider options that make a session compute in a precision."""
    return {"use_tf32": "1"} if precision == "tf32" and provider == "cuda" else {}


def arithmetic(precision: Precision, options: Mapping[str, str]) -> Precision:
    """Return the precision to judge by, of a variant in a session with these options: TF32 only where it is on."""
    if precision in ("bf16", "fp16"):
        return precision
    return "tf32" if options.get("use_tf32") == "1" else "fp32"


@contextmanager
def rounding(precision: Precision) -> Iterator[None]:
    """Make float32 modules of torch round as `precision` does, on any CPU, for the length of a block."""
    if precision == "fp32":
        yield
        return
    with seen(_Tf32(to_tf32) if precision == "tf32" else _Half(to_bfloat16 if precision == "bf16" else to_float16)):
        yield


@contextmanager
def seen(mode: TorchDispatchMode) -> Iterator[None]:
    """Run a block with every elementary operator seen by `mode`."""
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)  # one opaque operator, whose factors could not be reached
    try:
        with mode:
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)


def to_tf32(values: torch.Tensor) -> torch.Tensor:
    """Return float32 values rounded to 10 bits after the point, ties to even; infinities and NaN as they are."""
    bits = values.contiguous().view(torch.int32)
    rounded = (bits + 0xFFF + ((bits >> 13) & 1)) & ~0x1FFF
    return torch.where(values.isfinite(), rounded.view(torch.float32), values)


def to_bfloat16(values: torch.Tensor) -> torch.Tensor:
    """Return float32 values rounded to bfloat16's 7 bits after the point."""
    return values.bfloat16().float()


def to_float16(values: torch.Tensor) -> torch.Tensor:
    """Return float32 values rounded to float16: 10 bits after the point, infinite above 65,504."""
    return values.half().float()


class Rounding(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Sees every elementary operator: composite ones are taken apart first, which inference mode leaves whole."""

    def __init__(self, nearest: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.nearest = nearest

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func.overloadpacket.__name__ not in FACTORS:
            with self:
                result = func.decompose(*args, **kwargs)
            if result is not NotImplemented:
                return result
        return self.compute(func, args, kwargs)

    def compute(self, func: Any, args: Any, kwargs: Any) -> Any:
        """Return what one elementary operator answers."""
        raise NotImplementedError


class _Tf32(Rounding):  # type: ignore[no-untyped-call]
    def compute(self, func: Any, args: Any, kwargs: Any) -> Any:
        factors = FACTORS.get(func.overloadpacket.__name__, ())
        return func(*(each_float32(a, self.nearest) if i in factors else a for i, a in enumerate(args)), **kwargs)


class _Half(Rounding):  # type: ignore[no-untyped-call]
    def compute(self, func: Any, args: Any, kwargs: Any) -> Any:
        if any(value.alias_info is not None for value in func._schema.returns):  # a view, or written in place
            result = func(*args, **kwargs)
            if func._schema.is_mutable and isinstance(result, torch.Tensor) and result.dtype == torch.float32:
                result.copy_(self.nearest(result))
            return result
        result = func(*(each_float32(a, self.nearest) for a in args), **kwargs)
        return each_float32(result, self.nearest)


def each_float32(value: Any, change: Callable[[torch.Tensor], torch.Tensor]) -> Any:
    """Return a value with float32 tensors, alone or in lists and tuples, made others; anything else stays."""
    if isinstance(value, torch.Tensor):
        return change(value) if value.dtype == torch.float32 else value
    if isinstance(value, list | tuple):
        return type(value)(each_float32(v, change) for v in value)
    return value
