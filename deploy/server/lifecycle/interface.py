"""Whether one version of a model may answer what was meant for another."""

from collections.abc import Callable

from deploy.bundle import TensorSpec
from deploy.errors import BundleError
from deploy.predictor import Info

_Fits = Callable[[TensorSpec, TensorSpec], bool]


def require_fit(new: Info, old: Info) -> None:
    """Raise `BundleError` unless clients of the old version can use the new one without a change.

    It has the same name and kinds, takes at least the same inputs, and gives at least the same outputs: dtypes and axes
    are equal; a size may become free in an input, and may change in an output (a class more).
    """
    if new.name != old.name:
        raise BundleError(
            f"it is model {new.name!r}, and {old.name!r} is served from here; serve it from a folder of its own"
        )
    for side, ours, theirs in (("input", new.input, old.input), ("output", new.output, old.output)):
        if ours.kind != theirs.kind:
            raise BundleError(
                f"its {side} is of kind {ours.kind!r}, clients expect {theirs.kind!r}; package it under another name"
            )
    _require(new.input.tensors, old.input.tensors, "input", _takes)
    _require(new.output.tensors, old.output.tensors, "output", _like)
    names = {spec.name for spec in old.input.tensors}
    for spec in new.input.tensors:
        if spec.name not in names:
            raise BundleError(f"it needs an input {spec.name!r}, which no client sends; package it under another name")


def _require(new: tuple[TensorSpec, ...], old: tuple[TensorSpec, ...], side: str, fits: _Fits) -> None:
    found = {spec.name: spec for spec in new}
    for spec in old:
        ours = found.get(spec.name)
        if ours is None or not fits(ours, spec):
            words = f"{ours.dtype} {_shape(ours)}" if ours else "not there"
            raise BundleError(
                f"its {side} {spec.name!r} is {words}, clients expect {spec.dtype} {_shape(spec)}; "
                "package it under another name"
            )


def _like(new: TensorSpec, old: TensorSpec) -> bool:
    return new.dtype == old.dtype and len(new.shape) == len(old.shape)


def _takes(new: TensorSpec, old: TensorSpec) -> bool:
    sizes = zip(new.shape, old.shape, strict=False)
    return _like(new, old) and all(isinstance(ours, str) or ours == theirs for ours, theirs in sizes)


def _shape(spec: TensorSpec) -> str:
    return "x".join(map(str, spec.shape)) or "scalar"
