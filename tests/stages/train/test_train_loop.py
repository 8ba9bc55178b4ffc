import dataclasses
import errno
import functools
import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from deploy.errors import UsageError
from deploy.files import sha256_file
from stages import result, train
from stages.dataset import Split
from stages.errors import DataError, TrainingError
from stages.recipe import use
from stages.train import loop
from stages.train.evaluate import evaluate
from stages.train.weights import load_graph

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def trained(digits, tmp_path_factory):
    from tests.stages.train.conftest import FAST, Recorder

    heard = Recorder()
    folder = tmp_path_factory.mktemp("trained") / "train"
    return train.run(FAST, digits, folder, heard), heard


def without(dataset, name):
    empty = Split(dataset.train.inputs[:0], dataset.train.targets[:0])
    return dataclasses.replace(dataset, **{name: empty})


def weights_of(outcome):
    return outcome.weights.read_bytes()


def test_result_is_what_lies_in_the_folder(trained, digits):
    outcome, _ = trained
    assert result.load(result.TrainResult, outcome.folder.parent) == outcome
    assert sorted(path.name for path in outcome.folder.iterdir()) == ["result.json", "weights.safetensors"]
    assert outcome.weights_sha256 == sha256_file(outcome.weights)
    assert outcome.parameters == sum(p.numel() for p in load_graph(outcome).parameters())
    assert outcome.data == digits.info
    assert outcome.device == "cpu"
    assert outcome.environment["torch"] == torch.__version__.partition("+")[0]


def test_test_metrics_are_those_of_the_loaded_graph(trained, digits):
    outcome, _ = trained
    graph = load_graph(outcome)
    assert not graph.training
    assert evaluate(graph, digits.test, CPU).items() <= outcome.metrics.items()
    assert outcome.metrics["accuracy"] > 0.6


def test_the_best_epoch_is_kept(trained, digits):
    outcome, _ = trained
    figures = [epoch["validation_accuracy"] for epoch in outcome.history]
    assert outcome.best_epoch == figures.index(max(figures)) + 1
    assert evaluate(load_graph(outcome), digits.validation, CPU)["accuracy"] == max(figures)


def test_best_may_be_an_earlier_epoch_than_the_last(fast, digits, tmp_path, monkeypatch):
    scores = iter([0.2, 0.9, 0.3, 0.8])
    whole = loop.Training._measure

    def measure(self):
        return whole(self) | {"validation_accuracy": next(scores)}

    monkeypatch.setattr(loop.Training, "_measure", measure)
    best = train.run(fast(), digits, tmp_path / "best")
    assert best.best_epoch == 2
    monkeypatch.undo()
    last = train.run(fast(select="last"), digits, tmp_path / "last")
    assert last.best_epoch == 4
    assert weights_of(best) != weights_of(last)
    for outcome, epoch in ((best, 1), (last, 3)):
        graph = load_graph(outcome)
        graph.post.temperature.fill_(1)  # as it was during the epochs
        figures = evaluate(graph, digits.validation, CPU)
        assert figures["log_loss"] == outcome.history[epoch]["validation_log_loss"]


def test_the_observer_hears_every_step_and_every_epoch(trained):
    outcome, heard = trained
    assert heard.steps == [(n, 76) for n in range(1, 77)]
    assert [step for step, _ in heard.figures] == [1, 2, 3, 4]
    for (_, figures), epoch in zip(heard.figures, outcome.history, strict=True):
        assert epoch == figures | {"epoch": epoch["epoch"]}
        assert set(figures) == {
            "lr", "train_loss", "seconds", "images_per_second", "validation_accuracy", "validation_balanced_accuracy",
            "validation_macro_f1", "validation_log_loss", "validation_ece",
        }  # fmt: skip
    losses = [figures["train_loss"] for _, figures in heard.figures]
    assert losses == sorted(losses, reverse=True)
    assert heard.lines == ["training on the CPU, 1 thread"]


def test_without_validation_the_last_weights_are_kept(fast, digits, tmp_path):
    bare = train.run(fast(), without(digits, "validation"), tmp_path / "bare")
    assert bare.best_epoch == 4
    assert not [key for epoch in bare.history for key in epoch if key.startswith("validation")]
    kept, last = (load_graph(r).state_dict() for r in (bare, train.run(fast(select="last"), digits, tmp_path / "last")))
    assert kept.pop("post.temperature") == 1
    del last["post.temperature"]
    assert all(torch.equal(kept[name], last[name]) for name in last)
    assert "temperature" not in bare.metrics


def test_same_seed_same_bits(trained, fast, digits, tmp_path):
    outcome, _ = trained
    assert weights_of(train.run(fast(), digits, tmp_path / "same")) == weights_of(outcome)
    assert weights_of(train.run(fast(seed=1), digits, tmp_path / "other")) != weights_of(outcome)
    assert weights_of(train.run(fast(deterministic=True), digits, tmp_path / "deterministic")) == weights_of(outcome)
    assert not torch.are_deterministic_algorithms_enabled()


def test_the_caller_s_random_state_is_left_alone(fast, digits, tmp_path):
    before = torch.get_rng_state()
    load_graph(train.run(fast(epochs=1), digits, tmp_path / "train"))
    assert torch.equal(torch.get_rng_state(), before)


def test_early_stop_counts_epochs_without_a_better_figure(fast, digits, tmp_path):
    stopped = train.run(fast(epochs=9, lr=1e-12, early_stop=2), digits, tmp_path / "train")
    assert len(stopped.history) == 3
    assert stopped.best_epoch == 1


@pytest.mark.parametrize(
    "change",
    [
        {"optimizer": "sgd", "lr": 0.05, "nesterov": True, "weight_decay": 1e-4, "epochs": 10},
        {"optimizer": "adam"},
        {"schedule": "cosine"},
        {"schedule": "exponential"},
        {"schedule": "constant", "warmup": 0.0},
        {"clip_norm": 1.0},
        {"ema": 0.5, "warmup": 0.1},
        {"precision": "bf16", "channels_last": True},
    ],
    ids=str,
)
def test_every_option_trains(fast, digits, tmp_path, change):
    outcome = train.run(fast(**change), digits, tmp_path / "train")
    assert outcome.metrics["accuracy"] > 0.5
    assert all(tensor.dtype == torch.float32 for tensor in load_graph(outcome).state_dict().values())


def test_memory_format_changes_rounding_only(trained, fast, digits, tmp_path):
    outcome, _ = trained
    other = train.run(fast(channels_last=True), digits, tmp_path / "train")
    assert other.history[0]["train_loss"] == pytest.approx(outcome.history[0]["train_loss"], rel=1e-4)


def test_compile_compiles_the_training_step_alone(fast, digits, tmp_path, monkeypatch):
    compiled = []
    real = torch.compile

    def spy(function):
        compiled.append(function)
        return real(function, backend="eager")

    monkeypatch.setattr(torch, "compile", spy)
    outcome = train.run(fast(epochs=1, compile=True), digits, tmp_path / "compiled")
    plain = train.run(fast(epochs=1), digits, tmp_path / "plain")
    assert len(compiled) == 1
    assert outcome.history[0]["train_loss"] == pytest.approx(plain.history[0]["train_loss"], rel=1e-5)
    assert load_graph(outcome).state_dict().keys() == load_graph(plain).state_dict().keys()


def test_clipping_bounds_a_step(fast, digits, tmp_path):
    one_step = {"epochs": 1, "batch_size": 300, "optimizer": "sgd", "momentum": 0.0, "schedule": "constant"}
    start = load_graph(train.run(fast(**one_step, warmup=0.0, lr=1e-30), digits, tmp_path / "start"))
    end = load_graph(train.run(fast(**one_step, warmup=0.0, lr=1.0, clip_norm=1e-3), digits, tmp_path / "end"))
    pairs = zip(start.state_dict().values(), end.state_dict().values(), strict=True)
    moved = torch.cat([(a - b).flatten() for a, b in pairs]).norm()
    assert moved.item() == pytest.approx(1e-3, rel=1e-3)


def test_the_order_of_the_file_is_kept_without_shuffle(fast, digits, tmp_path, monkeypatch):
    seen = []
    step = loop.Training.train_step

    def spy(self, raw, targets):
        seen.append(targets)
        step(self, raw, targets)

    monkeypatch.setattr(loop.Training, "train_step", spy)
    train.run(fast(epochs=1, shuffle=False), digits, tmp_path / "train")
    assert [len(targets) for targets in seen] == [16] * 18 + [12]
    assert np.array_equal(torch.cat(seen).numpy(), digits.train.targets)


def test_a_loss_that_is_not_finite_names_step_and_rows(fast, digits, tmp_path):
    recipe = fast(schedule="constant", warmup=0.0, lr=1e30, shuffle=False, optimizer="sgd")
    with pytest.raises(TrainingError) as caught:
        train.run(recipe, digits, tmp_path / "train")
    text = str(caught.value)
    assert "\n" not in text
    assert "epoch 1, step 2, training rows 16, 17, 18, 19, 20, ..." in text
    assert "lower train.lr" in text
    assert not (tmp_path / "train" / "checkpoint").exists()


def test_weights_that_are_not_finite_are_never_written(fast, digits, tmp_path):
    steep = {"input": use("image", height=12, width=12, std=(1e-4,))}
    recipe = fast(steep, schedule="constant", warmup=0.0, lr=1e38, optimizer="sgd", batch_size=300)
    with pytest.raises(TrainingError, match=r"are not finite after epoch 1, step 1, training rows \d+"):
        train.run(recipe, digits, tmp_path / "train")
    assert not list((tmp_path / "train").iterdir())


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("epochs", 0), ("batch_size", 0), ("lr", 0.0), ("lr", float("nan")), ("momentum", 1.0), ("weight_decay", -1.0),
        ("decay", 0.0), ("warmup", 1.0), ("clip_norm", -1.0), ("ema", 1.0), ("early_stop", -1), ("threads", -1),
        ("memory_mb", -1), ("workers", -1),
    ],
)  # fmt: skip
def test_values_out_of_range_are_named(fast, digits, tmp_path, field, value):
    with pytest.raises(UsageError, match=rf"^train\.{field} is {value}, expected "):
        train.run(fast(**{field: value}), digits, tmp_path / "train")
    assert not (tmp_path / "train").exists()


def test_options_that_contradict_each_other_are_named(fast, digits, tmp_path):
    with pytest.raises(UsageError, match=r"train\.nesterov needs"):
        train.run(fast(nesterov=True), digits, tmp_path / "train")
    with pytest.raises(UsageError, match=r"train\.early_stop needs a validation split"):
        train.run(fast(early_stop=1), without(digits, "validation"), tmp_path / "train")


@pytest.mark.parametrize("name", ["train", "test"])
def test_an_empty_split_is_named(fast, digits, tmp_path, name):
    with pytest.raises(DataError, match=f"has no {name} samples"):
        train.run(fast(), without(digits, name), tmp_path / "train")


def test_a_folder_that_cannot_be_made_is_an_os_error(fast, digits, tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(NotADirectoryError):
        train.run(fast(), digits, tmp_path / "file" / "train")


def test_a_full_disk_keeps_the_older_checkpoint(fast, digits, tmp_path, monkeypatch):
    write, written = Path.write_bytes, []

    def full(self, data):
        written.append(self.name)
        if written.count("model.safetensors") == 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self))
        return write(self, data)

    monkeypatch.setattr(Path, "write_bytes", full)
    out = tmp_path / "train"
    with pytest.raises(OSError, match="No space left") as caught:
        train.run(fast(), digits, out)
    assert caught.value.errno == errno.ENOSPC
    monkeypatch.undo()
    assert [path.name for path in out.iterdir()] == ["checkpoint"]
    assert json.loads((out / "checkpoint" / "checkpoint.json").read_bytes())["schema"] == 2
    resumed = train.run(fast(), digits, out)
    assert weights_of(resumed) == weights_of(train.run(fast(), digits, tmp_path / "whole"))


def test_a_validation_figure_that_is_not_finite_stops(fast, digits, tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "evaluate", lambda *_: {"accuracy": 0.5, "log_loss": float("nan")})
    with pytest.raises(TrainingError, match="validation log_loss is nan after epoch 1"):
        train.run(fast(), digits, tmp_path / "train")


def test_groups_reach_the_optimizer(fast, digits, tmp_path):
    frozen = functools.partial(fast, epochs=1, optimizer="sgd", lr=0.05)
    moved = load_graph(train.run(frozen(), digits, tmp_path / "moved"))
    held = load_graph(train.run(frozen(groups={"net": {"lr": 1e-30}}), digits, tmp_path / "held"))
    start = load_graph(train.run(frozen(lr=1e-30), digits, tmp_path / "start"))
    for name, weight in start.net.named_parameters():
        assert torch.equal(held.net.get_parameter(name), weight)
        assert not torch.equal(moved.net.get_parameter(name), weight)
    assert not torch.equal(held.head.weight, start.head.weight)


def test_a_full_device_says_what_to_do(fast, digits, tmp_path, monkeypatch):
    def full(self, raw, targets):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of")

    monkeypatch.setattr(loop.Training, "train_step", full)
    with pytest.raises(TrainingError, match=r"^CUDA out of memory; lower train\.batch_size \(16\) or train\.memory_mb"):
        train.run(fast(), digits, tmp_path / "train")
