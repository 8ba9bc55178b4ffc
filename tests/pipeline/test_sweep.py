"""Sweeps: every point is trained once, failures lose nothing, and validation decides."""

import json
from pathlib import Path
from typing import Any

import pytest

from pipeline import folder as folders
from pipeline import run as walk
from pipeline import tracking
from stages.recipe import Recipe, replace
from tests.pipeline.conftest import Fakes, Invoke

GRID = ("sweep", "lenet_digits", "--grid", "train.lr=0.1,0.2", "--grid", "train.epochs=1,2")


@pytest.fixture(autouse=True)
def steady_code(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(walk, "code_version", lambda stage: "1")


def by_rate(recipe: Recipe) -> float:
    return 0.5 + recipe.train.lr + recipe.train.epochs / 100


def record() -> dict[str, Any]:
    (path,) = Path("runs/sweeps").glob("*/sweep.json")
    plain: dict[str, Any] = json.loads(path.read_text())
    return plain


def children(run_id: str) -> list[Any]:
    found = tracking.client().search_runs(["0"])
    return [run for run in found if run.data.tags.get("mlflow.parentRunId") == run_id]


@pytest.mark.usefixtures("untracked")
def test_every_combination_is_trained_and_the_best_comes_first(invoke: Invoke, fakes: Fakes) -> None:
    fakes.score = lambda recipe: 1 - by_rate(recipe)
    done = invoke(*GRID)
    assert done.exit_code == 0, done.stderr
    assert fakes.take() == ["train"] * 4
    lines = done.stdout.splitlines()
    assert lines[0].split() == ["validation", "accuracy", "train.lr", "train.epochs", "epoch", "seconds", "run"]
    assert [line.split()[:3] for line in lines[1:5]] == [
        ["0.3900", "0.1", "1"], ["0.3800", "0.1", "2"], ["0.2900", "0.2", "1"], ["0.2800", "0.2", "2"],
    ]  # fmt: skip
    assert lines[5] == "best: pipeline run lenet_digits --set train.lr=0.1 --set train.epochs=1"
    assert folders.latest(Path("runs")).name == Path("runs/latest").resolve().name == lines[1].split()[-1]
    assert "0.98" not in done.stdout  # what the test split says has no place here


@pytest.mark.usefixtures("untracked")
def test_the_command_of_the_best_leads_to_its_run(invoke: Invoke, fakes: Fakes) -> None:
    fakes.score = by_rate
    done = invoke(*GRID, "--set", "train.batch_size=32", "--device", "cpu")
    fakes.take()
    command = done.stdout.splitlines()[-1].removeprefix("best: pipeline ").split()
    assert invoke(*command).exit_code == 0
    assert fakes.take() == ["export", "verify", "package"]


@pytest.mark.usefixtures("untracked")
def test_the_same_command_trains_nothing_again(invoke: Invoke, fakes: Fakes) -> None:
    first = invoke(*GRID)
    before = record()
    fakes.take()
    again = invoke(*GRID)
    assert fakes.take() == []
    assert again.stdout == first.stdout
    assert record() == before


def test_points_are_children_of_one_run(invoke: Invoke, fakes: Fakes) -> None:
    fakes.score = by_rate
    invoke("train", "lenet_digits", "--set", "train.lr=0.1", "--set", "train.epochs=1")  # logged elsewhere already
    for _ in range(2):
        assert invoke(*GRID).exit_code == 0
        parent = record()["mlflow_run"]
        points = children(parent)
        assert len(points) == 4
        assert {run.info.status for run in points} == {"FINISHED"}
        assert {(run.data.params["train.lr"], run.data.params["train.epochs"]) for run in points} == {
            ("0.1", "1"), ("0.1", "2"), ("0.2", "1"), ("0.2", "2"),
        }  # fmt: skip
        assert all(len(children(run.info.run_id)) == 1 for run in points)
    swept = tracking.client().get_run(parent)
    assert swept.info.status == "FINISHED"
    assert swept.data.params["sweep.train.lr"] == "0.1, 0.2"
    assert swept.data.metrics["best_validation_accuracy"] == pytest.approx(0.72)
    assert "points.txt" in {file.path for file in tracking.client().list_artifacts(parent)}


def test_mlflow_run_gives_the_run_of_the_sweep(invoke: Invoke, fakes: Fakes, monkeypatch: pytest.MonkeyPatch) -> None:
    given = tracking.client().create_run("0").info.run_id
    monkeypatch.setenv("MLFLOW_RUN_ID", given)
    assert invoke("sweep", "lenet_digits", "--grid", "train.lr=0.1,0.2").exit_code == 0
    assert len(children(given)) == 2
    assert record()["mlflow_run"] == given


@pytest.mark.usefixtures("untracked")
def test_a_point_that_fails_loses_no_other(invoke: Invoke, fakes: Fakes) -> None:
    def fails(recipe: Recipe) -> float:
        if recipe.train.lr == 0.1:
            raise RuntimeError("boom")
        return by_rate(recipe)

    fakes.score = fails
    done = invoke(*GRID)
    assert done.exit_code == 1
    lines = done.stdout.splitlines()
    assert [line.split()[0] for line in lines[1:5]] == ["0.7200", "0.7100", "failed", "failed"]
    assert "unexpected RuntimeError: boom" in lines[3]
    assert lines[5].startswith("best: pipeline run lenet_digits --set train.lr=0.2")
    assert done.stderr.splitlines()[-1] == (
        "Error: 2 of 4 points failed (train.lr=0.1 train.epochs=1, train.lr=0.1 train.epochs=2); the others are kept, "
        "run the same command to try these again"
    )
    assert tracking.client().get_run(record()["mlflow_run"]).info.status == "FAILED"
    fakes.take()
    fakes.score = by_rate
    assert invoke(*GRID).exit_code == 0
    assert fakes.take() == ["train"] * 2


@pytest.mark.usefixtures("untracked")
def test_what_training_chose_otherwise_is_said(invoke: Invoke, fakes: Fakes) -> None:
    """A choice by measurement may fall otherwise in another point, and is then compared with the rest."""
    fakes.chosen = lambda made: replace(made, train={"precision": "bf16" if made.train.lr == 0.1 else "fp32"})
    done = invoke(*GRID)
    assert done.stderr.splitlines()[-1] == (
        "not alike: training chose train.precision bf16 here and fp32 there, so that is compared too; "
        "choose it for all: --set train.precision=bf16"
    )
    fakes.chosen = lambda made: replace(made, train={"precision": "bf16"})
    assert "not alike" not in invoke(*GRID, "--set", "train.seed=1").stderr


@pytest.mark.usefixtures("untracked")
def test_when_all_fail_there_is_no_best(invoke: Invoke, fakes: Fakes) -> None:
    fakes.before["train"] = lambda out: 1 / 0
    done = invoke(*GRID)
    assert done.exit_code == 1
    assert "best" not in done.stdout


@pytest.mark.usefixtures("untracked")
def test_an_interrupted_sweep_goes_on(invoke: Invoke, fakes: Fakes) -> None:
    def stop(out: Path) -> None:
        if len(fakes.made) == 3:
            raise KeyboardInterrupt

    fakes.before["train"] = stop
    done = invoke(*GRID)
    assert done.exit_code == 1
    assert "run the same command to continue" in done.stderr
    assert len(record()["points"]) == 2
    assert tracking.client().get_run(record()["mlflow_run"]).info.status == "KILLED"
    fakes.take()
    del fakes.before["train"]
    assert invoke(*GRID).exit_code == 0
    assert fakes.take() == ["train"] * 2


def test_a_search_goes_on_where_it_stopped(invoke: Invoke, fakes: Fakes) -> None:
    def search(trials: int) -> Any:
        options = ("--search", "train.lr=1e-4..0.1:log", "--search", "train.epochs=1..4", "--grid", "train.seed=0,1")
        return invoke("sweep", "lenet_digits", *options, "--trials", str(trials))

    fakes.score = by_rate
    assert search(3).exit_code == 0
    assert fakes.take() == ["train"] * 3
    first = record()["points"]
    done = search(5)
    assert done.exit_code == 0, done.stderr
    assert fakes.take() == ["train"] * 2
    assert record()["points"][:3] == first
    assert len(children(record()["mlflow_run"])) == 5
    assert "point 5 of 5" in done.stderr


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ([], "nothing to sweep"),
        (["--search", "train.lr=0.1..1"], "--search and --trials belong together"),
        (["--grid", "train.lr=0.1", "--trials", "3"], "--search and --trials belong together"),
        (["--grid", "train.lrr=1,2"], "no such key 'lrr'; did you mean 'lr'?"),
        (["--grid", "train.epochs=1,two"], "expected int, got 'two'"),
        (["--grid", "model=lenet5,lenet6"], "unknown model 'lenet6'; did you mean 'lenet5'?"),
        (["--grid", "model.width=1,2"], "option 'width': no such option"),
        (["--search", "train.epochs=0.5..3", "--trials", "2"], "expected int, got 0.5"),
        (["--grid", "train.lr=1", "--grid", "train.lr=2"], "train.lr: there twice"),
        (["--grid", "train.lr=1,2", "--set", "data=mnist", "--set", "data.validation=0"], "no validation split"),
    ],
)
def test_what_cannot_be_swept_is_said_before_anything_is_trained(
    invoke: Invoke, fakes: Fakes, generated_data: Path, options: list[str], words: str
) -> None:
    done = invoke("sweep", "lenet_digits", *options, "--data-root", str(generated_data))
    assert done.exit_code == 2
    assert words in done.stderr.splitlines()[-1]
    assert not Path("runs").exists()
    assert fakes.take() == []
