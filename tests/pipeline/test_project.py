"""MLproject and python_env.yaml: the same commands and the same dependencies as pyproject.toml."""

import shlex
import tomllib
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from pipeline.cli import cli
from pipeline.folder import STAGES

ROOT = Path(__file__).parents[2]
PROJECT: dict[str, Any] = yaml.safe_load((ROOT / "MLproject").read_text())


def test_python_env_lists_what_the_extra_installs() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    wanted = set(project["dependencies"])
    for requirement in extras["pipeline"]:
        wanted |= set(extras["serve"]) if requirement == "onnxway[serve]" else {requirement}
    environment = yaml.safe_load((ROOT / "python_env.yaml").read_text())
    assert set(environment) == {"dependencies"}
    assert set(environment["dependencies"]) == wanted


def test_there_is_an_entry_for_the_walk_for_each_stage_and_for_sweeps() -> None:
    assert list(PROJECT["entry_points"]) == ["main", *STAGES, "sweep"]
    assert PROJECT["python_env"] == "python_env.yaml"


@pytest.mark.parametrize("name", list(PROJECT["entry_points"]))
def test_entries_are_commands_that_parse(name: str) -> None:
    entry = PROJECT["entry_points"][name]
    values = {key: parameter["default"] for key, parameter in entry["parameters"].items()}
    assert all(parameter["type"] == "string" for parameter in entry["parameters"].values())
    words = shlex.split(entry["command"].format(**values))
    assert words[:3] == ["python", "-m", "pipeline"]
    command = cli.get_command(click.Context(cli), words[3])
    assert command is not None
    command.make_context(words[3], words[4:])
