"""Results on disk: what was written is what is read, wherever the run folder lies."""

import json
import shutil
from pathlib import Path

import pytest

from deploy.errors import NotFoundError
from stages import result
from stages.result import ExportResult, TrainResult, VerifyResult


def test_a_run_folder_can_be_moved(colour_run: VerifyResult, tmp_path: Path) -> None:
    shutil.copytree(colour_run.folder.parent, tmp_path / "elsewhere")
    moved = result.load(VerifyResult, tmp_path / "elsewhere")
    assert moved.exported.model == tmp_path / "elsewhere" / "export" / "model.onnx"
    assert moved.exported.model.exists()
    assert moved.exported.trained.recipe == colour_run.exported.trained.recipe
    assert moved.digest == colour_run.digest


def test_results_hold_no_paths(colour_run: VerifyResult) -> None:
    for path in colour_run.folder.parent.glob("*/result.json"):
        assert str(colour_run.folder.parent) not in path.read_text()


def test_a_missing_stage_names_its_command(colour_run: VerifyResult, tmp_path: Path) -> None:
    shutil.copytree(colour_run.exported.trained.folder, tmp_path / "train")
    assert result.load(TrainResult, tmp_path)
    with pytest.raises(NotFoundError, match=f"no result of 'export' there; run: pipeline export {tmp_path}"):
        result.load(ExportResult, tmp_path)


@pytest.mark.parametrize("damage", ["{", '{"recipe": 1}', "null"])
def test_a_damaged_result_is_explained(tmp_path: Path, damage: str) -> None:
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "result.json").write_text(damage)
    with pytest.raises(NotFoundError, match="--force"):
        result.load(TrainResult, tmp_path)


def test_a_result_of_another_version_is_explained(colour_run: VerifyResult, tmp_path: Path) -> None:
    shutil.copytree(colour_run.folder.parent, tmp_path / "run")
    path = tmp_path / "run" / "train" / "result.json"
    plain = json.loads(path.read_text())
    plain["from_the_future"] = 1
    path.write_text(json.dumps(plain))
    with pytest.raises(NotFoundError, match="written by another version"):
        result.load(VerifyResult, tmp_path / "run")
