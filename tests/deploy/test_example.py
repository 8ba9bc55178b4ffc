"""The embedding example, run as its README says."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

APP = Path(__file__).parents[2] / "examples" / "embed" / "app.py"

pytestmark = pytest.mark.skipif(not APP.exists(), reason="examples/ is not beside these tests")


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, APP, *map(str, arguments)], capture_output=True, text=True, timeout=60)


def test_it_shows_the_three_most_probable_labels(colours: Path, blue_png: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(blue_png)
    done = run(colours, tmp_path / "a.png", tmp_path / "a.png")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == str(tmp_path / "a.png")
    assert lines[1].split()[1] == "blue"
    assert len(lines) == 8


def test_its_errors_are_one_line(colours: Path, tmp_path: Path) -> None:
    done = run(colours, tmp_path / "none.png")
    assert (done.returncode, done.stderr) == (1, f"error: {tmp_path / 'none.png'}: no such file\n")


def test_it_imports_deploy_and_the_standard_library_only() -> None:
    tree = ast.walk(ast.parse(APP.read_text()))
    names = {alias.name for node in tree if isinstance(node, ast.Import) for alias in node.names}
    tree = ast.walk(ast.parse(APP.read_text()))
    names |= {node.module or "" for node in tree if isinstance(node, ast.ImportFrom)}
    assert names - set(sys.stdlib_module_names) == {"deploy"}
