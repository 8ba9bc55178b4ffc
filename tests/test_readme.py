"""The README's commands, run as they stand, in a copy of the checkout; only the installation is taken as done."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
README = (REPOSITORY / "README.md").read_text()
INSTALL = "python3 -m venv .venv && . .venv/bin/activate && pip install -e '.[pipeline]' && "


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what a clone would hold."""
    folder = tmp_path_factory.mktemp("clone") / "onnxway"
    names = ("MLproject", "python_env.yaml", "pyproject.toml", "README.md", "deploy", "stages", "pipeline", "examples")
    for name in names:
        source = REPOSITORY / name
        copy = shutil.copytree if source.is_dir() else shutil.copy
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        copy(source, folder / name)
    return folder


def shell(command: str, cwd: Path) -> str:
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = os.environ | {"PATH": path, "PYTHONPATH": str(cwd), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        ["bash", "-euc", command], cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{command}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout


def test_the_first_command_runs_the_walk(checkout: Path) -> None:
    first = blocks("bash")[0].strip()
    assert first.startswith(INSTALL)
    shell(first.removeprefix(INSTALL), checkout)
    assert (checkout / "runs" / "latest" / "report.html").exists()
    assert (checkout / "runs" / "latest" / "package" / "bundle" / "manifest.json").exists()


def test_the_second_command_is_what_ci_runs() -> None:
    assert blocks("bash")[1].strip() == "scripts/test"
    assert "scripts/test" in (REPOSITORY / ".ci" / "run").read_text()


def test_the_commands_run(checkout: Path) -> None:
    out = shell(blocks("bash")[2], checkout)
    assert "lenet_numpy_mnist" in out
    assert "models:/lenet_digits@champion is now version" in out
    assert "label 3" in out


def test_the_embedding_code_runs(checkout: Path) -> None:
    (code,) = blocks("python")
    (checkout / "embed.py").write_text(code)
    assert shell("python embed.py", checkout).startswith("3 ")


def test_links_lead_somewhere() -> None:
    for page in (REPOSITORY / "README.md", REPOSITORY / "CONTRIBUTING.md", *(REPOSITORY / "docs").glob("*.md")):
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_the_project_environment_lists_what_the_extra_lists() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    extra = project["optional-dependencies"]
    wanted = {*project["dependencies"], *extra["serve"], *extra["pipeline"]} - {"onnxway[serve]"}
    listed = set(re.findall(r'^  - "(.*)"$', (REPOSITORY / "python_env.yaml").read_text(), re.MULTILINE))
    assert listed == wanted
