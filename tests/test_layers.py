"""Dependencies point one way, heavy libraries stay where they belong, and start-up stays quick."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
FORBIDDEN = {
    "deploy": {"stages", "pipeline", "torch", "torchvision", "onnx", "onnxscript", "mlflow", "click", "sklearn"},
    "stages": {"pipeline", "mlflow", "click"},
    "pipeline": set(),
}
LIGHT = ["stages/recipe.py", "stages/discover.py", "stages/settings.py", "stages/dataset.py", "stages/observer.py"]


def imports(path: Path) -> set[str]:
    """Top-level names of everything a file imports, wherever in the file."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.partition(".")[0])
    return names


def loaded_by(statement: str) -> set[str]:
    """Top-level modules that a fresh interpreter holds after a statement."""
    script = f"{statement}\nimport sys, json; print(json.dumps([m for m in sys.modules if '.' not in m]))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=REPOSITORY)
    return set(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize("package", FORBIDDEN)
def test_no_package_imports_backwards(package: str) -> None:
    for path in (REPOSITORY / package).rglob("*.py"):
        assert not imports(path) & FORBIDDEN[package], path


def test_only_tracking_imports_mlflow() -> None:
    found = [path for path in (REPOSITORY / "pipeline").rglob("*.py") if "mlflow" in imports(path)]
    assert {path.parent for path in found} == {REPOSITORY / "pipeline" / "tracking"}


@pytest.mark.parametrize("name", LIGHT)
def test_recipes_and_discovery_need_no_torch(name: str) -> None:
    module = name.removesuffix(".py").replace("/", ".")
    assert not loaded_by(f"import {module}") & {"torch", "onnx", "onnxruntime", "mlflow"}


def test_listing_names_imports_nothing_heavy() -> None:
    statement = (
        "from stages import discover; [discover.found(f) for f in ('recipes', 'models', 'data', 'tasks', 'inputs')]"
    )
    assert not loaded_by(statement) & {"torch", "onnx", "onnxruntime", "mlflow", "sklearn"}


def test_deploy_loads_nothing_of_training() -> None:
    loaded = loaded_by("import deploy; deploy.Predictor")
    assert "onnxruntime" in loaded
    assert not loaded & FORBIDDEN["deploy"]


def test_no_file_holds_two_ideas() -> None:
    """A file past 400 lines is two ideas (tests count too)."""
    for folder in (*FORBIDDEN, "tests"):
        for path in (REPOSITORY / folder).rglob("*.py"):
            assert len(path.read_text().splitlines()) <= 400, path
