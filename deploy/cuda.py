"""What is particular about ONNX Runtime's CUDA provider: defaults, what it must not be given, causes and remedies.

Every text of ONNX Runtime that is matched here was seen with onnxruntime-gpu 1.31.1. What matches nothing is passed on
as it is: an unknown cause is said to be unknown.
"""

import contextlib
import ctypes
import functools
import io
import re
import sys
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING

import onnxruntime

from deploy.errors import OnnxwayError, ProviderError, UsageError
from deploy.onnxfile import OnnxFile
from deploy.placement import CUDA

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

MAX_OPSET = 21
GRAPHS = "enable_cuda_graph"
INSTALL = "pip install 'onnxway[cuda]'"

DEFAULTS = {
    "device_id": "0",
    "use_tf32": "0",  # ONNX Runtime's default is 1: about 1e-3 relative away from what was verified
    "cudnn_conv_algo_search": "HEURISTIC",  # since 1.20 no search benchmarks; DEFAULT takes cuDNN's fallback engines
    "arena_extend_strategy": "kSameAsRequested",  # 44.6 instead of 71 MiB for the weights of a ResNet-18
}

_QUANTIZED = frozenset(
    {"QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear"}
    | {"QLinearConv", "QLinearMatMul", "ConvInteger", "MatMulInteger"}
)
# Their outputs have as many rows as they find; asking how many is a wait that a capture forbids.
_DATA_DEPENDENT = frozenset({"NonZero", "NonMaxSuppression", "Unique", "Compress"})
_CONTROL_FLOW = frozenset({"If", "Loop", "Scan", "SequenceMap"})
_EAGERLY = f"leave {GRAPHS} out"
_DRIVER = "libcuda.so.1"
_NO_CUDNN = "cuDNN is unavailable"
_OPTIONS_PAGE = "https://onnxruntime.ai/docs/execution-providers/CUDA-ExecutionProvider.html"
_lock = threading.Lock()

making = threading.Lock()
"""Held while a session is created, and while graphs are captured: allocating breaks another thread's capture."""


def options(chosen: Mapping[str, object]) -> dict[str, str]:
    """Return `DEFAULTS` with the caller's options over them, as the strings that ONNX Runtime takes."""
    merged = DEFAULTS | {key: str(int(value) if isinstance(value, bool) else value) for key, value in chosen.items()}
    if merged["cudnn_conv_algo_search"] == "DEFAULT":
        raise UsageError(
            "cudnn_conv_algo_search DEFAULT takes cuDNN's fallback engines; choose from: HEURISTIC, EXHAUSTIVE"
        )
    return merged


def captures(options: Mapping[str, str]) -> bool:
    """Tell whether provider options ask for CUDA graphs, as ONNX Runtime reads them."""
    return options.get(GRAPHS, "0").lower() in ("1", "true")


@functools.cache
def turn(device: int) -> threading.Lock:
    """Return the lock of a device: sessions on it run one at a time.

    Kernels hold a lock by node, so a second thread gains little, and what it allocates would break a capture.
    """
    return threading.Lock()


@functools.cache
def device_thread(device: int) -> "ThreadPoolExecutor":
    """Return the one thread of a device that runs captured graphs: they belong to the thread that captured them."""
    from concurrent.futures import ThreadPoolExecutor  # here, because only CUDA graphs need it

    return ThreadPoolExecutor(1, f"onnxway-cuda-{device}")


def require_capturable(model: OnnxFile) -> None:
    """Raise `ProviderError` for a graph that no CUDA graph can be captured of, by its operators.

    Shape arithmetic may be on the CPU (`deploy.placement`): for one shape of inputs it gives the same numbers each
    time, and a CUDA graph holds what they led to. Other nodes there make ONNX Runtime refuse the session.
    """
    for operators, why in (
        (_CONTROL_FLOW, "control flow, which runs on the CPU"),
        (_DATA_DEPENDENT, "operators whose output sizes depend on the data"),
    ):
        found = sorted(operators & set(model.operators))
        if found:
            raise ProviderError(f"{GRAPHS}: the graph has {why} ({', '.join(found)}); {_EAGERLY}")


def require_runnable(model: OnnxFile) -> None:
    """Raise `ProviderError` for a graph that would not run as a whole on the CUDA provider, and for a plain build."""
    if CUDA not in onnxruntime.get_available_providers():
        raise ProviderError(
            "provider cuda: this build of ONNX Runtime has no CUDA provider; "
            f"pip uninstall onnxruntime onnxruntime-gpu, then {INSTALL}"
        )
    if model.opset > MAX_OPSET:
        raise ProviderError(
            f"provider cuda: the graph has opset {model.opset}; from 22 on ONNX Runtime runs MaxPool and others on the "
            f"CPU; export it with opset 20 ({MAX_OPSET} at most)"
        )
    quantized = sorted(_QUANTIZED & set(model.operators))
    if quantized:
        raise ProviderError(
            f"provider cuda: the graph is quantized to int8 ({', '.join(quantized)}), which the CUDA provider computes "
            "in float with copies to the CPU; use the fp32 variant there, or provider cpu"
        )


@functools.cache
def preload() -> str:
    """Load the CUDA and cuDNN libraries of the nvidia-* packages once; returns what ONNX Runtime said about it."""
    said = io.StringIO()
    with _lock, contextlib.redirect_stdout(said):  # it prints, and a command's stdout belongs to the command
        onnxruntime.preload_dlls()
    return said.getvalue()


def diagnose() -> str:
    """Return why ONNX Runtime could not load its CUDA provider, and what to do about it."""
    mismatch = _torch_mismatch()
    if mismatch:
        return mismatch
    if not sys.platform.startswith("linux"):
        return f"its libraries cannot be loaded; {INSTALL}, and install the NVIDIA driver"
    causes = []
    missing = [name for name in _libraries() if not _loads(name)]
    if missing:
        causes.append(f"{', '.join(missing)} cannot be loaded: {INSTALL}")
    if not _loads(_DRIVER):
        causes.append(
            f"{_DRIVER} cannot be loaded, this machine has no NVIDIA driver: install it (a container needs --gpus all)"
        )
    return "; ".join(causes) or "its libraries are there, the cause is unknown; see pipeline doctor"


def creation_error(error: Exception) -> OnnxwayError:
    """Return the error to raise when a session could not be created for the CUDA provider."""
    text = " ".join(str(error).split())
    if "Invalid device ID" in text:
        said = text[text.index("Invalid device ID") :].rstrip(".")
        return ProviderError(f"provider cuda: {said}; choose a device_id that nvidia-smi -L lists")
    if "provider option" in text and "CUDA failure" not in text:  # device_id is parsed by asking the driver
        said = re.sub(r".*?(Unknown|Failed to parse) provider option", r"\1 provider option", _plain(text)).rstrip(".")
        return UsageError(f"provider cuda: {said}; the options that exist: {_OPTIONS_PAGE}")
    if "no CUDA-capable device" in text or "CUDA failure 100" in text:
        return ProviderError(
            "provider cuda: the driver is there, but no device (CUDA failure 100); look at nvidia-smi and at "
            "CUDA_VISIBLE_DEVICES (in a container: start it with --gpus all)"
        )
    if "CUDA failure 35" in text or "driver version is insufficient" in text:
        return ProviderError(
            f"provider cuda: the NVIDIA driver is too old for CUDA {_cuda_major()} (CUDA failure 35); update the driver"
        )
    if _NO_CUDNN in text:
        return _no_cudnn()
    if "cannot use the graph capture feature" in text:
        said = re.sub(r".*graph capture feature as requested by the user +as ", "", text)
        return ProviderError(f"{GRAPHS}: no CUDA graph can be captured: {said}; {_EAGERLY}")
    return ProviderError(f"provider cuda: no session could be created: {_plain(text)}; see pipeline doctor")


def run_error(error: Exception) -> OnnxwayError:
    """Return the error to raise when a run on the CUDA provider failed."""
    text = " ".join(str(error).split())
    if _NO_CUDNN in text:
        return _no_cudnn()
    capture = re.search(r"CUDA failure 90\d: [^;]*[^; ]", text)  # cudaErrorStreamCapture...
    if capture:
        return ProviderError(f"{GRAPHS}: the graph makes a call that cannot be captured ({capture[0]}); {_EAGERLY}")
    if "Failed to allocate memory" in text or "out of memory" in text or "CUDA failure 2:" in text:
        return ProviderError(f"provider cuda: out of device memory ({_plain(text)}); send smaller batches")
    return OnnxwayError(f"ONNX Runtime cannot run the model on the CUDA provider: {_plain(text)}")


def _no_cudnn() -> ProviderError:
    return ProviderError(
        f"provider cuda: cuDNN 9 for CUDA {_cuda_major()} cannot be loaded, and convolutions need it; {INSTALL}"
    )


def _torch_mismatch() -> str:
    """Name a torch in this process that was built for another CUDA: its libraries are loaded already and win."""
    torch = sys.modules.get("torch")
    built_for = getattr(getattr(torch, "version", None), "cuda", None)
    if not built_for or built_for.split(".")[0] == _cuda_major():
        return ""
    return (
        f"torch in this process was built for CUDA {built_for}, ONNX Runtime for CUDA {_cuda_major()}; "
        f"install a torch for CUDA {_cuda_major()}, or {INSTALL} in an environment without torch"
    )


def _cuda_major() -> str:
    return str(getattr(onnxruntime, "cuda_version", "") or "13").split(".")[0]


def _libraries() -> tuple[str, ...]:
    major = _cuda_major()
    return (f"libcudart.so.{major}", f"libcublasLt.so.{major}", f"libcublas.so.{major}", "libcurand.so.10")


def _loads(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


def _plain(text: str) -> str:
    """Return ONNX Runtime's words without its codes and the places in its sources."""
    text = re.sub(r"\[ONNXRuntimeError\] : \d+ : \w+ : ", "", text)
    return re.sub(r"\S+\.(?:cc|h|cpp|cu):\d+ \S+ ", "", text).strip()
