"""The bundle: only around a verified file, whole or not at all."""

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deploy import Predictor, bundle, files
from deploy.errors import BundleError
from stages import package, result
from stages.recipe import PackageConfig
from stages.result import PackageResult, VerifyResult


@pytest.fixture
def verified(colour_run: VerifyResult, tmp_path: Path) -> VerifyResult:
    """A verified run of one's own."""
    shutil.copytree(colour_run.folder.parent, tmp_path / "run")
    return result.load(VerifyResult, tmp_path / "run")


def test_the_bundle_holds_what_was_verified(colour_bundle: Path, colour_run: VerifyResult) -> None:
    manifest = bundle.load(colour_bundle).manifest
    assert manifest.files["model.onnx"] == colour_run.passport.model_sha256
    assert manifest.variants["fp32"].passport == colour_run.passport
    assert set(manifest.files) == {"model.onnx", "pre.onnx", "net.onnx", "samples.npz", "README.md"}
    assert manifest.input.tensors[0].shape == ("batch", "height", "width", 3)
    assert manifest.output.labels == ("red top", "blue top", "red bottom", "blue bottom")
    assert manifest.metrics == colour_run.metrics
    assert manifest.provenance["recipe"]["name"] == "colours"
    assert manifest.provenance["data"]["digest"] == colour_run.exported.trained.data.digest


def test_the_predictor_decides_as_the_test_split_did(
    colour_bundle: Path, colour_run: VerifyResult, colour_data: Any
) -> None:
    with np.load(colour_run.answers) as answers, Predictor.load(colour_bundle) as predictor:
        expected = answers["class_index"]
        found = [answer.index for answer in predictor.predict_many(colour_data.test.inputs)]
    assert found == expected.tolist()


def test_the_model_card_says_what_a_finder_needs(colour_bundle: Path) -> None:
    card = (colour_bundle / "README.md").read_text()
    for words in (
        "# colours 1",
        "Predictor.load",
        "accuracy",
        "noise of probabilities",
        "generated",
        "batch 8",
        "held against the trained network",
    ):
        assert words in card


def test_without_a_passing_passport_nothing_is_packaged(
    verified: VerifyResult, colour_data: Any, tmp_path: Path
) -> None:
    checks = tuple(dataclasses.replace(check, passed=check.name != "decisions") for check in verified.passport.checks)
    failed = dataclasses.replace(verified, passport=dataclasses.replace(verified.passport, checks=checks))
    with pytest.raises(BundleError, match=r"did not pass verification \(decisions\)"):
        package.run(PackageConfig(), failed, colour_data, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_passport_for_another_file_is_refused(
    verified: VerifyResult, colour_data: Any, tmp_path: Path, flip_byte: Callable[[Path, int], None]
) -> None:
    flip_byte(verified.exported.model, 3000)
    with pytest.raises(BundleError, match="the passport was issued for the file with SHA-256"):
        package.run(PackageConfig(), verified, colour_data, tmp_path / "out")


def test_a_full_disk_leaves_the_older_bundle(
    verified: VerifyResult, colour_data: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = package.run(PackageConfig(version="1"), verified, colour_data, tmp_path / "out")
    before = {path.name: files.sha256_file(path) for path in first.bundle.iterdir()}

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(package.shutil, "copyfile", full)
    with pytest.raises(OSError, match="No space left"):
        package.run(PackageConfig(version="2"), verified, colour_data, tmp_path / "out")
    assert {path.name: files.sha256_file(path) for path in first.bundle.iterdir()} == before
    assert [path.name for path in (tmp_path / "out").iterdir() if path.name.startswith(".")] == []


def test_packaging_again_replaces_the_bundle(verified: VerifyResult, colour_data: Any, tmp_path: Path) -> None:
    package.run(PackageConfig(version="1"), verified, colour_data, tmp_path / "out")
    again = package.run(PackageConfig(version="2"), verified, colour_data, tmp_path / "out")
    assert bundle.load(again.bundle).manifest.version == "2"


def test_a_signed_bundle_is_taken_by_whoever_trusts_the_key(
    verified: VerifyResult, colour_data: Any, tmp_path: Path, key_pair: tuple[Path, Path]
) -> None:
    private, public = key_pair
    packaged = package.run(PackageConfig(), verified, colour_data, tmp_path / "out", sign=private)
    with Predictor.load(packaged.bundle, trusted_key=public) as predictor:
        assert predictor.info.name == "colours"
    (packaged.bundle / "README.md").write_text("changed")
    with pytest.raises(BundleError):
        Predictor.load(packaged.bundle, trusted_key=public)


def test_more_provenance_is_kept(verified: VerifyResult, colour_data: Any, tmp_path: Path) -> None:
    packaged: PackageResult = package.run(
        PackageConfig(), verified, colour_data, tmp_path / "out", provenance={"mlflow_run": "abc"}
    )
    assert bundle.load(packaged.bundle).manifest.provenance["mlflow_run"] == "abc"
