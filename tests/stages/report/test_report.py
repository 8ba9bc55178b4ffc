"""The report: self-contained, complete, honest about what is missing."""

import json
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
    for words in (
        "verified", "Confusion matrix", "Class by class", "Reliability", "Surest mistakes", "First layer&#39;s filters",
        "noise of probabilities", "one sample, CPU",
    ):  # fmt: skip
        assert words in page
    assert colour_run.exported.sha256 in page
    assert f"{colour_run.metrics['accuracy']:.4f}" in page


def test_it_links_to_nothing(run_copy: Path, colour_data: Any) -> None:
    page = report.write(run_copy, colour_data).read_text()
    assert not re.findall(r"(?:src|href)=[\"'](?!#|data:)[^\"']+", page)


def test_every_picture_has_words(run_copy: Path, colour_data: Any) -> None:
    page = report.write(run_copy, colour_data).read_text()
    pictures = re.findall(r"<img [^>]*>", page)
    assert len(pictures) > 6
    assert all(re.search(r'alt="[^"]+"', picture) for picture in pictures)
    for svg in re.finditer(r"<svg", page):
        before = page[: svg.end() + 200]
        assert 'role="img"' in before[before.rindex("<svg") - 400 :]


def test_calibration_before_and_after(run_copy: Path, colour_data: Any) -> None:
    path = run_copy / "train" / "result.json"
    plain = json.loads(path.read_text())
    plain["metrics"]["ece_uncalibrated"] = 0.0314
    path.write_text(json.dumps(plain))
    assert (
        "before the temperature was fitted on validation data 3.14%" in report.write(run_copy, colour_data).read_text()
    )
    del plain["metrics"]["ece_uncalibrated"]
    path.write_text(json.dumps(plain))
    assert "before the temperature" not in report.write(run_copy, colour_data).read_text()


def test_before_verification_it_says_so(run_copy: Path) -> None:
    shutil.rmtree(run_copy / "verify")
    page = report.write(run_copy).read_text()
    assert "not verified" in page
    assert "once it is verified" in page
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


def test_what_verification_found_is_shown(run_copy: Path, colour_data: Any) -> None:
    findings = {
        "cpu": {
            "yardstick": "torch float32",
            "rows": 1000,
            "ratios": {"probabilities": 1.0},
            "noise": {
                "probabilities": {
                    "values": 4000, "ratio": 1.0, "largest": 1e-6, "cosine": 1.0,
                    "ulps": [[0, 3000], [1, 900], [2, 100]], "ulps_yardstick": [[0, 3100], [1, 900]],
                }
            },
            "decisions": {
                "rows": 400, "flips": 1, "ties": 0, "rate_bound": 0.0075, "confidence": 0.95,
                "margins": [{"above": 0.0, "to": 1e-6, "rows": 2, "flips": 0}],
                "flipped": [{"row": 3, "margin": 0.2, "tie": False, "expected": 1, "found": 0}],
            },
            "shapes": [{"shape": "1 x 1 x 1", "ratio": 0.5}],
            "placement": {"nodes": 12, "copies": 0},
        }
    }  # fmt: skip
    blame = {
        "sentence": "the answers first differ at Conv 'node_conv2d'",
        "steps": [{"name": "optimized ONNX", "broken": True, "ratio": 99.0, "flips": 1, "detail": ""}],
        "layers": [
            {"tensor": "a", "operator": "Conv", "module": "net.features.0", "ratio": 1.0},
            {"tensor": "b", "operator": "Relu", "module": "net.features.1", "ratio": None},
        ],
        "repro": ["repro/repro.py"],
    }
    (run_copy / "verify" / "findings.json").write_text(json.dumps(findings))
    (run_copy / "verify" / "blame.json").write_text(json.dumps(blame))
    page = report.write(run_copy, colour_data).read_text()
    for words in (
        "Errors of probabilities", "Decisions that differ", "Decisions by margin", "Shapes that were tried",
        "Where the nodes run", "Where it goes wrong", "node_conv2d", "Divergence by layer", "repro/repro.py",
        "all but 1 of 400 test rows: fewer than 0.75 % of decisions differ, at 95% confidence",
    ):  # fmt: skip
        assert words in page, words


def test_damaged_findings_are_left_out(run_copy: Path) -> None:
    for name in ("findings.json", "blame.json"):
        (run_copy / "verify" / name).write_text("{")
    assert "noise of probabilities" in report.write(run_copy).read_text()
