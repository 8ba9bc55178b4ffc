"""Precision and memory format where a recipe leaves them open: a few steps of the real network on a real batch decide.

Short trainings stay in float32 as they are: measuring would cost more than it brings, and they repeat bit for bit.
"""

import copy
import dataclasses
import time
from itertools import product
from typing import Literal, cast

import torch

from stages.graph import Graph
from stages.observer import Observer
from stages.recipe import TrainConfig
from stages.train.batches import Batch, Batches
from stages.train.distributed import Group
from stages.train.step import Scorer

Precision = Literal["fp32", "bf16", "fp16"]
Way = tuple[Precision, bool]  # precision, channels last

_WORTH_STEPS, _WORTH_SECONDS = 200, 30.0  # of training without a choice; nothing is measured for less
_ROUNDS = 5
_LAYOUT_GAIN, _BF16_GAIN = 1.02, 1.25  # how many times as fast, at least: fewer digits must pay more


def resolve(
    config: TrainConfig, graph: Graph, batches: Batches, steps: int, group: Group, observer: Observer
) -> TrainConfig:
    """Return the config with each `auto` replaced by what is fastest here for this network and batch, said in one line.

    steps: of the whole training. `deterministic` takes the plainest way. All processes of a distributed training
    measure, the first one decides.
    """
    ways = _open(config, graph)
    worth = len(ways) > 1 and steps >= _WORTH_STEPS and not config.deterministic
    times = _measured(ways, graph, next(batches.epoch(0)), steps) if worth else {}
    mine = fastest(times) if times else ways[0]
    chosen = ways[int(group.first([ways.index(mine)])[0])]
    if times:
        gain = times[ways[0]] / times.get(chosen, times[ways[0]])
        observer.say(
            f"measured: train.precision={chosen[0]} train.channels_last={str(chosen[1]).lower()}, "
            f"{gain:.2f} times the speed of {ways[0][0]}; these values are kept in the result"
        )
    return dataclasses.replace(config, precision=chosen[0], channels_last=chosen[1])


def fastest(times: dict[Way, float]) -> Way:
    """Return the way to go by seconds per step: float32 and the usual format, unless others are faster by enough."""
    best: Way | None = None
    for precision in dict.fromkeys(precision for precision, _ in times):
        layouts = [way for way in times if way[0] == precision]
        pick = _better(layouts, times, _LAYOUT_GAIN)
        best = pick if best is None else _better([best, pick], times, _BF16_GAIN)
    assert best is not None
    return best


def _better(ways: list[Way], times: dict[Way, float], gain: float) -> Way:
    """Return the first way, or the second one when it is `gain` times as fast."""
    return ways[-1] if times[ways[0]] >= gain * times[ways[-1]] else ways[0]


def _open(config: TrainConfig, graph: Graph) -> list[Way]:
    """Return what the config leaves open, the plainest way first; one way when nothing is open."""
    pictures = len(cast(tuple[int, ...], graph.pre.preprocessed_shape)) > 2  # for others there is no such format
    precisions: list[Precision] = ["fp32", "bf16"] if config.precision == "auto" else [config.precision]
    layouts = ([False, True] if pictures else [False]) if config.channels_last == "auto" else [config.channels_last]
    return list(product(precisions, layouts))


def _measured(ways: list[Way], graph: Graph, batch: Batch, steps: int) -> dict[Way, float]:
    """Return seconds per step by way, the best of some rounds in turn; nothing when the training is too short."""
    trial = copy.deepcopy(graph).train()
    _seconds(ways[0], trial, batch)
    if _seconds(ways[0], trial, batch) * steps < _WORTH_SECONDS:
        return {}
    able = [way for way in ways if _works(way, trial, batch)]
    rounds = [{way: _seconds(way, trial, batch) for way in able} for _ in range(_ROUNDS)]
    return {way: min(times[way] for times in rounds) for way in able}


def _works(way: Way, trial: Graph, batch: Batch) -> bool:
    """Make a first, slow step; False where this machine has no such kernel in bf16."""
    try:
        _seconds(way, trial, batch)
    except RuntimeError:
        if way[0] == "fp32":
            raise
        return False
    return True


def _seconds(way: Way, trial: Graph, batch: Batch) -> float:
    """Return the time of views, scores, loss and gradients; the update takes the same time in every way."""
    raw, targets = batch
    place = raw.device
    scores, generator = Scorer(trial, *way, place), torch.Generator(place).manual_seed(0)
    _wait(place)
    started = time.perf_counter()
    raw, targets = trial.task.augment(raw, targets, generator)
    trial.loss(scores(raw), targets).backward()  # type: ignore[no-untyped-call]
    _wait(place)
    seconds = time.perf_counter() - started
    trial.zero_grad()
    return seconds


def _wait(place: torch.device) -> None:
    if place.type == "cuda":
        torch.cuda.synchronize(place)
