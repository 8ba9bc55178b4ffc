"""What is left open is decided by seconds per step, and remembered."""

import dataclasses

import pytest
import torch

from stages import result, train
from stages.recipe import use
from stages.train import choice, loop


@pytest.mark.parametrize(
    ("times", "way"),
    [
        ({("fp32", False): 1.0}, ("fp32", False)),
        ({("fp32", False): 1.0, ("fp32", True): 0.99}, ("fp32", False)),
        ({("fp32", False): 1.0, ("fp32", True): 0.9}, ("fp32", True)),
        ({("fp32", False): 1.0, ("fp32", True): 0.9, ("bf16", False): 0.8, ("bf16", True): 0.75}, ("fp32", True)),
        ({("fp32", False): 1.0, ("fp32", True): 0.9, ("bf16", False): 0.8, ("bf16", True): 0.5}, ("bf16", True)),
        ({("fp32", False): 1.0, ("fp32", True): 2.0, ("bf16", False): 0.5, ("bf16", True): 0.495}, ("bf16", False)),
        ({("fp32", True): 1.0, ("bf16", True): 0.5}, ("bf16", True)),
        ({("bf16", False): 1.0, ("bf16", True): 0.5}, ("bf16", True)),
    ],
)
def test_fewer_digits_must_pay_more_than_another_layout(times, way):
    assert choice.fastest(times) == way


@pytest.fixture
def worth_it(monkeypatch):
    """Every training is long enough, and the seconds are given; returns the ways that were tried."""
    seconds = {("fp32", False): 1.0, ("fp32", True): 0.9, ("bf16", False): 0.8, ("bf16", True): 0.4}
    tried = []

    def given(way, trial, batch):
        tried.append(way)
        return seconds[way]

    monkeypatch.setattr(choice, "_WORTH_STEPS", 1)
    monkeypatch.setattr(choice, "_WORTH_SECONDS", 0.0)
    monkeypatch.setattr(choice, "_seconds", given)
    return tried


def test_what_was_measured_is_said_used_and_kept(fast, digits, tmp_path, recorder, worth_it):
    heard = recorder()
    outcome = train.run(fast(), digits, tmp_path / "train", heard)
    assert heard.lines[1] == (
        "measured: train.precision=bf16 train.channels_last=true, 2.50 times the speed of fp32; "
        "these values are kept in the result"
    )
    chosen = outcome.recipe.train
    assert (chosen.precision, chosen.channels_last) == ("bf16", True)
    assert result.load(result.TrainResult, tmp_path) == outcome
    worth_it.clear()
    again = train.run(outcome.recipe, digits, tmp_path / "again")
    assert worth_it == []
    assert again.weights_sha256 == outcome.weights_sha256


def test_a_resumed_training_does_not_measure_again(fast, digits, tmp_path, recorder, worth_it, monkeypatch):
    whole = train.run(fast(), digits, tmp_path / "whole")

    def stop(done):
        if done == 30:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        train.run(fast(), digits, tmp_path / "train", recorder(stop))
    monkeypatch.setattr(choice, "resolve", None)
    assert train.run(fast(), digits, tmp_path / "train").weights_sha256 == whole.weights_sha256


@pytest.mark.parametrize(
    ("change", "tried"),
    [
        ({"precision": "fp32"}, [("fp32", False), ("fp32", True)]),
        ({"channels_last": True}, [("bf16", True), ("fp32", True)]),
        ({"precision": "bf16", "channels_last": False}, []),
        ({"deterministic": True}, []),
    ],
    ids=str,
)
def test_only_what_is_open_is_measured(fast, digits, tmp_path, worth_it, change, tried):
    train.run(fast(epochs=1, **change), digits, tmp_path / "train")
    assert sorted(set(worth_it)) == tried


def test_a_kernel_that_is_not_there_is_not_chosen(fast, digits, tmp_path, monkeypatch, worth_it):
    given = choice._seconds

    def without(way, trial, batch):
        if way[0] == "bf16":
            raise RuntimeError('"slow_conv2d" not implemented for BFloat16')
        return given(way, trial, batch)

    monkeypatch.setattr(choice, "_seconds", without)
    outcome = train.run(fast(epochs=1), digits, tmp_path / "train")
    assert (outcome.recipe.train.precision, outcome.recipe.train.channels_last) == ("fp32", True)


def test_measuring_changes_nothing_about_the_weights(fast, digits, tmp_path, monkeypatch):
    fixed = {"precision": "fp32", "channels_last": False, "epochs": 1}
    changes = {"model": use("resnet_small", width=4), "task": use("classify", rotate_deg=10.0, mixup=0.2)}
    plain = train.run(fast(changes, **fixed), digits, tmp_path / "plain")
    monkeypatch.setattr(choice, "_WORTH_STEPS", 1)
    monkeypatch.setattr(choice, "_WORTH_SECONDS", 0.0)
    monkeypatch.setattr(choice, "fastest", lambda times: ("fp32", False))
    recipe = fast(changes, epochs=1)
    measured = train.run(recipe, digits, tmp_path / "measured")
    assert measured.weights_sha256 == plain.weights_sha256
    assert measured.recipe == dataclasses.replace(recipe, train=dataclasses.replace(recipe.train, **fixed))


def test_what_is_measured_are_steps_as_training_makes_them(fast, digits, tmp_path, monkeypatch):
    """A task may make in `augment` what its loss takes, as that of restoring does."""
    augmented = []

    def with_columns(recipe, info):
        graph = build(recipe, info)
        augment, loss = graph.task.augment, graph.task.loss

        def views(raw, targets, generator):
            augmented.append(generator)
            raw, targets = augment(raw, targets, generator)
            return raw, torch.stack([targets, targets], dim=1)

        graph.task.augment, graph.task.loss = views, lambda scores, targets: loss(scores, targets[:, 1])
        return graph

    build = loop.build
    monkeypatch.setattr(loop, "build", with_columns)
    monkeypatch.setattr(choice, "_WORTH_STEPS", 1)
    monkeypatch.setattr(choice, "_WORTH_SECONDS", 0.0)
    train.run(fast(epochs=1), digits, tmp_path / "train")
    trained, measured = augmented[-19:], augmented[:-19]
    assert len(measured) >= 4
    assert not set(measured) & set(trained)


def test_a_short_training_is_not_measured(fast, digits, tmp_path, recorder, monkeypatch):
    monkeypatch.setattr(loop.choice, "_WORTH_STEPS", 1)
    heard = recorder()
    outcome = train.run(fast(epochs=1), digits, tmp_path / "train", heard)
    assert not [line for line in heard.lines if "measured" in line]
    assert (outcome.recipe.train.precision, outcome.recipe.train.channels_last) == ("fp32", False)
