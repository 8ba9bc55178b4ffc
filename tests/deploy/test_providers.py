import os
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from deploy import cuda, providers
from deploy.bundle import TensorSpec
from deploy.errors import BundleError, NotFoundError, OnnxwayError, ProviderError, UsageError
from deploy.placement import CPU
from deploy.providers import open_session, usable_cores

BATCH = {"image": np.random.default_rng(0).integers(0, 256, (3, 12, 10, 3), np.uint8)}


def test_path_and_bytes_give_the_same_session(colours: Path) -> None:
    path = colours / "model.onnx"
    first, second = open_session(path), open_session(path.read_bytes(), threads=1)
    for name, values in first.run(BATCH).items():
        assert np.array_equal(values, second.run(BATCH)[name])
    assert second.threads == 1
    assert first.inputs == (TensorSpec("image", "uint8", ("batch", "height", "width", 3)),)
    assert [port.name for port in first.outputs] == ["probabilities", "class_index"]


def test_every_node_is_placed(colours: Path) -> None:
    placement = open_session(colours / "model.onnx", optimize="none").placement
    assert {node.operator for node in placement.nodes} >= {"Conv", "Resize", "Softmax", "ArgMax"}
    assert placement.counts == {CPU: len(placement.nodes)}


def test_one_output_can_be_asked_for(colours: Path) -> None:
    assert list(open_session(colours / "model.onnx").run(BATCH, ["class_index"])) == ["class_index"]


@pytest.mark.parametrize("optimize", ["all", "extended", "basic", "none"])
def test_all_optimization_levels_decide_the_same(colours: Path, optimize: Any) -> None:
    session = open_session(colours / "model.onnx", optimize=optimize)
    assert np.array_equal(
        session.run(BATCH)["class_index"], open_session(colours / "model.onnx").run(BATCH)["class_index"]
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"provider": "tpu"}, "provider 'tpu': choose from: cpu, cuda"),
        ({"options": {"use_tf32": 1}}, "provider cpu takes no options, got use_tf32"),
        ({"threads": 0}, "threads 0: expected 1 or more, or auto"),
        ({"optimize": "most"}, "optimize 'most': choose from: all, extended, basic, none"),
    ],
)
def test_usage_errors(colours: Path, arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        open_session(colours / "model.onnx", **arguments)


def test_what_is_no_model(tmp_path: Path, colours: Path) -> None:
    with pytest.raises(NotFoundError, match=r"no\.onnx: no such file"):
        open_session(tmp_path / "no.onnx")
    with pytest.raises(BundleError, match="not an ONNX model"):
        open_session(b"\xff\xff")
    with pytest.raises(BundleError, match="cannot open the model") as caught:
        open_session(b"")  # no bytes are a message without fields
    assert "\n" not in str(caught.value)


def test_weights_in_other_files_are_refused(colours: Path) -> None:
    onnx = pytest.importorskip("onnx")
    model = onnx.load(colours / "model.onnx")
    model.graph.initializer[0].data_location = onnx.TensorProto.EXTERNAL
    with pytest.raises(BundleError, match="keeps weights in other files; export it self-contained"):
        open_session(model.SerializeToString())


def test_a_run_that_fails_is_one_line(colours: Path) -> None:
    with pytest.raises(OnnxwayError, match="cannot run the model on these tensors") as caught:
        open_session(colours / "model.onnx").run({"image": np.zeros((1, 2), np.uint8)})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("threads", ["auto", None])
def test_threads_follow_the_cores(colours: Path, monkeypatch: pytest.MonkeyPatch, threads: Any) -> None:
    monkeypatch.setattr(providers, "usable_cores", lambda: 3)
    assert open_session(colours / "model.onnx", threads=threads).threads == 3


def test_cores_follow_affinity() -> None:
    assert 1 <= usable_cores() <= len(os.sched_getaffinity(0))


@pytest.mark.parametrize(
    ("files", "cores"),
    [
        ({"cpu.max": "max 100000"}, None),
        ({"cpu.max": "150000 100000"}, 2),
        ({"cpu.max": "50000 100000"}, 1),
        ({"cpu/cpu.cfs_quota_us": "300000", "cpu/cpu.cfs_period_us": "100000"}, 3),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, None),
        ({"cpu.max": "broken"}, None),
        ({}, None),
    ],
)
def test_cores_of_a_cgroup(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: dict[str, str], cores: int | None
) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(providers, "_CGROUP", tmp_path)
    assert providers._cgroup_cores() == cores
    if cores:
        assert usable_cores() == min(cores, len(os.sched_getaffinity(0)))


def test_a_silent_cpu_session_is_an_error(colours: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """ONNX Runtime answers a request for CUDA with a CPU session when it cannot load the provider."""
    real = onnxruntime.InferenceSession
    monkeypatch.setattr(cuda, "require_runnable", lambda content: None)
    monkeypatch.setattr(cuda, "preload", lambda: "")
    monkeypatch.setattr(cuda, "diagnose", lambda: "no reason")
    monkeypatch.setattr(
        onnxruntime, "InferenceSession", lambda data, settings, **_: real(data, settings, providers=[CPU])
    )
    with pytest.raises(ProviderError, match=r"provider cuda is not used \(CPUExecutionProvider is\): no reason"):
        open_session(colours / "model.onnx", "cuda")


def test_zeros_fit_any_port() -> None:
    ports = [TensorSpec("a", "uint8", ("batch", "h", "?", 3)), TensorSpec("b", "int64", ())]
    made = providers._zeros(ports)
    assert made["a"].shape == (1, 32, 32, 3)
    assert made["b"].shape == ()


def test_without_a_writable_temporary_folder_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("tempfile.mkdtemp", refuse)
    with pytest.raises(ProviderError, match=r"\(Read-only file system\); set TMPDIR"):
        providers._create(b"", "cuda", {}, providers._settings(None, "all"))


def test_the_cpu_needs_no_temporary_folder(colours: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.mkdtemp", None)
    assert open_session(colours / "model.onnx").run(BATCH)
