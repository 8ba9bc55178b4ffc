"""Which changes of the source make which stage again."""

import shutil
from pathlib import Path

import pytest

from pipeline import code
from pipeline.folder import STAGES


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the source, to be changed."""
    for package in ("stages", "deploy"):
        shutil.copytree(code.ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(code, "ROOT", tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("file", "stages"),
    [
        ("stages/models/lenet.py", ["train", "export", "verify", "package"]),
        ("stages/data/digits.py", ["train", "export", "verify", "package"]),
        ("stages/inputs/image.py", ["train", "export", "verify", "package"]),
        ("stages/tasks/classify/task.py", ["train", "export", "verify", "package"]),
        ("stages/train/loop.py", ["train"]),
        ("stages/verify/certify.py", ["verify"]),
        ("deploy/providers.py", ["verify", "package"]),
        ("stages/tasks/classify/recipes.py", []),
        ("stages/report/plots.py", []),
        ("deploy/server/rest/app.py", []),
    ],
)
def test_a_change_counts_for_the_stages_that_use_it(root: Path, file: str, stages: list[str]) -> None:
    before = {stage: code.code_version(stage) for stage in STAGES}
    with (root / file).open("a") as source:
        source.write("\n# changed\n")
    assert [stage for stage in STAGES if code.code_version(stage) != before[stage]] == stages


def test_a_version_does_not_depend_on_the_place(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = code.code_version("train")
    monkeypatch.undo()
    assert code.code_version("train") == here
