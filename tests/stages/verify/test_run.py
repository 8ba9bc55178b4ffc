"""The stage: its result, and the questions that it refuses to answer."""

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deploy import files
from deploy.errors import BundleError, ProviderError
from stages import result, verify
from stages.dataset import Split
from stages.errors import VerifyError
from stages.observer import Observer
from stages.recipe import VerifyConfig
from stages.result import VerifyResult


@pytest.fixture
def run_copy(colour_run: VerifyResult, tmp_path: Path) -> Path:
    """A run folder of one's own, trained and exported."""
    shutil.copytree(colour_run.folder.parent, tmp_path / "run")
    return tmp_path / "run"


def test_the_passport_is_bound_to_the_file(colour_run: VerifyResult) -> None:
    assert colour_run
    assert colour_run.passport.model_sha256 == files.sha256_file(colour_run.exported.model)
    assert colour_run.rows >= 1000
    assert colour_run.flips == 0
    assert set(colour_run.ratios) == set(colour_run.passport.noise) == {"probabilities"}


def test_metrics_are_those_of_training(colour_run: VerifyResult) -> None:
    assert colour_run.metrics["accuracy"] == colour_run.exported.trained.metrics["accuracy"]


def test_the_result_on_disk_is_the_result(colour_run: VerifyResult) -> None:
    assert result.load(VerifyResult, colour_run.folder.parent) == colour_run
    with np.load(colour_run.answers, allow_pickle=False) as answers:
        assert len(answers["class_index"]) == 400


def test_other_data_is_refused(run_copy: Path, colour_data: Any) -> None:
    exported = result.load(result.ExportResult, run_copy)
    other = dataclasses.replace(colour_data, info=dataclasses.replace(colour_data.info, digest="0" * 64))
    with pytest.raises(VerifyError, match=r"the data \(colours\) has digest 000000000000.*--data-root"):
        verify.run(VerifyConfig(), exported, other, run_copy / "verify")


def test_a_changed_file_is_refused(run_copy: Path, colour_data: Any, flip_byte: Callable[[Path, int], None]) -> None:
    exported = result.load(result.ExportResult, run_copy)
    flip_byte(exported.model, 5000)
    with pytest.raises(VerifyError, match=r"SHA-256 is .* pipeline export"):
        verify.run(VerifyConfig(), exported, colour_data, run_copy / "verify")


def test_a_stricter_limit_fails_and_says_by_how_much(run_copy: Path, colour_data: Any) -> None:
    exported = result.load(result.ExportResult, run_copy)
    verified = verify.run(VerifyConfig(limit=0.01), exported, colour_data, run_copy / "verify")
    assert not verified
    failed = {check.name: check for check in verified.passport.failures()}
    assert failed["noise of probabilities"].value == verified.ratios["probabilities"] > 0.01
    with pytest.raises(BundleError, match="noise of probabilities"):
        verified.passport.require(exported.sha256)


def test_the_numpy_witness_agrees(run_copy: Path, colour_data: Any) -> None:
    exported = result.load(result.ExportResult, run_copy)
    verified = verify.run(VerifyConfig(witness=20), exported, colour_data, run_copy / "verify")
    witness = next(check for check in verified.passport.checks if check.name == "numpy witness")
    assert witness
    assert "20 rows" in witness.detail


def test_numpy_agrees_on_a_few_rows_unasked_and_not_where_it_is_told_so(run_copy: Path, colour_data: Any) -> None:
    exported = result.load(result.ExportResult, run_copy)
    asked = {None: ["64 rows"], 0: []}
    for witness, words in asked.items():
        config = VerifyConfig(witness=witness, budget_s=0)
        verified = verify.run(config, exported, colour_data, run_copy / "verify")
        checks = [check for check in verified.passport.checks if check.name == "numpy witness"]
        assert [check.detail.rpartition("on ")[2] for check in checks] == words


def test_a_provider_that_does_not_work_is_an_error_not_a_verdict(run_copy: Path, colour_data: Any) -> None:
    from tests.gpu import cuda_works

    if cuda_works():
        pytest.skip("CUDA works here")
    exported = result.load(result.ExportResult, run_copy)
    with pytest.raises(ProviderError):
        verify.run(VerifyConfig(providers=("cuda",)), exported, colour_data, run_copy / "verify")


def test_rows_of_several_sizes(run_copy: Path, colour_data: Any) -> None:
    """A ragged test split is compared row by row, and batches are made of rows of one size."""
    exported = result.load(result.ExportResult, run_copy)
    ragged = [picture[: 20 + row % 3] for row, picture in enumerate(colour_data.test.inputs[:40])]
    data = dataclasses.replace(colour_data, test=Split(ragged, colour_data.test.targets[:40]))
    assert verify.run(VerifyConfig(rows=100), exported, data, run_copy / "verify")


def test_progress_is_told(run_copy: Path, colour_data: Any) -> None:
    seen = []

    class Listener(Observer):
        def progress(self, done: int, total: int, note: str = "") -> None:
            seen.append((done, total))

    exported = result.load(result.ExportResult, run_copy)
    verify.run(VerifyConfig(), exported, colour_data, run_copy / "verify", Listener())
    assert (1000, 1000) in seen
    assert seen[-1] == (64, 64)  # by numpy


def test_where_numpy_cannot_run_the_graph_it_is_said_and_held_against_it_only_when_asked(
    run_copy: Path, colour_data: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> Any:
        raise IndexError("too many\nindices")

    monkeypatch.setattr("stages.verify.session.ReferenceEvaluator.run", refuse)
    exported = result.load(result.ExportResult, run_copy)
    for witness in (None, 5):
        verified = verify.run(VerifyConfig(witness=witness, budget_s=0), exported, colour_data, run_copy / "verify")
        assert bool(verified) is (witness is None)
        check = next(check for check in verified.passport.checks if check.name == "numpy witness")
        assert check.detail == "onnx's numpy evaluator cannot run the graph (IndexError: too many indices)"
