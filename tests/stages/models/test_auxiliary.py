"""Auxiliary losses count in training, and nothing of them is left in what is exported."""

import copy
import dataclasses
from pathlib import Path
from typing import Any

import onnx
import pytest
import torch
from torch import nn

from stages import discover, export, train
from stages.dataset import Dataset, Split
from stages.graph import build
from stages.models.googlenet import googlenet
from stages.models.inception import inception_v3
from stages.recipe import Recipe, TrainConfig, use
from stages.result import ExportResult
from stages.train.weights import from_bytes, load_graph

SIDES = {"googlenet": (googlenet, 2, 0.3, 1024), "inception_v3": (inception_v3, 1, 0.4, 768)}


@pytest.mark.parametrize("name", SIDES)
def test_the_branches_are_told_and_no_part_of_the_network(name: str) -> None:
    make, number, weight, features = SIDES[name]
    net = make((1, 28, 28)).train()
    assert [(side.out_features, side.weight) for side in net.auxiliary] == [(features, weight)] * number
    assert not [key for key in net.state_dict() if "aux" in key.lower()]
    main, *taps = net.taps(torch.randn(2, 1, 28, 28))
    assert main.shape == (2, net.out_features)
    for side, tap in zip(net.auxiliary, taps, strict=True):
        answer = side.branch(tap)
        assert answer.shape == (2, features)
        answer.sum().backward(retain_graph=True)
        assert all(parameter.grad is not None for parameter in side.branch.parameters())


@pytest.mark.parametrize("name", SIDES)
def test_a_weight_of_0_makes_no_branches(name: str) -> None:
    assert SIDES[name][0]((1, 28, 28), auxiliary_weight=0.0).auxiliary == ()


@pytest.fixture(scope="module")
def recipe() -> Recipe:
    return Recipe(
        name="sides",
        data=use("digits"),  # never loaded: the dataset is given
        input=use("image", height=16, width=12),
        model=use("googlenet", auxiliary_weight=0.25),
        task=use("classify"),
        train=TrainConfig(epochs=1, batch_size=16, ema=0.5, device="cpu", threads=1),
    )


@pytest.fixture(scope="module")
def few(colour_data: Any) -> Dataset:
    def first(split: Split, rows: int) -> Split:
        return Split(split.inputs[:rows], split.targets[:rows])

    info = dataclasses.replace(colour_data.info, digest="7" * 64, sizes={"train": 32, "validation": 8, "test": 8})
    return Dataset(info, first(colour_data.train, 32), first(colour_data.validation, 8), first(colour_data.test, 8))


@pytest.fixture(scope="module")
def exported(recipe: Recipe, few: Dataset, tmp_path_factory: pytest.TempPathFactory) -> ExportResult:
    run = tmp_path_factory.mktemp("sides")
    return export.run(recipe.export, train.run(recipe, few, run / "train"), run / "export")


def test_the_loss_is_the_weighted_sum(recipe: Recipe, few: Dataset) -> None:
    graph = build(recipe, few.info)
    raw, targets = torch.from_numpy(few.train.inputs[:4]), torch.from_numpy(few.train.targets[:4])
    scores = graph.train().all_scores(graph.pre(raw))
    losses = [nn.functional.cross_entropy(part, targets) for part in scores]
    assert len(losses) == 3
    assert torch.isclose(graph.loss(scores, targets), losses[0] + 0.25 * (losses[1] + losses[2]))
    graph.loss(scores, targets).backward()
    assert all(parameter.grad is not None for parameter in graph.auxiliary.parameters())
    evaluated = copy.deepcopy(graph).eval().all_scores(graph.pre(raw))
    assert len(evaluated) == 1


def test_trained_weights_hold_the_served_network_alone(exported: ExportResult, few: Dataset) -> None:
    weights = from_bytes(exported.trained.weights.read_bytes())
    assert not [name for name in weights if "aux" in name.lower()]
    graph = load_graph(exported.trained)
    assert set(graph.state_dict()) == set(weights)
    assert len(graph.auxiliary) == 0
    assert exported.trained.parameters == sum(parameter.numel() for parameter in graph.parameters())
    whole = build(exported.trained.recipe, few.info)
    assert exported.trained.parameters < sum(parameter.numel() for parameter in whole.parameters())


def test_the_exported_graph_holds_no_weights_of_them(exported: ExportResult) -> None:
    model = onnx.load(exported.model)
    values = sum(int(torch.tensor(tensor.dims).prod()) for tensor in model.graph.initializer)
    assert values <= exported.trained.parameters * 1.02  # and the batch norms' statistics
    assert not [tensor.name for tensor in model.graph.initializer if "aux" in tensor.name.lower()]


def test_only_models_that_say_so_have_auxiliary_heads(recipe: Recipe, few: Dataset) -> None:
    graph = build(dataclasses.replace(recipe, model=use("lenet5")), few.info)
    assert set(graph.served()) == set(graph.state_dict())
    assert [name for name in discover.found("models") if name in SIDES] == sorted(SIDES)


def test_training_goes_on_with_its_auxiliary_heads(recipe: Recipe, few: Dataset, tmp_path: Path) -> None:
    from stages.train.checkpoint import training_key

    again = dataclasses.replace(recipe, model=use("googlenet", auxiliary_weight=0.5))
    assert training_key(again, few.info) != training_key(recipe, few.info)
    graph = build(recipe, few.info)
    other = build(recipe, few.info)
    other.load_state_dict(graph.state_dict())
    for mine, theirs in zip(graph.auxiliary.parameters(), other.auxiliary.parameters(), strict=True):
        assert torch.equal(mine, theirs)
