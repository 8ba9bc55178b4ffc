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
    names = {name for node in ast.walk(ast.parse(path.read_bytes())) for name in _names(node)}
    candidates = (ROOT.joinpath(*name.split(".")) for name in names if name.partition(".")[0] in _PACKAGES)
    return tuple(
        file for base in candidates for file in (base.with_suffix(".py"), base / "__init__.py") if file.is_file()
    )


def _names(node: ast.AST) -> Iterator[str]:
    """Yield the modules that a node may import: in `from a import b`, both `a` and `a.b`."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and node.module:
        yield node.module
        yield from (f"{node.module}.{alias.name}" for alias in node.names)
