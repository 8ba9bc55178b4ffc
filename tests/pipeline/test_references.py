"""Runs and models by reference, fetched on another machine, and what is made of them. With a real run."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from deploy import bundle, files
from pipeline import tracking
from pipeline.folder import RunFolder
from pipeline.record import RECORD, Record
from pipeline.references import run_folder
from tests.pipeline.conftest import Fakes, Invoke, Walked

ALL = ["train", "export", "verify", "package"]


def stages_of(walked: Walked) -> dict[str, str]:
    plain: dict[str, Any] = json.loads((walked.run / RECORD).read_text())
    return {stage: entry["run"] for stage, entry in plain["stages"].items()} | {"parent": plain["parent"]}


@pytest.fixture
def digit(tmp_path: Path) -> Path:
    from sklearn.datasets import load_digits

    path = tmp_path / "digit.png"
    Image.fromarray((load_digits().images[0] * 15.9).astype(np.uint8)).save(path)
    return path


@pytest.mark.parametrize("name", ["parent", *ALL])
def test_a_run_is_fetched_with_all_before_it(walked: Walked, at_walked: Invoke, tmp_path: Path, name: str) -> None:
    there = stages_of(walked)
    folder = run_folder(f"runs:/{there[name]}", tmp_path)
    expected = ALL if name == "parent" else ALL[: ALL.index(name) + 1]
    assert list(folder.results()) == expected
    for stage in expected:
        assert folder.intact(stage)
        assert folder.result(stage).digest == RunFolder(walked.run).result(stage).digest
    assert folder.path.name == walked.run.name
    again = run_folder(f"runs:/{there['parent']}", tmp_path)  # adds what is missing to the same folder
    assert again.path == folder.path
    assert bundle.load(folder.stage("package") / "bundle")


def test_a_fetched_run_goes_on_where_it_stopped(walked: Walked, at_walked: Invoke, tmp_path: Path) -> None:
    there = stages_of(walked)["export"]
    done = at_walked("verify", f"runs:/{there}", "--runs", str(tmp_path), "--set", "verify.rows=300")
    assert done.exit_code == 0, done.stderr
    assert done.stderr.startswith("  verify   passed")


def test_a_run_that_went_on_is_fetched_beside(walked: Walked, at_walked: Invoke, tmp_path: Path) -> None:
    there = stages_of(walked)["parent"]
    folder = run_folder(f"runs:/{there}", tmp_path)
    record = Record.load(folder.path, tracking.store())
    record.stages["verify"]["run"] = "another"
    record.save(folder.path)
    assert run_folder(f"runs:/{there}", tmp_path).path.name == f"{walked.run.name}-{there[:8]}"


def test_a_model_leads_to_its_run(walked: Walked, at_walked: Invoke) -> None:
    assert run_folder("models:/lenet_digits@candidate", walked.folder / "runs").path == walked.folder / walked.run
    done = at_walked("verify", "models:/lenet_digits/1")
    assert done.exit_code == 0, done.stderr
    assert done.stderr.startswith("  verify   unchanged, kept: passed")


@pytest.mark.parametrize(
    "reference", ["latest", "models:/lenet_digits@candidate", "models:/lenet_digits/1", "{run}", "{run}/package/bundle"]
)
def test_predict(walked: Walked, at_walked: Invoke, digit: Path, reference: str) -> None:
    done = at_walked("predict", reference.format(run=walked.run), str(digit))
    assert done.exit_code == 0, done.stderr
    path, label, *_ = done.stdout.split("  ")
    assert path == str(digit)
    assert label.startswith("label ")


def test_predict_answers_for_the_good_pictures(walked: Walked, at_walked: Invoke, digit: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"no picture")
    done = at_walked("predict", "latest", str(bad), str(tmp_path / "none.png"), str(digit), "--json")
    assert done.exit_code == 1
    (answer,) = [json.loads(line) for line in done.stdout.splitlines()]
    assert answer["input"] == str(digit)
    assert len(done.stderr.splitlines()) == 2
    assert all(line.startswith("Error: ") for line in done.stderr.splitlines())


def test_promote_sets_champion(walked: Walked, at_walked: Invoke) -> None:
    done = at_walked("promote", "lenet_digits")
    assert done.exit_code == 0, done.stderr
    assert done.stdout == "models:/lenet_digits@champion is now version 1\n"
    listed = at_walked("list", "registered").stdout.split()
    assert listed[:4] == ["models:/lenet_digits/1", "@candidate", "@champion", "passed"]


def test_promote_refuses_what_has_no_passing_passport(invoke: Invoke, fakes: Fakes) -> None:
    """A bundle sealed by hand around a failing passport: all digests match, and it is refused all the same."""
    assert invoke("run").exit_code == 0
    ((version,),) = tracking.models().values()
    source = Path(tracking.client().get_model_version_download_uri("lenet_digits", "1").removeprefix("file://"))
    manifest = source / tracking.BUNDLE_FILES / bundle.MANIFEST
    plain = json.loads(manifest.read_text())
    plain["variants"]["fp32"]["passport"]["checks"][0]["passed"] = False
    del plain["sha256"]
    manifest.write_bytes(files.render_json(plain | {"sha256": files.sha256(files.render_json(plain))}))
    tracking.client().set_model_version_tag(
        "lenet_digits", version.version, "onnxway.bundle_sha256", files.sha256_file(manifest)
    )
    done = invoke("promote", "lenet_digits")
    assert done.exit_code == 1
    assert "the model did not pass verification" in done.stderr
    ((version,),) = tracking.models().values()
    assert version.aliases == ["candidate"]


def test_a_stored_bundle_that_was_changed_is_refused(invoke: Invoke, fakes: Fakes) -> None:
    invoke("run")
    source = Path(tracking.client().get_model_version_download_uri("lenet_digits", "1").removeprefix("file://"))
    manifest = source / tracking.BUNDLE_FILES / bundle.MANIFEST
    manifest.write_bytes(manifest.read_bytes().replace(b"1", b"2", 1))
    done = invoke("promote", "lenet_digits")
    assert done.exit_code == 1
    assert done.stderr == (
        "Error: models:/lenet_digits/1: what is stored is not the bundle that was registered; "
        "package it again: pipeline package\n"
    )
    assert not Path("runs/models/lenet_digits-1").exists()


@pytest.mark.parametrize(
    ("reference", "line"),
    [
        ("models:/lenet", "models:/lenet': expected models:/<name>@<alias>"),
        ("models:/lenet@candidate", "no registered model 'lenet'; did you mean 'lenet_digits'? choose from: "),
        ("models:/lenet_digits@best", "no such version; there are: lenet_digits/1 @candidate"),
        ("models:/lenet_digits/7", "no such version; there are: lenet_digits/1"),
        ("runs:/0123", "Run with id=0123 not found"),
        ("lenet_digits-0", "no such run folder; did you mean 'lenet_digits-"),
    ],
)
def test_references_to_nothing(walked: Walked, at_walked: Invoke, reference: str, line: str) -> None:
    done = at_walked("verify", reference)
    assert done.exit_code in (1, 2)
    assert line in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_run_of_somebody_else(walked: Walked, at_walked: Invoke) -> None:
    other = tracking.client().create_run("0").info.run_id
    done = at_walked("verify", f"runs:/{other}")
    assert (done.exit_code, done.stderr) == (
        1,
        f"Error: runs:/{other}: no stage of this project is logged there; see: pipeline list runs\n",
    )


def test_a_damaged_artefact_is_refused(invoke: Invoke, fakes: Fakes, tmp_path: Path) -> None:
    invoke("train")
    (run,) = [run for run in tracking.client().search_runs(["0"]) if run.info.run_name == "train"]
    weights = Path(run.info.artifact_uri.removeprefix("file://")) / "train" / "weights.safetensors"
    weights.write_bytes(b"other")
    done = invoke("export", f"runs:/{run.info.run_id}", "--runs", str(tmp_path / "other"))
    assert done.exit_code == 1
    assert "the stored files of 'train' are damaged" in done.stderr


def test_list_runs(walked: Walked, at_walked: Invoke) -> None:
    (line,) = at_walked("list", "runs").stdout.splitlines()
    assert line.startswith(f"{walked.run.name}  train export verify package  train: accuracy 0.")


def test_a_bundle_survives_the_loss_of_its_run_folder(walked: Walked, at_walked: Invoke, tmp_path: Path) -> None:
    """What is registered can be served from the registry alone."""
    shutil.rmtree(walked.folder / "runs" / "models", ignore_errors=True)
    at_walked("promote", "lenet_digits", "--runs", str(tmp_path))
    assert bundle.load(tmp_path / "models" / "lenet_digits-1").manifest.name == "lenet_digits"
