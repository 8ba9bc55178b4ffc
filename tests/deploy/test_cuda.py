"""The words for what goes wrong with CUDA; the texts are those of onnxruntime-gpu 1.31.1."""

import types
from collections import Counter

import onnxruntime
import pytest

from deploy import cuda
from deploy.errors import OnnxwayError, ProviderError, UsageError
from deploy.onnxfile import OnnxFile
from deploy.placement import CUDA

PLACE = "[ONNXRuntimeError] : 1 : FAIL : /onnxruntime_src/onnxruntime/core/x.cc:187 onnxruntime::Parse(const A&) "


def test_what_was_verified_is_the_default() -> None:
    assert cuda.options({}) == cuda.DEFAULTS
    assert cuda.DEFAULTS["use_tf32"] == "0"
    assert cuda.options({"use_tf32": True, "device_id": 1})["use_tf32"] == "1"
    assert cuda.options({"device_id": 1})["device_id"] == "1"


def test_the_fallback_engines_of_cudnn_are_refused() -> None:
    with pytest.raises(UsageError, match="choose from: HEURISTIC, EXHAUSTIVE"):
        cuda.options({"cudnn_conv_algo_search": "DEFAULT"})


@pytest.fixture
def cuda_build(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [CUDA, "CPUExecutionProvider"])


def test_a_plain_build_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])
    with pytest.raises(ProviderError, match=r"has no CUDA provider; .* pip install 'onnxway\[cuda\]'"):
        cuda.require_runnable(OnnxFile(20, Counter(), False))


@pytest.mark.usefixtures("cuda_build")
def test_graphs_that_would_run_partly_on_the_cpu_are_refused() -> None:
    cuda.require_runnable(OnnxFile(21, Counter(Conv=1), False))
    with pytest.raises(ProviderError, match=r"opset 22; from 22 on .* MaxPool .* opset 20"):
        cuda.require_runnable(OnnxFile(22, Counter(Conv=1), False))
    with pytest.raises(ProviderError, match=r"quantized to int8 \(DequantizeLinear, QuantizeLinear\)"):
        cuda.require_runnable(OnnxFile(20, Counter(Conv=1, QuantizeLinear=1, DequantizeLinear=2), False))


@pytest.mark.parametrize(
    ("said", "kind", "words"),
    [
        (
            'Unknown provider option: "cuda_mem_limit".',
            UsageError,
            r'^provider cuda: Unknown provider option: "cuda_mem_limit"; the options that exist: https',
        ),
        (
            'Failed to parse provider option "use_tf32": Failed to parse value: "no"',
            UsageError,
            r'^provider cuda: Failed to parse provider option "use_tf32": Failed to parse value: "no"; the',
        ),
        (
            'Failed to parse provider option "device_id": x.cc:71 operator() Invalid device ID: 5, must be between 0 '
            "(inclusive) and 1 (exclusive).",
            ProviderError,
            r"^provider cuda: Invalid device ID: 5, must be between 0 .* nvidia-smi -L",
        ),
        (
            'Failed to parse provider option "device_id": CUDA failure 100: no CUDA-capable device is detected',
            ProviderError,
            "no device .* --gpus all",
        ),
        ("CUDA failure 100: no CUDA-capable device is detected ; GPU=-1", ProviderError, "no device .* --gpus all"),
        ("CUDA failure 35: CUDA driver version is insufficient", ProviderError, "driver is too old .* update"),
        ("cuDNN is unavailable or disabled", ProviderError, r"cuDNN 9 .* pip install 'onnxway\[cuda\]'"),
        (
            "something new\nin two lines",
            ProviderError,
            "^provider cuda: .* something new in two lines; see pipeline doctor",
        ),
    ],
)
def test_creation_errors_say_cause_and_remedy(said: str, kind: type[OnnxwayError], words: str) -> None:
    error = cuda.creation_error(RuntimeError(PLACE + said))
    assert type(error) is kind
    with pytest.raises(kind, match=words):
        raise error


@pytest.mark.parametrize(
    ("said", "kind", "words"),
    [
        ("cuDNN is unavailable or disabled for CUDA Execution Provider", ProviderError, "convolutions need it"),
        ("Failed to allocate memory for requested buffer of size 9", ProviderError, "out of device memory .* smaller"),
        ("CUDA failure 2: out of memory", ProviderError, "out of device memory"),
        ("Unexpected input data type", OnnxwayError, "cannot run the model on the CUDA provider: Unexpected"),
    ],
)
def test_run_errors_say_cause_and_remedy(said: str, kind: type[OnnxwayError], words: str) -> None:
    error = cuda.run_error(RuntimeError(said))
    assert type(error) is kind
    with pytest.raises(kind, match=words):
        raise error


def test_diagnosis_names_every_missing_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda, "_torch_mismatch", lambda: "")
    monkeypatch.setattr(cuda, "_loads", lambda name: name.startswith("libcudart"))
    said = cuda.diagnose()
    assert "libcublasLt.so" in said
    assert "pip install 'onnxway[cuda]'" in said
    assert "no NVIDIA driver" in said
    monkeypatch.setattr(cuda, "_loads", lambda name: name != "libcuda.so.1")
    assert cuda.diagnose().startswith("libcuda.so.1 cannot be loaded, this machine has no NVIDIA driver")
    monkeypatch.setattr(cuda, "_loads", lambda name: True)
    assert "unknown" in cuda.diagnose()
    monkeypatch.setattr("sys.platform", "win32")
    assert "install the NVIDIA driver" in cuda.diagnose()


def test_a_torch_for_another_cuda_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnxruntime, "cuda_version", "13.0", raising=False)
    torch = types.SimpleNamespace(version=types.SimpleNamespace(cuda="12.8"))
    monkeypatch.setitem(__import__("sys").modules, "torch", torch)
    assert "torch in this process was built for CUDA 12.8, ONNX Runtime for CUDA 13" in cuda.diagnose()
    torch.version.cuda = "13.0"
    assert not cuda._torch_mismatch()
    torch.version.cuda = None
    assert not cuda._torch_mismatch()


def test_libraries_are_loaded_once_and_quietly(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    calls = []
    monkeypatch.setattr(onnxruntime, "preload_dlls", lambda: (calls.append(1), print("Failed to load x")))
    cuda.preload.cache_clear()
    assert cuda.preload() == "Failed to load x\n"
    cuda.preload()
    cuda.preload.cache_clear()
    assert calls == [1]
    assert capsys.readouterr().out == ""
