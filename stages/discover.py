"""Names from folders: what is there is what can be used, and nothing is registered anywhere.

    recipes   public functions of stages/tasks/*/recipes*.py
    tasks     stages/tasks/<name>/task.py, function <name>(info, *, options)
    models    public functions of stages/models/*.py: <name>(shape, *, options); also as <name>:<architecture>
    data      stages/data/<name>.py, function <name>(root, *, options)
    inputs    stages/inputs/<name>.py, function <name>(info, *, options)

Names are read from the source text, so listing them imports nothing (no torch). Keyword-only parameters are the options
that a recipe may set; they are checked against their annotations.
"""

import ast
import functools
import importlib
import importlib.util
import inspect
import sys
import typing
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploy.errors import UsageError
from deploy.schema import closest, from_plain
from stages.recipe import Component, Recipe

ROOT = Path(__file__).parent
_WHERE = {
    "recipes": "tasks/*/recipes*.py",
    "tasks": "tasks/*/task.py",
    "models": "models/*.py",
    "data": "data/*.py",
    "inputs": "inputs/*.py",
}


@dataclass(frozen=True)
class Found:
    """A function by name: where it stands, and the first line of its docstring."""

    name: str
    module: str
    summary: str

    def function(self) -> Callable[..., Any]:
        """Import the module and return the function."""
        return getattr(importlib.import_module(self.module), self.name)  # type: ignore[no-any-return]


@functools.cache
def found(folder: str) -> dict[str, Found]:
    """Return what is in a folder (`recipes`, `tasks`, `models`, `data`, `inputs`), by name, sorted."""
    entries: dict[str, Found] = {}
    for path in sorted(ROOT.glob(_WHERE[folder])):
        if path.name == "__init__.py":
            continue
        module = ".".join(("stages", *path.relative_to(ROOT).with_suffix("").parts))
        single = {"tasks": path.parent.name, "data": path.stem, "inputs": path.stem}.get(folder)
        for node in ast.parse(path.read_text()).body:
            wanted = isinstance(node, ast.FunctionDef) and not node.name.startswith("_")
            if wanted and single in (None, node.name):  # type: ignore[attr-defined]
                summary = (ast.get_docstring(node) or "").partition("\n")[0]  # type: ignore[arg-type]
                entries[node.name] = Found(node.name, module, summary)  # type: ignore[attr-defined]
    return dict(sorted(entries.items()))


def find(folder: str, name: str) -> Found:
    """Return one entry; an unknown name is a `UsageError` with the closest one and the choices."""
    try:
        return found(folder)[name]
    except KeyError:
        singular = folder.rstrip("s") if folder != "data" else "data source"
        raise UsageError(f"unknown {singular} {name!r}; {closest(name, found(folder))}") from None


def call(folder: str, component: Component, *arguments: Any) -> Any:
    """Call the function behind a component with its options, checked first.

    Raises `UsageError` for an unknown name, an unknown option or a value of the wrong type.
    """
    function, options = resolve(folder, component)
    return function(*arguments, **options)


def resolve(folder: str, component: Component) -> tuple[Callable[..., Any], dict[str, Any]]:
    """Return the function behind a component and its options, checked; raises `UsageError` as `call` does.

    `timm:resnet18` is the function `timm` with its option `architecture` set to "resnet18".
    """
    name, colon, architecture = component.name.partition(":")
    if colon:
        component = Component(name, {**component.options, "architecture": architecture})
    function = find(folder, name).function()
    return function, check_options(function, component, folder)


def check_options(function: Callable[..., Any], component: Component, where: str) -> dict[str, Any]:
    """Return the component's options, each converted to its parameter's annotation."""
    hints = typing.get_type_hints(function)
    parameters = inspect.signature(function).parameters.values()
    known = {p.name: hints[p.name] for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY}
    checked = {}
    for name, value in component.options.items():
        place = f"{where} {component.name}, option {name!r}"
        if name not in known:
            raise UsageError(f"{place}: no such option; {closest(name, known)}")
        checked[name] = from_plain(known[name], value, place)
    for parameter in parameters:
        if parameter.name in known and parameter.default is parameter.empty and parameter.name not in checked:
            field = where if where == "data" else where.rstrip("s")
            raise UsageError(
                f"{where} {component.name}: option {parameter.name!r} is needed; --set {field}.{parameter.name}=VALUE"
            )
    return checked


def recipe(reference: str) -> Recipe:
    """Return the recipe behind a name, or behind a Python file: `./mine.py`, or `./mine.py:name` if it has several."""
    if reference.partition(":")[0].endswith(".py"):
        return _recipe_from_file(reference)
    return find("recipes", reference).function()()  # type: ignore[no-any-return]


def _recipe_from_file(reference: str) -> Recipe:
    path_text, _, name = reference.partition(":")
    path = Path(path_text)
    if not path.is_file():
        raise UsageError(f"{path}: no such recipe file; write one: pipeline init FOLDER_OF_IMAGES")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise UsageError(f"{path}: not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    try:
        spec.loader.exec_module(module)
    except UsageError:
        raise
    except Exception as error:
        raise UsageError(f"{path}: could not be imported: {type(error).__name__}: {error}") from error
    here = {
        key: value
        for key, value in vars(module).items()
        if inspect.isfunction(value) and value.__module__ == module.__name__ and not key.startswith("_")
    }
    if not name and len(here) == 1:
        name = next(iter(here))
    if name not in here:
        wanted = f"recipe {name!r}" if name else "exactly one public function"
        raise UsageError(f"{path}: expected {wanted}; {closest(name, here)}; name one: {path}:NAME")
    made = here[name]()
    if not isinstance(made, Recipe):
        raise UsageError(f"{path}: {name}() returned {type(made).__name__}, expected a Recipe (stages.recipe)")
    return made
