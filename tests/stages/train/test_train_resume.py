"""An interrupted training goes on to the same bits; nothing damaged or foreign is taken up."""

import os
import signal
import subprocess
import sys
import time

import pytest
import torch
from torch import nn

from stages import train
from stages.errors import TrainingError
from stages.recipe import replace, use
from stages.train import loop
from stages.train.batches import Streamed

PLAIN = ("lr", "train_loss", "validation_accuracy", "validation_log_loss")


class StoppedError(Exception):
    pass


def stop_at(*steps):
    """Raise `Stopped` once at each of the steps."""
    left = list(steps)

    def at(done):
        if left and done == left[0]:
            left.pop(0)
            raise StoppedError

    return at


def same(first, second):
    assert first.weights.read_bytes() == second.weights.read_bytes()
    for a, b in zip(first.history, second.history, strict=True):
        assert [a[key] for key in PLAIN] == [b[key] for key in PLAIN]
    assert first.metrics == second.metrics
    assert first.best_epoch == second.best_epoch


@pytest.fixture
def dropout(monkeypatch):
    """Put dropout before the head, so that the random state matters."""
    build = loop.build

    def with_dropout(recipe, info):
        graph = build(recipe, info)
        graph.net.features.append(nn.Dropout(0.2))
        return graph

    monkeypatch.setattr(loop, "build", with_dropout)


@pytest.mark.parametrize(
    "change",
    [
        {"threads": 2},
        {"ema": 0.9, "warmup": 0.1},
        {"precision": "bf16", "ema": 0.9},
        {"optimizer": "sgd", "lr": 0.02, "schedule": "cosine", "warmup": 0.1, "shuffle": False},
        {"memory_mb": 0, "workers": 0},
        {"select": "last", "channels_last": True, "clip_norm": 1.0},
    ],
    ids=str,
)
@pytest.mark.usefixtures("dropout")
def test_an_interrupted_run_ends_with_the_same_bits(fast, digits, tmp_path, recorder, change):
    recipe = fast({"task": use("classify", rotate_deg=10.0, erase=0.2)}, checkpoint_s=0.0, **change)
    seldom = replace(recipe, train={"checkpoint_s": 60.0})
    whole = train.run(seldom, digits, tmp_path / "whole")
    heard = recorder(stop_at(7, 19, 20, 40))  # in an epoch, at its last step (just before evaluation), at its first
    out = tmp_path / "train"
    for _ in range(4):
        with pytest.raises(StoppedError):
            train.run(recipe, digits, out, heard)
    same(train.run(seldom, digits, out, heard), whole)
    assert sorted(path.name for path in out.iterdir()) == ["result.json", "weights.safetensors"]
    again = [line for line in heard.lines if line.startswith("going on")]
    assert again == [f"going on from the checkpoint at {place}" for place in (
        "epoch 1, step 6", "epoch 1, step 18", "epoch 2, step 19", "epoch 3, step 39")]  # fmt: skip


def test_what_a_step_drops_is_a_function_of_seed_and_step(fast, digits, tmp_path, recorder, dropout, monkeypatch):
    whole = train.run(fast(), digits, tmp_path / "whole")
    plain = train.run(fast(seed=1), digits, tmp_path / "seed")
    assert plain.weights.read_bytes() != whole.weights.read_bytes()
    disturbed = recorder(lambda done: torch.rand(7))  # somebody else draws numbers between the steps
    same(train.run(fast(), digits, tmp_path / "disturbed", disturbed), whole)
    monkeypatch.setattr(loop.device, "seed", lambda place, number: None)
    assert train.run(fast(), digits, tmp_path / "unseeded").weights.read_bytes() != whole.weights.read_bytes()


def test_a_checkpoint_after_every_epoch_is_enough(fast, digits, tmp_path, recorder):
    whole = train.run(fast(), digits, tmp_path / "whole")
    heard = recorder(stop_at(30))
    with pytest.raises(StoppedError):
        train.run(fast(), digits, tmp_path / "train", heard)
    same(train.run(fast(), digits, tmp_path / "train", heard), whole)
    assert "going on from the checkpoint at epoch 2, step 19" in heard.lines


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_the_first_signal_writes_a_checkpoint_at_the_step(fast, digits, tmp_path, recorder, number):
    before = signal.getsignal(number)

    def send(done):
        if done == 30:
            os.kill(os.getpid(), number)

    with pytest.raises(KeyboardInterrupt, match=f"{number.name} at step 30; checkpoint written"):
        train.run(fast(), digits, tmp_path / "train", recorder(send))
    assert signal.getsignal(number) is before
    heard = recorder()
    resumed = train.run(fast(), digits, tmp_path / "train", heard)
    assert heard.steps[0] == (31, 76)
    same(resumed, train.run(fast(), digits, tmp_path / "whole"))
    assert signal.getsignal(number) is before


def test_a_signal_during_evaluation_is_obeyed_too(fast, digits, tmp_path, monkeypatch):
    evaluate = loop.evaluate

    def interrupted(graph, split, device, tick, group):
        os.kill(os.getpid(), signal.SIGINT)
        return evaluate(graph, split, device, tick, group)

    monkeypatch.setattr(loop, "evaluate", interrupted)
    with pytest.raises(KeyboardInterrupt, match="SIGINT at step 19"):
        train.run(fast(), digits, tmp_path / "train")
    monkeypatch.undo()
    same(train.run(fast(), digits, tmp_path / "train"), train.run(fast(), digits, tmp_path / "whole"))


def test_a_signal_after_the_last_step_is_not_lost(fast, digits, tmp_path, monkeypatch):
    save = loop.save

    def interrupted(result):
        os.kill(os.getpid(), signal.SIGINT)
        return save(result)

    monkeypatch.setattr(loop, "save", interrupted)
    with pytest.raises(KeyboardInterrupt, match="its result is written"):
        train.run(fast(), digits, tmp_path / "train")
    assert (tmp_path / "train" / "result.json").exists()


def test_outside_of_the_main_thread_signals_are_left_alone(fast, digits, tmp_path):
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as pool:
        outcome = pool.submit(train.run, fast(epochs=1), digits, tmp_path / "train").result()
    assert outcome.weights.exists()


KILLED = """
import os, signal, sys
from pathlib import Path
from stages import train
from tests.stages.train.conftest import FAST, Recorder
from stages import discover
from stages.recipe import replace, use
import dataclasses
from stages.dataset import Split
whole = discover.call("data", use("digits"), Path("unused"))
cut = {n: Split(getattr(whole, n).inputs[:r], getattr(whole, n).targets[:r])
       for n, r in {"train": 300, "validation": 60, "test": 60}.items()}
def at(done):
    if done == 45:
        os.kill(os.getpid(), signal.SIGKILL)
recipe = replace(FAST, train={"checkpoint_s": 0.0, "ema": 0.9})
train.run(recipe, dataclasses.replace(whole, **cut), Path(sys.argv[1]), Recorder(at))
"""


def test_a_killed_process_leaves_a_whole_checkpoint(fast, digits, tmp_path, recorder, request):
    environment = os.environ | {
        "PYTHONPATH": str(request.config.rootpath),
        "OMP_NUM_THREADS": str(torch.get_num_threads()),
    }
    command = [sys.executable, "-c", KILLED, str(tmp_path / "train")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    recipe, heard = fast(ema=0.9), recorder()
    resumed = train.run(recipe, digits, tmp_path / "train", heard)
    assert heard.lines[1] == "going on from the checkpoint at epoch 3, step 44"
    same(resumed, train.run(recipe, digits, tmp_path / "whole"))


@pytest.fixture
def half_done(fast, digits, tmp_path, recorder):
    with pytest.raises(StoppedError):
        train.run(fast(), digits, tmp_path / "train", recorder(stop_at(30)))
    return tmp_path / "train"


@pytest.mark.parametrize("change", [{"lr": 1e-3}, {"epochs": 5}, {"seed": 1}], ids=str)
def test_a_checkpoint_of_another_recipe_is_not_used(fast, digits, half_done, tmp_path, recorder, change):
    heard = recorder()
    outcome = train.run(fast(**change), digits, half_done, heard)
    assert heard.lines[1] == (
        f"{half_done / 'checkpoint'}: checkpoint of another recipe or of other data; not used, training starts over"
    )
    same(outcome, train.run(fast(**change), digits, tmp_path / "whole"))


def test_a_checkpoint_of_other_data_is_not_used(fast, digits, half_done, recorder):
    import dataclasses

    other = dataclasses.replace(digits, info=dataclasses.replace(digits.info, digest="0" * 64))
    heard = recorder()
    train.run(fast(), other, half_done, heard)
    assert "of other data" in heard.lines[1]


def test_where_it_runs_may_change(fast, digits, half_done, recorder):
    heard = recorder()
    train.run(fast(checkpoint_s=5.0, workers=0), digits, half_done, heard)
    assert heard.lines[1].startswith("going on")


def damage(path, how):
    if how == "missing":
        path.unlink()
    elif how == "empty":
        path.write_bytes(b"")
    else:
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 0x55
        path.write_bytes(data)


@pytest.mark.parametrize("name", ["checkpoint.json", "state.pt", "model.safetensors", "best.safetensors"])
@pytest.mark.parametrize("how", ["missing", "empty", "flipped"])
def test_a_damaged_checkpoint_is_an_error(fast, digits, half_done, name, how):
    damage(half_done / "checkpoint" / name, how)
    if (name, how) == ("checkpoint.json", "flipped"):
        (half_done / "checkpoint" / name).write_bytes(b"[1]")
    with pytest.raises(TrainingError) as caught:
        train.run(fast(), digits, half_done)
    assert str(caught.value).startswith(f"{half_done / 'checkpoint'}: damaged checkpoint (")
    assert "--force" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_checkpoints_are_written_by_the_clock(fast, digits, tmp_path, monkeypatch):
    saved = []
    save = loop.Training.save

    def spy(self):
        saved.append(self.step)
        save(self)

    clock = iter(range(100_000))
    monkeypatch.setattr(loop.Training, "save", spy)
    monkeypatch.setattr(time, "monotonic", lambda: float(next(clock)))
    train.run(fast(epochs=1, checkpoint_s=8.0), digits, tmp_path / "often")
    often = list(saved)
    saved.clear()
    train.run(fast(epochs=1, checkpoint_s=1e9), digits, tmp_path / "seldom")
    assert saved == [19]
    assert len(often) > 2


def test_streaming_goes_on_exactly_too(fast, ragged, tmp_path, recorder, dropout):
    recipe = fast(memory_mb=0, workers=1, epochs=2, checkpoint_s=0.0)
    whole = train.run(recipe, ragged, tmp_path / "whole")
    with pytest.raises(StoppedError):
        train.run(recipe, ragged, tmp_path / "train", recorder(stop_at(4)))
    same(train.run(recipe, ragged, tmp_path / "train"), whole)


def test_the_streamed_loader_draws_nothing_from_the_global_generator(digits):
    from stages.recipe import TrainConfig
    from stages.train.batches import Order, Samples

    order = Order(TrainConfig(), len(digits.train))
    streamed = Streamed(Samples(digits.train, nn.Identity()), order, 0, torch.device("cpu"))
    before = torch.get_rng_state()
    assert sum(len(targets) for _, targets in streamed.epoch(0)) == 300
    assert torch.equal(torch.get_rng_state(), before)
