"""What this machine can do, and what to do about what it cannot. A missing package is a finding, never a crash."""

import base64
import importlib.metadata
import json
import os
import platform
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from deploy.errors import OnnxwayError

MIN_FREE_GB, GOOD_FREE_GB = 1, 5
MIN_PYTHON = (3, 11)
_INSTALL = "pip install 'onnxway[pipeline]'"
# One 3 x 3 convolution, x (batch, 1, 4, 4) -> y (batch, 1, 2, 2), opset 20: the smallest model that needs cuDNN.
_PROBE = base64.b64decode(
    "CAk6lwEKFQoBeAoBdxIBeRoEY29udiIEQ29udhIFcHJvYmUqMwgBCAEIAwgDEAFCAXdKJAAAgD8AAIA/AACAPwAAgD8AAIA/AACAPwAAgD8AAIA/"
    "AACAP1ogCgF4EhsKGQgBEhUKBxIFYmF0Y2gKAggBCgIIBAoCCARiIAoBeRIbChkIARIVCgcSBWJhdGNoCgIIAQoCCAIKAggCQgQKABAU"
)


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at; `advice` is empty when there is nothing to do."""

    name: str
    state: Literal["ok", "warn", "fail"]
    found: str
    advice: str = ""


def examine(runs: Path, data_root: Path) -> list[Finding]:
    """Look at everything, in the order in which one thing depends on another."""
    checks: list[tuple[str, Callable[[], Finding]]] = [
        ("python", _python),
        ("platform", _platform),
        ("torch", _torch),
        ("training on CUDA", _training_on_cuda),
        ("cudnn of torch", _cudnn),
        ("onnxruntime", _onnxruntime),
        ("CUDA of both", _same_cuda),
        ("provider cpu", lambda: _provider("cpu")),
        ("provider cuda", lambda: _provider("cuda")),
        ("mlflow store", _mlflow),
        ("data root", lambda: _data_root(data_root)),
        ("disk", lambda: _disk(runs)),
    ]
    return [_guarded(name, check) for name, check in checks]


def render(findings: list[Finding], *, as_json: bool) -> str:
    """Return the findings as a JSON array, or as lines with the advice below each."""
    if as_json:
        return json.dumps([asdict(finding) for finding in findings], indent=2)
    width = max(len(finding.name) for finding in findings)
    return "\n".join(line for finding in findings for line in _lines(finding, width))


def _lines(finding: Finding, width: int) -> Iterator[str]:
    yield f"{finding.state:<4}  {finding.name:<{width}}  {finding.found}"
    if finding.advice:
        yield f"{'':<4}  {'':<{width}}  -> {finding.advice}"


def _guarded(name: str, check: Callable[[], Finding]) -> Finding:
    """Make a finding of whatever goes wrong: a broken installation raises all kinds of things."""
    try:
        return check()
    except ModuleNotFoundError as error:
        return Finding(name, "fail", f"the package {error.name!r} is not installed", _INSTALL)
    except Exception as error:
        return Finding(name, "fail", f"{type(error).__name__}: {' '.join(str(error).split())}", "see the message")


def _python() -> Finding:
    version = platform.python_version()
    if sys.version_info < MIN_PYTHON:
        return Finding("python", "fail", version, "install Python 3.11 or newer")
    return Finding("python", "ok", f"{version} ({sys.executable})")


def _platform() -> Finding:
    from deploy.providers import usable_cores

    return Finding("platform", "ok", f"{platform.platform()}, {usable_cores()} of {os.cpu_count()} cores usable")


def _torch() -> Finding:
    import torch

    build = f"built for CUDA {torch.version.cuda}" if torch.version.cuda else "built without CUDA"
    return Finding("torch", "ok", f"{torch.__version__}, {build}")


def _training_on_cuda() -> Finding:
    """Run a convolution on the device, as training does before it trusts it."""
    import torch

    from stages.errors import TrainingError
    from stages.observer import Observer
    from stages.recipe import TrainConfig
    from stages.train import device

    driver = _driver()
    try:
        chosen = device.choose(TrainConfig(device="cuda"), Observer())
    except TrainingError as error:
        advice = (
            "training runs on the CPU; for a GPU install the NVIDIA driver (a container needs --gpus all)"
            if not driver
            else "update the NVIDIA driver, or install a torch built for a CUDA that it supports"
        )
        reason = str(error).rpartition("does not work here: ")[2].partition(";")[0]
        return Finding("training on CUDA", "warn", f"{driver or 'no NVIDIA driver'}; {reason}", advice)
    return Finding("training on CUDA", "ok", f"{torch.cuda.get_device_name(chosen)}; {driver}")


def _driver() -> str:
    """Return the newest CUDA that the NVIDIA driver supports, in words; empty when there is no driver."""
    import ctypes

    try:
        library = ctypes.CDLL("libcuda.so.1" if sys.platform != "win32" else "nvcuda.dll")
    except OSError:
        return ""
    version = ctypes.c_int(0)
    if library.cuDriverGetVersion(ctypes.byref(version)) != 0:
        return "NVIDIA driver of unknown version"
    return f"NVIDIA driver for CUDA {version.value // 1000}.{version.value % 1000 // 10}"


def _cudnn() -> Finding:
    import torch

    version = torch.backends.cudnn.version()  # type: ignore[no-untyped-call]
    if version is None:
        state: Literal["ok", "warn"] = "warn" if torch.version.cuda else "ok"
        return Finding("cudnn of torch", state, "none", "install a torch with CUDA to train on a GPU")
    return Finding("cudnn of torch", "ok", f"{version // 10000}.{version // 100 % 100}.{version % 100}")


def _onnxruntime() -> Finding:
    there = [name for name in ("onnxruntime", "onnxruntime-gpu") if _version(name)]
    if len(there) == 2:
        return Finding(
            "onnxruntime",
            "fail",
            "onnxruntime and onnxruntime-gpu are both installed; they overwrite each other's files",
            "pip uninstall onnxruntime onnxruntime-gpu, then pip install --force-reinstall onnxruntime-gpu",
        )
    import onnxruntime

    name = there[0] if there else "onnxruntime"
    cuda = _ort_cuda(onnxruntime)
    build = f"built for CUDA {cuda}" if cuda else "built without CUDA"
    return Finding("onnxruntime", "ok", f"{name} {onnxruntime.__version__}, {build}")


def _same_cuda() -> Finding:
    """Compare the CUDA of torch and of ONNX Runtime: in one process the libraries that are loaded first win."""
    import onnxruntime
    import torch

    ours, theirs = _ort_cuda(onnxruntime), torch.version.cuda or ""
    if not ours or not theirs:
        return Finding("CUDA of both", "ok", "nothing to compare: one of them is built without CUDA")
    if ours.partition(".")[0] != theirs.partition(".")[0]:
        return Finding(
            "CUDA of both",
            "fail",
            f"torch is built for CUDA {theirs}, ONNX Runtime for CUDA {ours}",
            f"install a torch for CUDA {ours.partition('.')[0]}: see https://pytorch.org/get-started",
        )
    return Finding("CUDA of both", "ok", f"torch {theirs}, ONNX Runtime {ours}")


def _provider(name: Literal["cpu", "cuda"]) -> Finding:
    """Open a session strictly, read where its nodes are, and run it."""
    import numpy as np
    import onnxruntime

    from deploy.providers import open_session

    onnxruntime.set_default_logger_severity(4)  # what it logs about a missing library is said better by the error
    try:
        session = open_session(_PROBE, name)
        answer = session.run({"x": np.ones((2, 1, 4, 4), np.float32)})["y"]
    except OnnxwayError as error:
        state: Literal["warn", "fail"] = "warn" if name == "cuda" else "fail"
        advice = "serving runs on the CPU until this is mended" if name == "cuda" else "reinstall ONNX Runtime"
        return Finding(f"provider {name}", state, str(error), advice)
    if not (answer == 9).all():
        return Finding(f"provider {name}", "fail", f"a sum of nine ones gave {answer.ravel()[0]}", "do not use it")
    placed = ", ".join(f"{count} node(s) on {provider}" for provider, count in session.placement.counts.items())
    return Finding(f"provider {name}", "ok", placed)


def _mlflow() -> Finding:
    from pipeline import tracking

    address = tracking.store()
    local = address.removeprefix("sqlite:///") if address.startswith("sqlite:///") else ""
    if local and not Path(local).exists():
        folder = Path(local).absolute().parent
        if not os.access(folder, os.W_OK):
            return Finding("mlflow store", "fail", f"{address}: {folder} cannot be written", "set MLFLOW_TRACKING_URI")
        return Finding("mlflow store", "ok", f"{address}: not there yet, the first run makes it")
    try:
        tracking.client()
    except (OnnxwayError, OSError) as error:
        return Finding("mlflow store", "fail", str(error), "start that server, or set MLFLOW_TRACKING_URI")
    if local and not os.access(local, os.W_OK):
        return Finding("mlflow store", "fail", f"{address}: cannot be written", "mend the rights of that file")
    return Finding("mlflow store", "ok", f"{address}: answers")


def _data_root(folder: Path) -> Finding:
    if not folder.is_dir():
        return Finding("data root", "ok", f"{folder}: not there yet, the first download makes it")
    inside = sorted(path.name for path in folder.iterdir() if path.is_dir())
    if not os.access(folder, os.W_OK):
        return Finding(
            "data root", "warn", f"{folder}: read-only, with {_listed(inside)}", "downloads need another: --data-root"
        )
    return Finding("data root", "ok", f"{folder}: {_listed(inside)}")


def _disk(runs: Path) -> Finding:
    folder = next(path for path in (runs.absolute(), *runs.absolute().parents) if path.is_dir())
    free = shutil.disk_usage(folder).free / 1e9
    found = f"{free:.1f} GB free for {runs}"
    if not os.access(folder, os.W_OK):
        return Finding("disk", "fail", f"{folder} cannot be written", "choose another folder: --runs, or ONNXWAY_RUNS")
    if free < MIN_FREE_GB:
        return Finding("disk", "fail", found, f"free at least {MIN_FREE_GB} GB, or choose another disk: --runs")
    if free < GOOD_FREE_GB:
        return Finding("disk", "warn", found, "old run folders can be deleted: pipeline list runs")
    return Finding("disk", "ok", found)


def _listed(names: list[str]) -> str:
    return ", ".join(names) if names else "empty"


def _ort_cuda(onnxruntime: Any) -> str:
    """Return the CUDA version that ONNX Runtime was built for; empty for a CPU build."""
    return str(getattr(onnxruntime, "cuda_version", "") or "")


def _version(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return ""
