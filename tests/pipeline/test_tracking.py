"""What MLflow holds after a walk, and what happens when MLflow does not work."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from deploy import bundle
from pipeline import folder as folders
from pipeline import tracking
from pipeline.record import RECORD, Record
from pipeline.summary import flatten
from stages import discover
from tests.pipeline.conftest import Fakes, Invoke, Walked

ALL = ["train", "export", "verify", "package"]


def only_run() -> Path:
    (found,) = folders.all_runs(Path("runs"))
    return found


def runs() -> dict[str, Any]:
    """Return MLflow's runs by name; a name that comes twice gets a number."""
    found: dict[str, Any] = {}
    for run in reversed(tracking.client().search_runs(["0"], order_by=["attributes.start_time DESC"])):
        name = run.info.run_name
        found[name if name not in found else f"{name} {sum(n.startswith(name) for n in found) + 1}"] = run
    return found


def record() -> dict[str, Any]:
    plain: dict[str, Any] = json.loads((only_run() / RECORD).read_text())
    return plain


def test_one_parent_and_a_nested_run_for_each_stage(invoke: Invoke, fakes: Fakes) -> None:
    assert invoke("run").exit_code == 0
    found = runs()
    parent = found.pop(only_run().name)
    assert list(found) == ALL
    assert {run.info.status for run in (parent, *found.values())} == {"FINISHED"}
    for stage, run in found.items():
        assert run.data.tags["mlflow.parentRunId"] == parent.info.run_id
        assert run.data.tags["onnxway.stage"] == stage
        assert run.data.tags["onnxway.verdict"] == "passed"
        assert parent.data.tags[f"onnxway.run.{stage}"] == run.info.run_id


def test_parameters_are_the_resolved_recipe(invoke: Invoke, fakes: Fakes) -> None:
    invoke("run", "--set", "train.lr=0.5")
    found = runs()
    params = found[only_run().name].data.params
    assert params["train.lr"] == "0.5"
    assert params["input.height"] == "28"
    assert params == flatten(discover.recipe("lenet_digits")) | {"train.lr": "0.5"}
    assert set(found["verify"].data.params) == {name for name in params if name.startswith("verify.")}


def test_metrics_data_and_figures_of_training(invoke: Invoke, fakes: Fakes) -> None:
    invoke("train")
    run = runs()["train"]
    api = tracking.client()
    (epoch,) = api.get_metric_history(run.info.run_id, "validation_accuracy")
    assert (epoch.value, epoch.step) == (0.9, 1)
    assert run.data.metrics["test_accuracy"] == 0.9889
    (data,) = run.inputs.dataset_inputs
    digest = run.data.tags["onnxway.data_sha256"]
    assert (data.dataset.name, data.dataset.digest) == ("digits", digest[:36])
    assert {file.path for file in api.list_artifacts(run.info.run_id)} == {"train", "curves.svg"}


def test_the_report_is_with_the_parent(invoke: Invoke, fakes: Fakes) -> None:
    invoke("run")
    api = tracking.client()
    assert "report.html" in {file.path for file in api.list_artifacts(record()["parent"])}


def test_the_checkpoint_is_not_logged(invoke: Invoke, fakes: Fakes) -> None:
    def checkpoint(out: Path) -> None:
        (out / "checkpoint").mkdir()
        (out / "checkpoint" / "state.pt").write_text("")

    fakes.before["train"] = checkpoint
    invoke("train")
    files = {file.path for file in tracking.client().list_artifacts(runs()["train"].info.run_id, "train")}
    assert files == {f"train/{name}" for name in ("inputs.json", "result.json", "started", "weights.safetensors")}


def test_the_registered_model_is_the_bundle(invoke: Invoke, fakes: Fakes, tmp_path: Path) -> None:
    invoke("run")
    ((version,),) = tracking.models().values()
    assert (version.name, version.version, version.aliases) == ("lenet_digits", 1, ["candidate"])
    assert version.tags["onnxway.verdict"] == "passed"
    fetched = tracking.download("models:/lenet_digits@candidate/extra_files", tmp_path / "fetched")
    assert bundle.load(fetched).digest == version.tags["onnxway.bundle_sha256"]


def test_what_is_kept_is_not_logged_again(invoke: Invoke, fakes: Fakes) -> None:
    invoke("run")
    invoke("run")
    assert len(runs()) == 5
    invoke("run", "--set", "package.version=2")
    found = runs()
    assert list(found)[5:] == [f"{only_run().name} 2", "package 2"]  # another recipe: another parent
    newer = found[f"{only_run().name} 2"]
    assert newer.data.metrics["test_accuracy"] == 0.9889
    assert newer.data.tags["onnxway.run.train"] == found["train"].info.run_id


def test_a_stage_made_again_joins_the_same_parent(invoke: Invoke, fakes: Fakes) -> None:
    invoke("run")
    assert invoke("package", "--force").exit_code == 0
    found = runs()
    assert list(found)[5:] == ["package 2"]
    assert found["package 2"].data.tags["mlflow.parentRunId"] == found[only_run().name].info.run_id
    assert [version.aliases for version in tracking.models()["lenet_digits"]] == [["candidate"], []]


@pytest.mark.parametrize(("error", "status"), [(KeyboardInterrupt(), "KILLED"), (ValueError("x"), "FAILED")])
def test_a_stopped_stage_ends_its_runs(invoke: Invoke, fakes: Fakes, error: BaseException, status: str) -> None:
    def stop(out: Path) -> None:
        raise error

    fakes.before["export"] = stop
    assert invoke("run").exit_code == 1
    found = runs()
    assert {name: run.info.status for name, run in found.items()} == {
        only_run().name: status,
        "train": "FINISHED",
        "export": status,
    }


def test_a_killed_process_leaves_no_run_running(invoke: Invoke, fakes: Fakes) -> None:
    """What SIGKILL leaves: the nested run noted as open, and both runs RUNNING. The next command puts it right."""
    api = tracking.client()
    parent, nested = (api.create_run("0").info.run_id for _ in range(2))
    invoke("train")
    left = Record(tracking.store(), parent, {}, nested)
    left.save(only_run())
    assert invoke("run").exit_code == 0
    assert api.get_run(nested).info.status == "KILLED"
    assert api.get_run(parent).info.status == "FINISHED"
    assert record()["parent"] == parent
    assert record()["open"] == ""


def test_a_failing_verdict_is_logged_as_failed(invoke: Invoke, fakes: Fakes) -> None:
    fakes.verdict = False
    assert invoke("run").exit_code == 1
    found = runs()
    assert found["verify"].info.status == found[only_run().name].info.status == "FAILED"
    assert found["verify"].data.tags["onnxway.verdict"] == "failed"
    assert not tracking.models()


def test_mlflow_run_gives_the_parent(invoke: Invoke, fakes: Fakes, monkeypatch: pytest.MonkeyPatch) -> None:
    """As `mlflow run` does: a run that exists, with the entry point's parameters as strings."""
    invoke("run")
    api = tracking.client()
    given = api.create_run("0").info.run_id
    api.log_param(given, "recipe", "lenet_digits")
    monkeypatch.setenv("MLFLOW_RUN_ID", given)
    done = invoke("run")
    assert done.exit_code == 0, done.stderr
    run = api.get_run(given)
    assert run.info.status == "FINISHED"
    assert run.data.params == flatten(discover.recipe("lenet_digits"))
    assert run.data.metrics["test_accuracy"] == 0.9889
    assert len(runs()) == 6


def test_a_failing_log_loses_nothing_and_is_made_good(
    invoke: Invoke, fakes: Fakes, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:

        def refuse(*arguments: object, **options: object) -> None:
            raise tracking.mlflow.MlflowException("the store is away\nfor now")

        patch.setattr(tracking.mlflow, "log_artifact", refuse)
        done = invoke("run")
    run = only_run()
    assert done.exit_code == 1
    assert done.stderr.splitlines()[-1] == (
        f"Error: not all was logged to MLflow ({tracking.store()}): the store is away; nothing is lost, the results "
        f"are in {run}: when MLflow works again, run the same command to log them"
    )
    assert fakes.take() == ALL
    assert (run / "package" / "result.json").exists()
    done = invoke("run")
    assert done.exit_code == 0, done.stderr
    assert fakes.take() == []
    assert set(record()["stages"]) == set(ALL)
    assert record()["stages"]["package"]["model"] == "lenet_digits/1"


def test_a_store_that_cannot_be_reached_is_said_before_anything_is_made(
    invoke: Invoke, fakes: Fakes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:////nowhere/at/all.db")
    done = invoke("run")
    assert done.exit_code == 1
    assert fakes.take() == []
    assert len(done.stderr.splitlines()) == 1
    assert "/nowhere/at/all.db" in done.stderr


def test_a_server_that_is_away(invoke: Invoke, fakes: Fakes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    done = invoke("run")
    assert done.exit_code == 1
    assert done.stderr == (
        "Error: MLflow (http://127.0.0.1:9): no connection (Connection refused); "
        "check MLFLOW_TRACKING_URI and the store: pipeline doctor\n"
    )
    assert not Path("runs").exists()


def test_another_store_is_filled_from_what_is_there(
    invoke: Invoke, fakes: Fakes, workplace: Path, empty_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    invoke("run")
    fakes.take()
    shutil.copyfile(empty_store, workplace / "again.db")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{workplace}/again.db")
    assert invoke("run").exit_code == 0
    assert fakes.take() == []
    assert len(runs()) == 5


def test_an_emptied_store_is_filled_again(invoke: Invoke, fakes: Fakes) -> None:
    invoke("run")
    for run in runs().values():
        tracking.client().delete_run(run.info.run_id)
    assert invoke("run").exit_code == 0
    assert list(runs())[1:] == ALL


def test_epochs_before_an_interruption_are_logged_too(invoke: Invoke, fakes: Fakes) -> None:
    """A training logged later than it was made has its whole history."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tracking.StageLog, "finish", lambda log, result, key: None)
        invoke("train")
    invoke("train")
    (epoch,) = tracking.client().get_metric_history(record()["stages"]["train"]["run"], "train_loss")
    assert (epoch.value, epoch.step) == (0.5, 1)


def test_the_terminal_hears_nothing_of_mlflow(walked: Walked) -> None:
    lines = walked.output.stderr.splitlines()
    assert lines
    assert all(line.startswith("  ") for line in lines), walked.output.stderr
