"""Two real processes, started by torchrun, train as one does; when one ends, all end."""

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from deploy.schema import to_plain
from stages import result, train
from stages.dataset import Split
from stages.ranks import Ranks, ranks
from stages.recipe import TrainConfig
from stages.train.batches import Order
from stages.train.distributed import Group
from stages.train.weights import load_graph

SIZES = {"train": 97, "validation": 21, "test": 31}  # the seventh batch of 16 has one row, for the first process
SCRIPT = Path(__file__).with_name("together.py")


@pytest.fixture
def few(digits):
    cut = {n: Split(getattr(digits, n).inputs[:r], getattr(digits, n).targets[:r]) for n, r in SIZES.items()}
    return dataclasses.replace(digits, **cut)


def together(recipe, out, request, fault="none", at=0):
    """Train in two processes; return how torchrun ended."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", str(SCRIPT)]
    arguments = [str(out), fault, str(at), json.dumps(to_plain(recipe)), json.dumps(SIZES)]
    environment = os.environ | {"PYTHONPATH": str(request.config.rootpath), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [*command, *arguments], env=environment, capture_output=True, text=True, timeout=100, check=False
    )


def near(first, second, loss="train_loss"):
    ours, theirs = (load_graph(outcome).state_dict() for outcome in (first, second))
    for name, tensor in ours.items():
        assert torch.allclose(tensor, theirs[name], rtol=0, atol=1e-3), name
    for mine, other in zip(first.history, second.history, strict=True):
        for figure in (loss, "validation_accuracy", "validation_log_loss"):
            assert mine[figure] == pytest.approx(other[figure], abs=1e-3)
    assert first.metrics == pytest.approx(second.metrics, abs=1e-3)


def test_two_processes_train_as_one_does(fast, few, tmp_path, request):
    recipe = fast(epochs=2, ema=0.5, warmup=0.1, clip_norm=1.0, memory_mb=0, workers=0)
    done = together(recipe, tmp_path / "two" / "train", request)
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr
    two = result.load(result.TrainResult, tmp_path / "two")
    assert sorted(path.name for path in two.folder.iterdir()) == ["result.json", "weights.safetensors"]
    near(two, train.run(recipe, few, tmp_path / "one" / "train"))


def test_when_one_process_fails_all_end_and_say_so(fast, tmp_path, request):
    done = together(fast(), tmp_path / "train", request, "error", at=9)
    assert done.returncode == 1
    assert "process 1: TrainingError: this process has had enough" in done.stderr
    assert not (tmp_path / "train" / "result.json").exists()
    assert (tmp_path / "train" / "checkpoint").is_dir()  # of the first epoch


def test_a_stopped_pair_goes_on_as_one_process(fast, few, tmp_path, request, recorder):
    recipe = fast(epochs=2)
    done = together(recipe, tmp_path / "train", request, "signal", at=9)
    assert done.returncode != 0
    assert "process 1: TrainingError: process 1 of 2 lost another one (" in done.stderr
    assert "process 0: KeyboardInterrupt: SIGTERM at step 10; checkpoint written" in done.stderr
    heard = recorder()
    resumed = train.run(recipe, few, tmp_path / "train", heard)
    assert "going on from the checkpoint at epoch 2, step 10" in heard.lines
    # The mean loss of the interrupted epoch leaves out what the other process had seen of it.
    near(resumed, train.run(recipe, few, tmp_path / "whole"), loss="lr")


def test_the_processes_share_out_every_batch_and_nothing_twice():
    config = TrainConfig(batch_size=8)
    alone = Order(config, 19)
    parts = [Order(config, 19, Ranks(rank, 3, rank)) for rank in range(3)]
    for step, whole in enumerate(alone.batches(5)):
        rows = [part.batches(5)[step] for part in parts]
        counted = torch.cat([mine for part, mine in zip(parts, rows, strict=True) if part.share(step)])
        assert torch.equal(counted, whole)
        for part, mine in zip(parts, rows, strict=True):
            assert part.share(step) == pytest.approx(len(mine) * 3 / len(whole))


def test_a_process_without_a_row_takes_one_that_counts_nothing():
    last = Order(TrainConfig(batch_size=4, shuffle=False), 5, Ranks(1, 2, 1))
    assert last.batches(0)[1].tolist() == [4]
    assert last.share(1) == 0


def test_a_split_is_shared_out_in_order():
    shares = [Group(Ranks(rank, 3)).rows(8) for rank in range(3)]
    assert [row for share in shares for row in range(8)[share]] == list(range(8))
    assert [Group(Ranks(rank, 3)).rows(2) for rank in range(3)] == [slice(0, 2)] * 3


def test_ranks_are_those_of_the_environment_or_none(monkeypatch):
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR"):
        monkeypatch.delenv(name, raising=False)
    assert ranks() == Ranks(0, 1, 0)
    monkeypatch.setenv("RANK", "3")
    assert ranks().leads
    for name, value in {"WORLD_SIZE": "4", "LOCAL_RANK": "1", "MASTER_ADDR": "localhost"}.items():
        monkeypatch.setenv(name, value)
    assert ranks() == Ranks(3, 4, 1)
    assert not ranks().leads
