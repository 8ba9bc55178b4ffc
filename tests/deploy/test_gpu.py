"""The CUDA provider on a real GPU; skipped where none works (tests/conftest.py)."""

from pathlib import Path

import numpy as np
import pytest

from deploy import Predictor
from deploy.errors import BundleError, InputError, ProviderError, UsageError
from deploy.placement import CPU, CUDA, SHAPE_OPERATORS
from deploy.providers import open_session
from deploy.recertify import recertify

pytestmark = pytest.mark.gpu

BATCH = {"image": np.random.default_rng(0).integers(0, 256, (64, 37, 23, 3), np.uint8)}


def test_a_strict_load_runs_on_the_gpu_once_it_is_recertified_there(certified: Path) -> None:
    with pytest.raises(BundleError, match=r"certified on cpu, not on cuda; .* --provider cuda"):
        Predictor.load(certified, "cuda")
    record = recertify(certified, "cuda")
    assert record, record.failures()
    assert record.machine.gpu
    assert record.machine.driver
    assert record.machine.cudnn
    assert record.conditions.provider_options["use_tf32"] == "0"
    with Predictor.load(certified, "cuda") as predictor:
        assert predictor.info.provider == "cuda"
        assert predictor.info.nodes[CUDA] >= predictor.info.nodes.get(CPU, 0)
        assert predictor.predict(np.full((9, 7, 3), (0, 0, 255), np.uint8)).label == "blue"
        with pytest.raises(InputError):
            predictor.infer({})


def test_only_shape_arithmetic_is_elsewhere(colours: Path) -> None:
    placement = open_session(colours / "model.onnx", "cuda").placement
    assert placement.copies == 0
    assert {node.operator for node in placement.nodes if node.provider != CUDA} <= SHAPE_OPERATORS


@pytest.mark.parametrize(("use_tf32", "tolerance"), [(0, 1e-6), (1, 5e-3)])
def test_parity_with_the_cpu(colours: Path, use_tf32: int, tolerance: float) -> None:
    cpu = open_session(colours / "model.onnx").run(BATCH)
    cuda = open_session(colours / "model.onnx", "cuda", {"use_tf32": use_tf32}).run(BATCH)
    assert np.isfinite(cuda["probabilities"]).all()
    assert np.abs(cpu["probabilities"] - cuda["probabilities"]).max() <= tolerance


def test_alternating_batches_and_sizes_give_each_its_own_answer(colours: Path) -> None:
    cpu, cuda = open_session(colours / "model.onnx"), open_session(colours / "model.onnx", "cuda")
    for rows, height in ((1, 37), (8, 37), (1, 20), (8, 37), (3, 5)) * 3:
        batch = {"image": BATCH["image"][:rows, :height]}
        assert np.allclose(cpu.run(batch)["probabilities"], cuda.run(batch)["probabilities"], atol=1e-6)


def test_a_device_that_is_not_there(colours: Path) -> None:
    with pytest.raises(ProviderError, match="Invalid device ID: 99"):
        open_session(colours / "model.onnx", "cuda", {"device_id": 99})
    with pytest.raises(UsageError, match="cuda_mem_limit"):
        open_session(colours / "model.onnx", "cuda", {"cuda_mem_limit": 1})


def test_out_of_memory_is_named_and_the_session_goes_on(colours: Path) -> None:
    session = open_session(colours / "model.onnx", "cuda", {"gpu_mem_limit": 64 * 2**20})
    with pytest.raises(ProviderError, match="out of device memory"):
        session.run({"image": np.zeros((64, 1024, 1024, 3), np.uint8)})
    assert session.run(BATCH)["class_index"].shape == (64,)
