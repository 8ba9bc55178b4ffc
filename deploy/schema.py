"""Frozen dataclasses to plain JSON values and back, strictly.

One reader for manifests, results and recipes: an unknown key, a missing key or a value of another type is a
`UsageError` that names the place and, for a key, the closest one that exists. Nothing is guessed except what JSON
itself cannot say: lists become tuples, an integer fits where a float is expected.
"""

import dataclasses
import types
import typing
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from deploy.errors import UsageError

T = TypeVar("T")


def closest(name: str, choices: Iterable[str]) -> str:
    """Return `did you mean 'x'? ` or an empty string, and then the choices: the tail of an error about a name."""
    import difflib  # here, because only a mistake needs it

    names = sorted(choices)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return f"{hint}choose from: {', '.join(names) or '(none)'}"


def to_plain(value: Any) -> Any:
    """Return `value` as JSON values: dataclasses as dicts, tuples as lists; anything else must be JSON already."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: to_plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): to_plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [to_plain(item) for item in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"{type(value).__name__} has no JSON form: {value!r}")


def from_plain(expected: type[T], value: Any, where: str = "") -> T:
    """Build `expected` (a dataclass, or any annotation made of them) from JSON values.

    Raises `UsageError` naming `where` for an unknown or missing key and for a value of the wrong type.
    """
    return typing.cast(T, _build(expected, value, where))


def _build(expected: Any, value: Any, where: str) -> Any:
    if isinstance(expected, type) and dataclasses.is_dataclass(expected) and isinstance(value, expected):
        return value  # built already
    if dataclasses.is_dataclass(expected) and isinstance(expected, type):
        return _build_dataclass(expected, value, where)
    origin, arguments = typing.get_origin(expected), typing.get_args(expected)
    if origin in (typing.Union, types.UnionType):
        return _build_union(arguments, value, where)
    if origin is typing.Literal:
        if value in arguments:
            return value
        raise UsageError(f"{where}: {value!r} is not one of {', '.join(map(repr, arguments))}")
    if origin is tuple:
        return _build_tuple(arguments, value, where)
    if origin in (dict, Mapping):
        _require(isinstance(value, Mapping), "a mapping", value, where)
        return {key: _build(arguments[1], item, f"{where}.{key}") for key, item in value.items()}
    if expected is Any:
        return value
    if expected is float:
        _require(isinstance(value, int | float) and not isinstance(value, bool), "a number", value, where)
        return float(value)
    name = "nothing" if expected is type(None) else expected.__name__
    fits = isinstance(value, expected) and not (isinstance(value, bool) and expected is not bool)
    _require(fits, name, value, where)
    return value


def _build_dataclass(expected: Any, value: Any, where: str) -> Any:
    _require(isinstance(value, Mapping), "a mapping", value, where)
    fields = {field.name: field for field in dataclasses.fields(expected)}
    for key in value:
        if key not in fields:
            raise UsageError(f"{_join(where, key)}: no such key; {closest(key, fields)}")
    hints = typing.get_type_hints(expected)
    built = {key: _build(hints[key], item, _join(where, key)) for key, item in value.items()}
    for name, field in fields.items():
        optional = field.default is not dataclasses.MISSING or field.default_factory is not dataclasses.MISSING
        if name not in built and not optional:
            raise UsageError(f"{_join(where, name)}: missing")
    return expected(**built)


def _build_union(arguments: tuple[Any, ...], value: Any, where: str) -> Any:
    for argument in arguments:
        try:
            return _build(argument, value, where)
        except UsageError:
            continue
    names = " or ".join(getattr(a, "__name__", str(a)) for a in arguments)
    raise UsageError(f"{where}: expected {names}, got {value!r}")


def _build_tuple(arguments: tuple[Any, ...], value: Any, where: str) -> Any:
    _require(isinstance(value, list | tuple), "a list", value, where)
    if len(arguments) == 2 and arguments[1] is Ellipsis:
        arguments = (arguments[0],) * len(value)
    _require(len(arguments) == len(value), f"{len(arguments)} values", value, where)
    pairs = zip(arguments, value, strict=True)
    return tuple(_build(argument, item, f"{where}[{i}]") for i, (argument, item) in enumerate(pairs))


def _require(fits: bool, expected: str, value: Any, where: str) -> None:
    if not fits:
        raise UsageError(f"{where or 'value'}: expected {expected}, got {value!r}")


def _join(where: str, key: str) -> str:
    return f"{where}.{key}" if where else str(key)
