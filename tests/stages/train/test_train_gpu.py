"""Training on CUDA: only where a GPU is found."""

import dataclasses

import numpy as np
import pytest
import torch

from stages import train
from stages.recipe import use
from stages.train import loop
from stages.train.device import _cuda_trouble
from stages.train.evaluate import evaluate
from stages.train.weights import load_graph

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(bool(_cuda_trouble()), reason=f"no CUDA GPU that works: {_cuda_trouble()}"),
]
RESNET = {"model": use("resnet_small", width=8)}


def on_gpu(fast, components=None, **config):
    return fast(components, device="cuda", **config)


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
@pytest.mark.parametrize("channels_last", [False, True])
def test_every_precision_trains(fast, digits, tmp_path, precision, channels_last):
    recipe = on_gpu(fast, RESNET, precision=precision, channels_last=channels_last, ema=0.9, clip_norm=5.0, epochs=8)
    outcome = train.run(recipe, digits, tmp_path / "train")
    assert outcome.device.startswith("cuda")
    assert outcome.metrics["accuracy"] > 0.6
    graph = load_graph(outcome)
    assert all(t.is_floating_point() is False or t.dtype == torch.float32 for t in graph.state_dict().values())
    on_cpu = evaluate(graph, digits.test, torch.device("cpu"))
    assert on_cpu["log_loss"] == pytest.approx(outcome.metrics["log_loss"], rel=1e-3)


def test_fp32_follows_the_cpu(fast, digits, tmp_path):
    here = train.run(on_gpu(fast, epochs=1), digits, tmp_path / "cuda")
    there = train.run(fast(epochs=1), digits, tmp_path / "cpu")
    assert here.history[0]["train_loss"] == pytest.approx(there.history[0]["train_loss"], rel=0.05)


def test_auto_takes_the_gpu_and_says_its_name(fast, digits, tmp_path, recorder):
    heard = recorder()
    outcome = train.run(fast(device="auto", epochs=1), digits, tmp_path / "train", heard)
    assert outcome.device.startswith("cuda")
    assert torch.cuda.get_device_name() in heard.lines[0]


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_a_resumed_run_is_the_uninterrupted_one(fast, digits, tmp_path, recorder, precision):
    class StoppedError(Exception):
        pass

    def stop(done):
        if done == 30:
            raise StoppedError

    recipe = on_gpu(
        fast, {"task": use("classify", erase=0.2)}, deterministic=True, precision=precision, checkpoint_s=0.0, ema=0.9
    )
    whole = train.run(recipe, digits, tmp_path / "whole")
    with pytest.raises(StoppedError):
        train.run(recipe, digits, tmp_path / "train", recorder(stop))
    resumed = train.run(recipe, digits, tmp_path / "train")
    assert resumed.weights_sha256 == whole.weights_sha256
    assert resumed.metrics == whole.metrics


def test_a_bad_loss_is_named_by_its_step_though_it_is_read_later(fast, digits, tmp_path):
    recipe = on_gpu(fast, schedule="constant", warmup=0.0, lr=1e30, shuffle=False, optimizer="sgd")
    with pytest.raises(loop.TrainingError, match="epoch 1, step 2, training rows 16, 17"):
        train.run(recipe, digits, tmp_path / "train")


@pytest.mark.parametrize("memory_mb", [64, 0])
def test_ragged_pictures_train_resized_or_streamed(fast, ragged, tmp_path, memory_mb):
    recipe = on_gpu(fast, epochs=8, memory_mb=memory_mb, workers=1)
    assert train.run(recipe, ragged, tmp_path / "train").metrics["accuracy"] > 0.4


def test_all_augmentation_runs_on_the_gpu(fast, digits, tmp_path):
    task = use("classify", rotate_deg=10.0, translate=0.1, scale=0.1, flip=True, erase=0.2)
    outcome = train.run(on_gpu(fast, {"task": task}), digits, tmp_path / "train")
    assert np.isfinite(outcome.metrics["log_loss"])


@pytest.mark.slow
def test_compiled_training_follows_the_plain_one(fast, digits, tmp_path):
    plain = train.run(on_gpu(fast, RESNET, epochs=1), digits, tmp_path / "plain")
    compiled = train.run(on_gpu(fast, RESNET, epochs=1, compile=True), digits, tmp_path / "compiled")
    assert compiled.history[0]["train_loss"] == pytest.approx(plain.history[0]["train_loss"], rel=0.05)


def test_no_step_waits_for_the_device(fast, digits, tmp_path, monkeypatch):
    """Synchronising calls are errors inside of steps; losses are read between windows."""
    step = loop.Training.train_step

    def strict(self, raw, targets):
        if len(self.losses._waiting) + 1 >= self.losses.window:
            return step(self, raw, targets)
        torch.cuda.set_sync_debug_mode("error")
        try:
            return step(self, raw, targets)
        finally:
            torch.cuda.set_sync_debug_mode("default")

    monkeypatch.setattr(loop.Training, "train_step", strict)
    recipe = on_gpu(fast, {"task": use("classify", rotate_deg=10.0)}, epochs=1, ema=0.9, warmup=0.1, clip_norm=1.0)
    for precision in ("fp32", "bf16", "fp16"):
        changed = dataclasses.replace(recipe, train=dataclasses.replace(recipe.train, precision=precision))
        train.run(changed, digits, tmp_path / precision)
