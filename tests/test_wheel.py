"""What is published: a wheel with its base dependencies alone is enough to embed a model."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
SETTINGS = """
[pytest]
addopts = --strict-markers --import-mode=importlib
pythonpath = .
markers =
    gpu
    slow
    matrix
filterwarnings = error
"""


def run(*command: object, cwd: Path) -> str:
    done = subprocess.run([str(part) for part in command], cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout


@pytest.fixture(scope="module")
def base_install(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of a new environment that holds the built wheel, its base dependencies and pytest."""
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "build", "--wheel", "--outdir", folder, REPOSITORY, cwd=folder)
    (wheel,) = folder.glob("onnxway-*.whl")
    run(sys.executable, "-m", "venv", folder / "venv", cwd=folder)
    python = folder / "venv" / "bin" / "python"
    run(python, "-m", "pip", "install", "--quiet", wheel, "pytest", "hypothesis", cwd=folder)
    return python


def test_the_deploy_tests_pass_on_a_base_install(base_install: Path, tmp_path: Path) -> None:
    shutil.copytree(REPOSITORY / "tests" / "deploy", tmp_path / "tests" / "deploy")
    for name in ("__init__.py", "conftest.py", "gpu.py"):
        shutil.copy(REPOSITORY / "tests" / name, tmp_path / "tests" / name)
    (tmp_path / "pytest.ini").write_text(SETTINGS)
    out = run(base_install, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/deploy", cwd=tmp_path)
    assert " passed" in out


def test_a_base_install_has_no_torch_and_says_what_the_command_needs(base_install: Path, tmp_path: Path) -> None:
    listed = run(base_install, "-m", "pip", "list", cwd=tmp_path)
    assert not {"torch", "onnx", "mlflow", "click"} & {line.split()[0] for line in listed.splitlines()}
    command = base_install.parent / "pipeline"
    done = subprocess.run([command, "--help"], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 1
    assert "pip install 'onnxway[pipeline]'" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_embedding_example_runs(base_install: Path, colour_bundle: Path, tmp_path: Path) -> None:
    example = REPOSITORY / "examples" / "embed"
    out = run(base_install, example / "app.py", colour_bundle, example / "digit.png", cwd=tmp_path)
    assert "digit.png" in out
    assert out.count("%") == 3
