"""Gradients that drive layers to their extremes."""

from collections.abc import Iterable

import numpy as np
import torch
from torch import nn

from deploy.bundle import Signature, TensorSpec
from stages.verify.hunt.activations import drive
from stages.verify.hunt.ascent import ascend
from stages.verify.hunt.budget import Budget
from stages.verify.hunt.levels import Levels
from stages.verify.reference import Feeds
from stages.verify.twin import Twin

REAL = TensorSpec("x", "float32", ("batch", 3, 8, 8), (-2.0, 2.0))
CODES = TensorSpec("text", "int32", ("batch", "length"), (0.0, 9.0))


class Residual(nn.Module):
    """A sum and a function's value, that no module gives; a ReLU that overwrites its input; one layer used twice."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 3, 3, padding=1)
        self.relu = nn.ReLU(inplace=True)
        self.last = nn.Flatten()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(x + self.first(self.relu(self.first(x))))
        return self.last(x)  # type: ignore[no-any-return]


class See:
    """A transparent reference of one module."""

    def __init__(self, module: nn.Module, free: tuple[str, ...]) -> None:
        self.module, self.free, self.own = module.eval(), free, dict[str, int]()


def driven(module: nn.Module, spec: TensorSpec, seeds: Feeds, free: Iterable[str], seconds: float = 60) -> list:
    signature = Signature("x", (spec,))
    return drive(See(module, tuple(free)), signature, seeds, Budget(seconds), 20, each=2, batch=8)


def test_levels_see_every_tensor_once() -> None:
    torch.manual_seed(0)
    net, x = Residual().eval(), torch.randn(2, 3, 8, 8)
    with Levels(net) as levels:
        net(x)
        seen = dict(levels.seen)
    assert list(seen) == ["first (input)", "first", "last (input)", "last"]  # the ReLU gives back what it was given
    assert torch.equal(seen["first (input)"][0], x.flatten(1).amax(1))
    assert (seen["first"][1] < 0).all()
    assert (seen["last (input)"][1] == 0).all()
    assert not net.first._forward_hooks


def test_layers_of_any_module_are_driven_beyond_the_seeds() -> None:
    torch.manual_seed(0)
    seeds = {"x": np.random.default_rng(0).uniform(-1, 1, (6, 3, 8, 8)).astype(np.float32)}
    found = driven(Residual(), REAL, seeds, ["x"])
    layers = set().union(*(part.layers for part in found))
    assert {"first", "last (input)"} <= layers
    for part in found:
        assert part.feeds["x"].dtype == np.float32
        assert -2 <= part.feeds["x"].min() <= part.feeds["x"].max() <= 2
        assert (part.after >= part.before).all()


def test_scores_are_what_the_inputs_really_reach(twin: Twin, seeds: Feeds) -> None:
    part = drive(twin, twin.input, seeds, Budget(60), 10, each=1, batch=8)[0]
    with Levels(twin.module) as levels, torch.no_grad():
        twin.module(torch.from_numpy(seeds["image"]))
        scales = {name: torch.stack(ends).abs() for name, ends in levels.seen.items()}
        twin.module(torch.from_numpy(part.feeds["image"]))
        for number, words in enumerate(part.what):
            end, layer = words.split(" value of ")
            side = 0 if end == "largest" else 1
            reached = levels.seen[layer][side][number] * (1 if side == 0 else -1)
            assert np.isclose(float(reached / scales[layer][side].max()), part.after[number], rtol=1e-4, atol=1e-6)


def test_where_time_is_short_a_row_serves_several_layers(twin: Twin, seeds: Feeds) -> None:
    found = drive(twin, twin.input, seeds, Budget(0.05), 40, each=2, batch=8)
    assert any("others" in words for part in found for words in part.what)
    assert len(frozenset().union(*(part.layers for part in found))) > 5


def test_codes_have_no_gradients() -> None:
    net = nn.Sequential(nn.Embedding(10, 4), nn.Flatten())
    codes = {"text": np.zeros((3, 5), np.int32)}
    assert driven(net, CODES, codes, []) == []


def test_a_gradient_that_is_no_number_moves_nothing() -> None:
    def objective(tensors: dict) -> torch.Tensor:
        return torch.sqrt(tensors["x"].flatten(1)).sum(1)  # the slope at 0 is infinite

    start = {"x": np.zeros((2, 3, 8, 8), np.float32)}
    found, before, after, _ = ascend(objective, start, [REAL], ["x"], {"x": (0, 1)}, range(5))
    assert np.isfinite(found["x"]).all()
    assert (after >= before).all()
