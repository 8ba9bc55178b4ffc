"""What a strict request for CUDA does on machines that this one is not; no values are looked at."""

from pathlib import Path

import pytest

from deploy import cuda
from deploy.placement import CPU, CUDA, SHAPE_OPERATORS
from tests.deploy.conftest import COLOURS
from tests.rehearsal.plugin import SHAPE_ARITHMETIC, Rehearsal, build, onnx_file, open_strictly, require_rehearsal

MODEL = COLOURS / "model.onnx"


def test_rehearsal_places_the_whole_graph_on_cuda(cuda_rehearsal: Rehearsal) -> None:
    placed = cuda_rehearsal.placement_of(MODEL)
    assert any("Conv" in label for label in placed)
    assert any("Resize" in label for label in placed)
    assert set(placed.values()) == {CUDA}


def test_rehearsal_runs_what_needs_no_cudnn(cuda_rehearsal: Rehearsal) -> None:
    answer = cuda_rehearsal.open(COLOURS / "pre.onnx")
    assert answer["copies"] == 0
    assert {provider for _, _, provider in answer["nodes"]} == {CUDA}


def test_rehearsal_takes_the_options_as_they_are_meant(cuda_rehearsal: Rehearsal) -> None:
    answer = cuda_rehearsal.open(COLOURS / "pre.onnx", {"use_tf32": True, "gpu_mem_limit": 2**30})
    assert answer["options"]["use_tf32"] == "1"
    assert answer["taken"].items() >= (cuda.DEFAULTS | {"use_tf32": "1", "gpu_mem_limit": str(2**30)}).items()
    default = cuda_rehearsal.open(COLOURS / "pre.onnx")
    assert default["taken"].items() >= cuda.DEFAULTS.items()


def test_rehearsal_shape_arithmetic_may_stay_on_the_cpu(cuda_rehearsal: Rehearsal, tmp_path: Path) -> None:
    model = onnx_file(
        tmp_path,
        SHAPE_ARITHMETIC,
    )
    answer = cuda_rehearsal.open(model)
    elsewhere = {operator for _, operator, provider in answer["nodes"] if provider == CPU}
    assert elsewhere
    assert elsewhere <= SHAPE_OPERATORS


@pytest.mark.parametrize(
    ("graph", "opset", "words"),
    [
        (
            "g (float[n, c] x) => (float[n, c] y) { a = Sin(x) b = Celu(a) y = Cos(b) }",
            20,
            "1 of 3 nodes would run on CPUExecutionProvider: Celu",
        ),
        (
            "g (float[n, 1, h, w] x) => (float[n, 1, p, q] y) { y = MaxPool<kernel_shape = [2, 2]>(x) }",
            22,
            "the graph has opset 22",
        ),
        (
            """g (float[n, c] x) => (float[n, c] y) <float scale = {0.1}, int8 zero = {0}> {
                a = QuantizeLinear(x, scale, zero) y = DequantizeLinear(a, scale, zero)
            }""",
            20,
            "quantized to int8 (DequantizeLinear, QuantizeLinear)",
        ),
    ],
    ids=["an operator that CUDA lacks", "opset 22", "int8"],
)
def test_rehearsal_refuses_graphs_that_would_run_partly_on_the_cpu(
    cuda_rehearsal: Rehearsal, tmp_path: Path, graph: str, opset: int, words: str
) -> None:
    answer = cuda_rehearsal.open(onnx_file(tmp_path, graph, opset))
    assert answer["error"] == "ProviderError"
    assert words in answer["words"]


def test_rehearsal_refuses_copies_between_the_devices(cuda_rehearsal: Rehearsal, tmp_path: Path) -> None:
    """Concat of strings' lengths is shape arithmetic by name, yet here data goes through the CPU."""
    model = onnx_file(
        tmp_path,
        """g (int16[n] x) => (float[n] y) {
            a = Mod<fmod = 0>(x, x)
            b = Cast<to = 1>(a)
            y = Sin(b)
        }""",
    )
    answer = cuda_rehearsal.open(model)
    assert answer["error"] == "ProviderError"
    assert "copies tensors between the devices" in answer["words"]


def test_rehearsal_without_cudnn_fails_at_load_not_at_the_first_request(cuda_rehearsal: Rehearsal) -> None:
    answer = cuda_rehearsal.open(MODEL)
    assert answer["error"] == "ProviderError"
    assert "cuDNN 9 for CUDA 13 cannot be loaded" in answer["words"]
    assert "pip install 'onnxway[cuda]'" in answer["words"]


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"device_id": 5}, "ProviderError", "Invalid device ID: 5"),
        ({"cuda_mem_limit": 1}, "UsageError", 'Unknown provider option: "cuda_mem_limit"'),
        ({"use_tf32": "no"}, "UsageError", 'Failed to parse provider option "use_tf32"'),
        ({"cudnn_conv_algo_search": "heuristic"}, "UsageError", 'provider option "cudnn_conv_algo_search"'),
        ({"cudnn_conv_algo_search": "DEFAULT"}, "UsageError", "fallback engines"),
    ],
)
def test_rehearsal_options_that_do_not_exist(
    cuda_rehearsal: Rehearsal, options: dict[str, object], error: str, words: str
) -> None:
    answer = cuda_rehearsal.open(MODEL, options)
    assert answer["error"] == error
    assert words in answer["words"]


def test_rehearsal_without_a_driver(cuda_rehearsal: Rehearsal, tmp_path: Path) -> None:
    for library in cuda_rehearsal.folder.glob("*.so.*"):
        if library.suffix not in (".c", ".map") and not library.name.startswith("libcuda.so"):
            (tmp_path / library.name).symlink_to(library)
    answer = open_strictly(MODEL, libraries=tmp_path)
    if "error" not in answer or "libcuda.so.1" not in answer["words"]:
        assert Path("/proc/driver/nvidia").exists(), answer
        pytest.skip("this machine has a driver of its own")
    assert answer["error"] == "ProviderError"
    assert "no NVIDIA driver" in answer["words"]
    assert "--gpus all" in answer["words"]


def test_rehearsal_without_libraries() -> None:
    require_rehearsal()
    answer = open_strictly(MODEL)
    if "error" not in answer or "libcublas" not in answer["words"]:
        pytest.skip("this machine has CUDA libraries of its own on the loader's path")
    assert answer["error"] == "ProviderError"
    assert "libcublasLt.so.13" in answer["words"]
    assert "pip install 'onnxway[cuda]'" in answer["words"]


@pytest.mark.parametrize(
    ("code", "words"),
    [(100, "the driver is there, but no device (CUDA failure 100)"), (35, "the NVIDIA driver is too old for CUDA 13")],
    ids=["no device", "old driver"],
)
def test_rehearsal_of_other_machines(tmp_path: Path, code: int, words: str) -> None:
    require_rehearsal()
    count = "int cudaGetDeviceCount(int *n) {{ *n = {}; return {}; }}"
    answer = open_strictly(MODEL, libraries=build(tmp_path, (count.format(1, 0), count.format(0, code))))
    assert words in answer["words"]
    assert answer["error"] == "ProviderError"
