"""Recertification on the CPU; on a GPU see test_gpu.py."""

import dataclasses
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deploy import Predictor, bundle
from deploy.errors import BundleError, OnnxwayError, ProviderError, UsageError
from deploy.passport import Machine
from deploy.providers import Session
from deploy.recertify import main, recertify, render
from tests.deploy.conftest import certify


def test_a_bundle_of_another_runtime_is_taken_after_it(colours: Path, tmp_path: Path, here: Machine) -> None:
    folder = certify(tmp_path / "old", colours, dataclasses.replace(here, onnxruntime="1.2.3"))
    with pytest.raises(BundleError, match="recertify it on this machine"):
        Predictor.load(folder)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    record = recertify(folder, threads=1)
    assert record
    assert record.machine == here
    assert record.rows == 6
    assert record.bundle_sha256 == bundle.load(folder).digest
    assert [check.name for check in record.checks] == [
        "placement",
        "probabilities",
        "class_index",
        "probabilities against float64",
        "class_index against float64",
        "repeats probabilities",
        "batch invariance of probabilities",
        "repeats class_index",
        "batch invariance of class_index",
    ]
    assert Predictor.load(folder).info.replayed
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def answering(monkeypatch: pytest.MonkeyPatch, change: Any) -> None:
    """Let sessions answer as `change` makes of it: (inputs, outputs, number of the run) -> None."""
    run, calls = Session.run, iter(range(10**6))

    def changed(self: Session, arrays: Mapping[str, Any], outputs: Any = None) -> dict[str, Any]:
        found = run(self, arrays, outputs)
        change(arrays, found, next(calls))
        return found

    monkeypatch.setattr(Session, "run", changed)


def noisy(_: Any, outputs: dict[str, Any], __: int) -> None:
    outputs["probabilities"] += np.float32(1e-5)


def deciding(_: Any, outputs: dict[str, Any], __: int) -> None:
    outputs["class_index"][0] = (outputs["class_index"][0] + 1) % 3


def drifting(_: Any, outputs: dict[str, Any], number: int) -> None:
    if number >= 3:  # the second time, and in batches
        outputs["probabilities"] += np.float32(1e-6)


def looking_aside(inputs: Any, outputs: dict[str, Any], _: int) -> None:
    if len(inputs["image"]) > 3:  # more than any sample has rows
        outputs["probabilities"] += np.float32(1e-6)


@pytest.mark.parametrize(
    ("change", "failing"),
    [
        (noisy, ["probabilities", "probabilities against float64"]),
        (deciding, ["class_index", "class_index against float64", "batch invariance of class_index"]),
        (drifting, ["repeats probabilities", "batch invariance of probabilities"]),
        (looking_aside, ["batch invariance of probabilities"]),
    ],
)
def test_a_machine_that_computes_otherwise_fails(
    certified: Path, monkeypatch: pytest.MonkeyPatch, change: Any, failing: list[str]
) -> None:
    with monkeypatch.context() as patched:
        answering(patched, change)
        record = recertify(certified, threads=1)
    assert not record
    assert [check.name for check in record.failures()] == failing
    assert "recertification failed: 6 rows on cpu" in render(record)
    assert f"FAIL  {failing[0]}: " in render(record)
    with pytest.raises(BundleError, match=r"recertification on cpu failed on this machine"):
        Predictor.load(certified)


def test_without_references_there_is_nothing_to_hold_it_against(copied: Path) -> None:
    with pytest.raises(BundleError, match=r"no float64 references .* package the model again"):
        recertify(copied)


def test_bad_bundles_options_and_providers_are_named(certified: Path, tmp_path: Path) -> None:
    with pytest.raises(OnnxwayError, match="no bundle there"):
        recertify(tmp_path / "none")
    with pytest.raises(UsageError, match="variant 'int8'"):
        recertify(certified, variant="int8")
    with pytest.raises(UsageError, match="provider cpu takes no options"):
        recertify(certified, provider_options={"use_tf32": 1})
    with pytest.raises(UsageError, match="provider 'tpu'"):
        recertify(certified, "tpu")  # type: ignore[arg-type]
    (certified / "net.onnx").write_bytes(b"x")
    with pytest.raises(BundleError, match=r"net\.onnx: SHA-256 is"):
        recertify(certified)
    assert not certified.with_name("certified.recertified").exists()


def test_the_command(certified: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert main([str(certified)]) == 0
    assert capsys.readouterr().out.startswith("recertification passed: 6 rows on cpu (")
    answering(monkeypatch, noisy)
    assert main([str(certified), "--provider", "cpu"]) == 1
    assert "FAIL  probabilities against float64: is 1e-05" in capsys.readouterr().out
    assert main([str(certified.parent)]) == 1
    assert capsys.readouterr().err.startswith("error: ")


def test_it_is_a_module_that_loads_nothing_heavy(certified: Path, tmp_path: Path) -> None:
    (tmp_path / "run" / "package").mkdir(parents=True)
    shutil.move(certified, tmp_path / "run" / "package" / "bundle")
    code = "import sys; from deploy.recertify import main; main(sys.argv[1:]); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code, tmp_path / "run"], capture_output=True, text=True, check=True)
    assert "recertification passed" in done.stdout
    assert not {"torch", "onnx", "mlflow", "click", "cryptography"} & set(done.stdout.splitlines()[-1].split())
    done = subprocess.run(
        [sys.executable, "-m", "deploy.recertify", tmp_path / "run"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_a_machine_without_the_provider_says_why(certified: Path) -> None:
    try:
        assert recertify(certified, "cuda")
    except ProviderError as error:
        assert "provider cuda" in str(error) or "CUDA" in str(error)  # noqa: PT017
