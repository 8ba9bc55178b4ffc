"""`--set train.epochs=3`: changes to a recipe from the command line, typed like the recipe itself."""

import dataclasses
import json
import typing
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from deploy.errors import UsageError
from deploy.schema import closest, from_plain, to_plain
from stages import discover
from stages.recipe import Component

T = TypeVar("T")

_FOLDERS = {"data": "data", "input": "inputs", "model": "models", "task": "tasks"}  # by field of a recipe


def apply(recipe: T, settings: Iterable[str]) -> T:
    """Return the recipe (or another frozen dataclass of configs) with settings applied in order.

    `train.lr=0.1` sets a field; `model=resnet18` takes another component; `model.activation=tanh` sets an option of
    one. What is expected to be text is taken as it is typed, `1` and `true` too. Raises `UsageError` for an unknown key
    (naming the closest) and for a value that does not fit its type; whether there are such components and options is
    seen when they are built.
    """
    for setting in settings:
        recipe = _apply_one(recipe, setting)
    return recipe


def _apply_one(recipe: T, setting: str) -> T:
    key, equals, text = setting.partition("=")
    if not equals:
        raise UsageError(f"--set {setting!r}: expected KEY=VALUE, for example train.epochs=3")
    error: UsageError | None = None
    for value in _readings(text):
        plain = to_plain(recipe)
        try:
            _assign(recipe, plain, key, value)
            return from_plain(type(recipe), plain)
        except UsageError as caught:
            error = error or caught
    raise UsageError(f"--set {setting}: {error}")


def _readings(text: str) -> list[Any]:
    """Return what the text can mean: a JSON value if it is one, the same with its numbers as typed, the text itself."""
    lowered = {"true": True, "false": False}.get(text.lower())
    if lowered is not None:
        return [lowered, text]
    try:
        return [json.loads(text), json.loads(text, parse_int=str, parse_float=str, parse_constant=str), text]
    except ValueError:
        return [text]


def _assign(node: Any, plain: dict[str, Any], key: str, value: Any) -> None:
    """Put the value into `plain`, which is `node` (a config, or a mapping of one) as JSON values."""
    head, _, rest = key.partition(".")
    free = isinstance(node, Mapping)  # keys of its own choice: options, parameter groups
    if not free and head not in plain:
        raise UsageError(f"no such key {head!r}; {closest(head, plain)}")
    child = node.get(head, {}) if free else getattr(node, head)
    if isinstance(child, Component):
        _assign_component(child, plain[head], head, rest, value)
    elif not rest:
        plain[head] = value
    elif isinstance(child, Mapping) or dataclasses.is_dataclass(child):
        _assign(child, plain.setdefault(head, {}), rest, value)
    else:
        raise UsageError(f"{head} has no keys inside it; set {head} itself")


def _assign_component(component: Component, plain: dict[str, Any], head: str, rest: str, value: Any) -> None:
    if not rest:
        plain.update(name=value, options={} if value != component.name else plain["options"])
    elif rest == "name":
        plain["name"] = value
    else:
        plain["options"][rest] = value
        from_plain(_annotation(head, component, rest), value, f"{component.name}, option {rest!r}")


def _annotation(head: str, component: Component, option: str) -> Any:
    """Return what type an option is of; `Any` where there is no such component or option."""
    found = discover.found(_FOLDERS[head]).get(component.name.partition(":")[0])
    return typing.get_type_hints(found.function()).get(option, Any) if found else Any
