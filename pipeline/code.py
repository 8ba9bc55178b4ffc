"""Which source files decide what a stage makes, as one digest: when one of them changes, the stage is made again."""

import ast
import functools
from collections.abc import Iterator
from pathlib import Path

import stages
from deploy import files

ROOT = Path(stages.__file__).parent.parent
_BY_NAME = ("stages/models/*.py", "stages/data/*.py", "stages/inputs/*.py", "stages/tasks/*/task.py")
_PACKAGES = ("stages", "deploy")


def code_version(stage: str) -> str:
    """Return the SHA-256 over the stage's files, what discovery can find, and all that these import from the project.

    Recipes do not count: their values are among the inputs already.
    """
    todo = [
        path for pattern in (f"stages/{stage}.py", f"stages/{stage}/**/*.py", *_BY_NAME) for path in ROOT.glob(pattern)
    ]
    seen: set[Path] = set()
    while todo:
        path = todo.pop()
        if path not in seen:
            seen.add(path)
            todo.extend(_imports(path))
    lines = [f"{path.relative_to(ROOT).as_posix()} {files.sha256_file(path)}\n" for path in sorted(seen)]
    return files.sha256("".join(lines).encode())


@functools.cache
def _imports(path: Path) -> tuple[Path, ...]:
    """Return the project's files that a file imports anywhere in its text."""
    found = (file for node in ast.walk(ast.parse(path.read_bytes())) for file in _imported(node))
    return tuple(file for file in found if file is not None)


def _imported(node: ast.AST) -> Iterator[Path | None]:
    if isinstance(node, ast.Import):
        yield from (_file(alias.name) for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and node.module:
        # In `from a import b`, b may be a module; then what else stands in a's `__init__.py` is not used.
        yield from (_file(f"{node.module}.{alias.name}") or _file(node.module) for alias in node.names)


def _file(name: str) -> Path | None:
    """Return the file of a module of the project; None for a name that is no module, or not of the project."""
    base = ROOT.joinpath(*name.split("."))
    candidates = (base.with_suffix(".py"), base / "__init__.py")
    return next((file for file in candidates if name.partition(".")[0] in _PACKAGES and file.is_file()), None)
