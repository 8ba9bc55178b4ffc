"""`pipeline doctor`: findings, never crashes."""

import importlib.metadata
import json
import shutil
import sys
from collections import namedtuple
from pathlib import Path

import onnxruntime
import pytest
import torch

from pipeline import doctor
from pipeline.doctor import Finding, examine, render
from tests.pipeline.conftest import Invoke

NAMES = [
    "python",
    "platform",
    "torch",
    "training on CUDA",
    "cudnn of torch",
    "onnxruntime",
    "CUDA of both",
    "provider cpu",
    "provider cuda",
    "mlflow store",
    "data root",
    "disk",
]


def finding(name: str, runs: Path = Path("runs"), data: Path = Path("data")) -> Finding:
    (found,) = [entry for entry in examine(runs, data) if entry.name == name]
    return found


def test_a_healthy_machine(invoke: Invoke) -> None:
    done = invoke("doctor", "--json")
    assert done.exit_code == 0, done.stdout
    findings = json.loads(done.stdout)
    assert [entry["name"] for entry in findings] == NAMES
    assert not [entry for entry in findings if entry["state"] == "fail"]
    states = {entry["name"]: entry["state"] for entry in findings}
    assert states["provider cpu"] == "ok"
    assert all(entry["advice"] for entry in findings if entry["state"] == "warn")


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_no_gpu_is_a_warning(workplace: Path) -> None:
    assert finding("training on CUDA").state == "warn"
    assert finding("provider cuda").state == "warn"


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_a_gpu_is_found(workplace: Path) -> None:
    assert finding("training on CUDA").state == "ok"
    assert finding("provider cuda").state == "ok"


def test_lines_carry_the_advice() -> None:
    text = render([Finding("a", "ok", "1"), Finding("longer", "fail", "2", "do this")], as_json=False)
    assert text == "ok    a       1\nfail  longer  2\n              -> do this"


def test_two_builds_of_onnx_runtime_fail(invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "1.31.1")
    done = invoke("doctor")
    assert done.exit_code == 1
    assert "fail  onnxruntime       onnxruntime and onnxruntime-gpu are both installed" in done.stdout


def test_another_cuda_in_torch_fails(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnxruntime, "cuda_version", "13.0", raising=False)
    monkeypatch.setattr(torch.version, "cuda", "12.8")
    found = finding("CUDA of both")
    assert (found.state, found.found) == ("fail", "torch is built for CUDA 12.8, ONNX Runtime for CUDA 13.0")
    monkeypatch.setattr(torch.version, "cuda", None)
    assert finding("CUDA of both").state == "ok"
    assert finding("torch").found.endswith("built without CUDA")


@pytest.mark.parametrize(("package", "name"), [("torch", "torch"), ("onnxruntime", "onnxruntime")])
def test_a_missing_package_is_a_finding(
    workplace: Path, monkeypatch: pytest.MonkeyPatch, package: str, name: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    found = finding(name)
    assert found.state == "fail"
    assert package in found.found


def test_a_broken_provider_is_a_finding(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_PROBE", b"no model")
    assert finding("provider cpu").state == "fail"


def test_stores(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert finding("mlflow store").found.endswith("mlflow.db: answers")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{workplace}/new.db")
    assert finding("mlflow store").found.endswith("not there yet, the first run makes it")
    assert not (workplace / "new.db").exists()
    (workplace / "bad.db").write_bytes(b"no database at all" * 100)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{workplace}/bad.db")
    assert finding("mlflow store").state == "fail"


def test_folders(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "not there yet" in finding("data root").found
    (workplace / "data" / "mnist").mkdir(parents=True)
    assert finding("data root").found == "data: mnist"
    monkeypatch.setattr(doctor.os, "access", lambda path, mode: False)
    assert finding("data root").state == "warn"
    assert finding("disk").state == "fail"
    assert finding("mlflow store").state == "fail"


@pytest.mark.parametrize(("free", "state"), [(0.5, "fail"), (3, "warn"), (100, "ok")])
def test_disk(workplace: Path, monkeypatch: pytest.MonkeyPatch, free: float, state: str) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage(0, 0, free * 1e9))
    found = finding("disk")
    assert (found.state, found.found) == (state, f"{free:.1f} GB free for runs")
