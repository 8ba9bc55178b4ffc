"""What only shows in processes of their own: the server, `mlflow run`, two commands that make one database."""

import os
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from pipeline import tracking
from tests.pipeline.conftest import Walked

ROOT = Path(__file__).parents[2]


def environment(**changes: str) -> dict[str, str]:
    """Of a shell in which the environment that runs the tests is active: MLproject's commands say `python`."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "PATH": path} | changes


def start(*command: str, folder: Path, **changes: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=folder,
        env=environment(**changes),
    )


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_serve_answers_and_ends_well(walked: Walked, stop: signal.Signals) -> None:
    process = start("pipeline", "serve", "latest", "--port", "0", folder=walked.folder)
    with process:
        assert process.stdout is not None
        address = process.stdout.readline().split()[2]
        with urllib.request.urlopen(f"{address}/v2/models/lenet_digits") as answer:
            assert answer.status == 200
        process.send_signal(stop)
        _, rest = process.communicate(timeout=30)
    assert process.returncode == 0
    assert "Traceback" not in rest


def test_mlflow_run_runs_a_stage_in_its_own_run(workplace: Path) -> None:
    process = start(
        "mlflow",
        *("run", str(ROOT), "--env-manager", "local", "-e", "train", "-P", "set=train.epochs=1"),
        folder=workplace,
        ONNXWAY_RUNS=str(workplace / "runs"),
    )
    with process:
        out, rest = process.communicate(timeout=300)
    assert process.returncode == 0, rest
    found: dict[str, Any] = {run.info.run_name: run for run in tracking.client().search_runs(["0"])}
    parent = next(run for name, run in found.items() if name != "train")
    assert found["train"].data.tags["mlflow.parentRunId"] == parent.info.run_id
    assert {run.info.status for run in found.values()} == {"FINISHED"}
    assert parent.data.params["recipe"] == "lenet_digits"
    assert parent.data.params["train.epochs"] == "1"
    assert out.splitlines()[-1].startswith(str(workplace / "runs"))


def test_two_commands_may_make_the_database_at_once(workplace: Path) -> None:
    store = f"sqlite:///{workplace}/new.db"
    both = [start("pipeline", "list", "registered", folder=workplace, MLFLOW_TRACKING_URI=store) for _ in range(2)]
    for process in both:
        with process:
            out, rest = process.communicate(timeout=120)
        assert (process.returncode, out) == (0, "no registered models yet; make some: pipeline run\n"), rest
        assert rest == ""
