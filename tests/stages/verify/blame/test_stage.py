"""Blame as the stage and the comparison of foreign files write it."""

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import onnx

from deploy import files
from deploy.schema import from_plain
from stages import result, verify
from stages.recipe import VerifyConfig
from stages.verify.blame import Blame
from stages.verify.foreign import verify_file
from tests.stages.verify.blame import cases
from tests.stages.verify.blame.cases import named


def test_the_stage_blames_a_failing_file(colour_run: Any, colour_data: Any, tmp_path: Path) -> None:
    """On the rows that failed: the worst batch of the verdict is what is followed."""
    shutil.copytree(colour_run.folder.parent, tmp_path / "run")
    exported = result.load(result.ExportResult, tmp_path / "run")
    model = onnx.load(exported.model)
    cases.one_weight(model, named(model, "node_linear"))
    exported.model.write_bytes(model.SerializeToString())
    exported = dataclasses.replace(exported, sha256=files.sha256_file(exported.model))
    verified = verify.run(VerifyConfig(rows=100, budget_s=0), exported, colour_data, tmp_path / "run" / "verify")
    assert not verified
    found = from_plain(Blame, json.loads(verified.blame.read_text()))
    assert (found.node, found.module, found.error) == ("node_linear", "net.features.7", "local")
    assert (verified.folder / "repro" / "repro.py").exists()
    assert len(found.steps) == 5


def test_a_passing_file_is_not_blamed(colour_run: Any) -> None:
    assert colour_run
    assert not colour_run.blame.exists()


def test_foreign_files_are_blamed(colour_run: Any, tmp_path: Path) -> None:
    model = onnx.load(colour_run.exported.model)
    cases.leaky(model, named(model, "node_relu_1"))
    cases.rename_everything(model)
    onnx.save(model, tmp_path / "a.onnx")
    config = VerifyConfig(rows=50, budget_s=0)
    against = colour_run.exported.model
    assert not verify_file(
        tmp_path / "a.onnx",
        against=against,
        inputs="image=32,24,3:0..255",
        config=config,
        out=tmp_path / "verdict",
    ).passport
    found = json.loads((tmp_path / "verdict" / "blame.json").read_text())
    assert (found["node"], found["operator"]) == ("node_relu_1", "LeakyRelu")
