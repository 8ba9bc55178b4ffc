"""The report: self-contained, complete, honest about what is missing."""

import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from deploy.errors import NotFoundError
from stages import package, report
from stages.recipe import PackageConfig
from stages.result import VerifyResult


@pytest.fixture
def run_copy(colour_run: VerifyResult, tmp_path: Path) -> Path:
    """A run folder of one's own, trained, exported and verified."""
    shutil.copytree(colour_run.folder.parent, tmp_path / "run")
    return tmp_path / "run"


def test_a_whole_run(run_copy: Path, colour_run: VerifyResult, colour_data: Any) -> None:
    package.run(PackageConfig(), colour_run, colour_data, run_copy / "package")
    page = report.write(run_copy, colour_data).read_text()
    for words in ("verified", "Confusion matrix", "Surest mistakes", "noise of probabilities", "one sample, CPU"):
        assert words in page
    assert colour_run.exported.sha256 in page
    assert f"{colour_run.metrics['accuracy']:.4f}" in page


def test_it_links_to_nothing(run_copy: Path, colour_data: Any) -> None:
    page = report.write(run_copy, colour_data).read_text()
    assert not re.findall(r"(?:src|href)=[\"'](?!#|data:)[^\"']+", page)


def test_before_verification_it_says_so(run_copy: Path) -> None:
    shutil.rmtree(run_copy / "verify")
    page = report.write(run_copy).read_text()
    assert "not verified" in page
    assert "Confusion matrix" not in page


def test_a_failing_verdict_is_shown(run_copy: Path) -> None:
    path = run_copy / "verify" / "result.json"
    path.write_text(path.read_text().replace('"passed": true', '"passed": false'))
    page = report.write(run_copy).read_text()
    assert "refused" in page
    assert "FAIL" in page


def test_names_are_escaped(run_copy: Path) -> None:
    path = run_copy / "train" / "result.json"
    path.write_text(path.read_text().replace('"licence": "generated"', '"licence": "<script>alert(1)</script>"'))
    page = report.write(run_copy).read_text()
    assert "<script>" not in page
    assert "&lt;script&gt;" in page


def test_without_training_there_is_no_report(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="pipeline train"):
        report.write(tmp_path)
