"""What this machine is, as far as it decides numbers: read without torch, and never a reason to fail.

What cannot be read is an empty text. The GPU is only asked for when somebody uses it: asking starts its driver in this
process, and a process that is forked later could not use it.
"""

import ctypes
import functools
import platform
from contextlib import suppress
from pathlib import Path
from typing import Any

import onnxruntime

from deploy.passport import Conditions, Machine
from deploy.placement import CPU, CUDA

_CPUINFO = Path("/proc/cpuinfo")
# What MLAS, the CPU kernels of ONNX Runtime, looks at (onnxruntime/core/mlas/lib/platform.cpp): x86, then ARM names.
_INSTRUCTIONS = (
    *("avx", "f16c", "avx2", "fma", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16", "amx_int8", "amx_bf16"),
    *("asimd", "asimdhp", "asimddp", "i8mm", "bf16", "sve", "sme"),
)
_EP = {"cpu": CPU, "cuda": CUDA}


def read_machine(gpu: int | None = None) -> Machine:
    """Return this machine; `gpu` is the number of a CUDA device to look at, None looks at none."""
    model, instructions = _cpu()
    name, driver, cudnn = ("", "", "") if gpu is None else _gpu(gpu)
    return Machine(
        system=f"{platform.system()} {platform.machine()}",
        cpu=model,
        instructions=instructions,
        gpu=name,
        driver=driver,
        cudnn=cudnn,
        onnxruntime=onnxruntime.__version__,
        build=onnxruntime.get_build_info(),
    )


def session_machine(session: Any) -> Machine:
    """Return this machine with the GPU that a `deploy.providers.Session` runs on, if it runs on one."""
    return read_machine(int(session.options.get("device_id", "0")) if session.provider == "cuda" else None)


def session_conditions(session: Any) -> Conditions:
    """Return how a `deploy.providers.Session` is set, as ONNX Runtime reports it."""
    settings = session.raw.get_session_options()
    options = session.raw.get_provider_options().get(_EP[session.provider], {})
    return Conditions(
        optimization=settings.graph_optimization_level.name.removeprefix("ORT_").removeprefix("ENABLE_").lower(),
        provider_options={key: str(value) for key, value in sorted(options.items())},
    )


@functools.cache
def _cpu() -> tuple[str, str]:
    """Return the model name and the instruction sets that matter; Linux tells them, others the name at most."""
    found: dict[str, str] = {}
    with suppress(OSError):
        for line in _CPUINFO.read_text(errors="replace").splitlines():
            key, colon, value = line.partition(":")
            if colon:
                found.setdefault(key.strip(), value.strip())
    flags = set((found.get("flags") or found.get("Features") or "").split())
    part = " ".join(found[key] for key in ("CPU implementer", "CPU part") if key in found)  # ARM has no model name
    name = found.get("model name") or part or platform.processor() or platform.machine()
    return name, " ".join(flag for flag in _INSTRUCTIONS if flag in flags)


def _gpu(number: int) -> tuple[str, str, str]:
    """Return the name of a CUDA device, the version of the driver and of cuDNN; nothing without a device."""
    name = _device_name(number)
    return (name, _driver_version(), _cudnn_version()) if name else ("", "", "")


def _device_name(number: int) -> str:
    # The driver's own numbering, as ONNX Runtime counts (CUDA_VISIBLE_DEVICES applies); nvidia-smi counts otherwise.
    with suppress(OSError, AttributeError):
        cuda = ctypes.CDLL("libcuda.so.1")
        device, name = ctypes.c_int(), ctypes.create_string_buffer(256)
        if (
            cuda.cuInit(0) == 0
            and cuda.cuDeviceGet(ctypes.byref(device), number) == 0
            and cuda.cuDeviceGetName(name, len(name), device) == 0
        ):
            return name.value.decode(errors="replace")
    return ""


def _driver_version() -> str:
    with suppress(OSError, AttributeError):
        nvml = ctypes.CDLL("libnvidia-ml.so.1")
        if nvml.nvmlInit_v2() == 0:
            version = ctypes.create_string_buffer(96)
            done = nvml.nvmlSystemGetDriverVersion(version, len(version))
            nvml.nvmlShutdown()
            return version.value.decode(errors="replace") if done == 0 else ""
    return ""


def _cudnn_version() -> str:
    with suppress(OSError, AttributeError):
        cudnn = ctypes.CDLL("libcudnn.so.9")
        cudnn.cudnnGetVersion.restype = ctypes.c_size_t
        number = int(cudnn.cudnnGetVersion())  # 91002 is 9.10.2
        return f"{number // 10000}.{number % 10000 // 100}.{number % 100}"
    return ""
