"""What is read about a machine; the libraries of NVIDIA are played by a stand-in."""

import ctypes
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import onnxruntime
import pytest

from deploy import machine
from deploy.providers import open_session


@pytest.fixture
def cpuinfo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(machine, "_CPUINFO", tmp_path / "cpuinfo")
    return tmp_path / "cpuinfo"


@pytest.mark.parametrize(
    ("text", "name", "instructions"),
    [
        ("processor\t: 0\nmodel name\t: Some CPU @ 2 GHz\nflags\t\t: fpu avx2 avx512f fma\n", "Some CPU @ 2 GHz",
         "avx2 fma avx512f"),
        ("processor : 0\nCPU implementer : 0x41\nCPU part : 0xd40\nFeatures : fp asimd sve i8mm\n", "0x41 0xd40",
         "asimd i8mm sve"),
    ],
    ids=["x86", "ARM"],
)  # fmt: skip
def test_linux_tells_model_and_instructions(cpuinfo: Path, text: str, name: str, instructions: str) -> None:
    cpuinfo.write_text(text + "\n" + text.replace(name.split()[-1], "another"))
    assert machine._cpu.__wrapped__() == (name, instructions)


def test_elsewhere_the_name_must_do(cpuinfo: Path) -> None:
    name, instructions = machine._cpu.__wrapped__()
    assert name
    assert instructions == ""


def test_this_machine(colours: Path) -> None:
    session = open_session(colours / "model.onnx", threads=1, optimize="basic")
    found = machine.session_machine(session)
    assert found.onnxruntime == onnxruntime.__version__
    assert found.cpu
    assert found.build
    assert (found.gpu, found.driver, found.cudnn) == ("", "", "")
    conditions = machine.session_conditions(session)
    assert (conditions.optimization, conditions.provider_options) == ("basic", {})


class Library(SimpleNamespace):
    """What ctypes would have loaded: functions that return 0, filled in by the tests."""


def nvidia(monkeypatch: pytest.MonkeyPatch, **missing: Any) -> None:
    def name_of(buffer: Any, _: int, device: Any) -> int:
        buffer.value = f"GPU {device.value}".encode()
        return 0

    def device(reference: Any, number: int) -> int:
        reference._obj.value = number
        return 0 if number < 2 else 101

    def version(buffer: Any, _: int) -> int:
        buffer.value = b"570.86.15"
        return 0

    def cudnn() -> int:
        return 91002

    libraries = {
        "libcuda.so.1": Library(cuInit=lambda _: 0, cuDeviceGet=device, cuDeviceGetName=name_of),
        "libnvidia-ml.so.1": Library(nvmlInit_v2=lambda: 0, nvmlSystemGetDriverVersion=version, nvmlShutdown=lambda: 0),
        "libcudnn.so.9": Library(cudnnGetVersion=cudnn),
    }

    def load(name: str) -> Any:
        if name in missing.get("libraries", ()):
            raise OSError(name)
        return libraries[name]

    monkeypatch.setattr(ctypes, "CDLL", load)


def test_the_gpu_that_is_used_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    nvidia(monkeypatch)
    session = SimpleNamespace(provider="cuda", options={"device_id": "1"})
    found = machine.session_machine(session)
    assert (found.gpu, found.driver, found.cudnn) == ("GPU 1", "570.86.15", "9.10.2")


def test_without_a_device_nothing_is_said_of_its_libraries(monkeypatch: pytest.MonkeyPatch) -> None:
    nvidia(monkeypatch)
    absent = machine.read_machine(gpu=7)
    assert (absent.gpu, absent.driver, absent.cudnn) == ("", "", "")
    nvidia(monkeypatch, libraries=["libcuda.so.1"])
    assert machine.read_machine(gpu=0).gpu == ""


def test_a_missing_library_is_an_unknown_version(monkeypatch: pytest.MonkeyPatch) -> None:
    nvidia(monkeypatch, libraries=["libnvidia-ml.so.1", "libcudnn.so.9"])
    found = machine.read_machine(gpu=0)
    assert (found.gpu, found.driver, found.cudnn) == ("GPU 0", "", "")
