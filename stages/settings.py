"""`--set train.epochs=3`: changes to a recipe from the command line, typed like the recipe itself."""

import json
from collections.abc import Iterable
from typing import Any

from deploy.errors import UsageError
from deploy.schema import closest, from_plain, to_plain
from stages.recipe import Recipe

COMPONENTS = ("data", "input", "model", "task")


def apply(recipe: Recipe, settings: Iterable[str]) -> Recipe:
    """Return the recipe with settings applied in order.

    `train.lr=0.1` sets a field; `model=resnet18` takes another component; `model.activation=tanh` sets an option of
    one. Raises `UsageError` for an unknown key (naming the closest) and for a value that does not fit its type;
    options are checked when their component is built.
    """
    for setting in settings:
        recipe = _apply_one(recipe, setting)
    return recipe


def _apply_one(recipe: Recipe, setting: str) -> Recipe:
    key, equals, text = setting.partition("=")
    if not equals:
        raise UsageError(f"--set {setting!r}: expected KEY=VALUE, for example train.epochs=3")
    error: UsageError | None = None
    for value in _readings(text):
        plain = to_plain(recipe)
        _assign(plain, key, value)
        try:
            return from_plain(Recipe, plain)
        except UsageError as caught:
            error = error or caught
    raise UsageError(f"--set {setting}: {error}")


def _readings(text: str) -> list[Any]:
    """Return what the text can mean: a JSON value if it is one, and the text itself."""
    lowered = {"true": True, "false": False}.get(text.lower())
    if lowered is not None:
        return [lowered, text]
    try:
        return [json.loads(text), text]
    except ValueError:
        return [text]


def _assign(plain: dict[str, Any], key: str, value: Any) -> None:
    head, _, rest = key.partition(".")
    if head not in plain:
        raise UsageError(f"--set {key}: no such key {head!r}; {closest(head, plain)}")
    if head in COMPONENTS:
        if not rest:
            plain[head] = {"name": value, "options": {}}
        elif rest == "name":
            plain[head]["name"] = value
        else:
            plain[head]["options"][rest] = value
    elif not rest:
        plain[head] = value
    else:
        _assign(plain[head], rest, value)
