"""More draws of the yardstick: what they move, and that they tell rows that amplify rounding from faults."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from deploy.bundle import Signature, TensorSpec
from stages.verify.checks import pooled
from stages.verify.compare import Comparison
from stages.verify.foreign.module import ModuleReference
from stages.verify.perturbation import perturbed, reordered
from stages.verify.reference import Feeds, Outputs
from tests.stages.verify.identity import Identity, examination, faithful

UNIT = 2.0**-23


def relative(module: nn.Module, x: torch.Tensor, **how: Any) -> float:
    """The relative rms difference that perturbing makes to what a module answers."""
    with torch.inference_mode():
        before = module(x)
        with perturbed("fp32", seed=0, **how) if how else reordered("fp32", seed=0):
            after = module(x)
    return float((after - before).square().mean().sqrt() / before.square().mean().sqrt())


@pytest.mark.parametrize("alike", [True, False])
@pytest.mark.parametrize(
    ("module", "shape"),
    [
        (nn.ReLU(), (8, 4, 9, 9)),
        (nn.Conv2d(4, 4, 3), (8, 4, 9, 9)),
        (nn.Linear(16, 16), (32, 16)),
        (nn.Sequential(nn.Flatten(), nn.Softmax(1)), (8, 4, 9)),
    ],
)
def test_every_operator_moves_by_about_a_unit_in_the_last_place(
    module: nn.Module, shape: tuple[int, ...], alike: bool
) -> None:
    moved = relative(
        module.requires_grad_(False), torch.rand(shape, generator=torch.Generator().manual_seed(0)), alike=alike
    )
    assert 0.2 * UNIT < moved < 3 * UNIT


def test_a_recurrent_layer_rounds_at_every_step() -> None:
    """As one operator, as oneDNN has it, it would move by a unit, whatever its length."""
    torch.manual_seed(0)
    layer = nn.LSTM(3, 8, batch_first=True).requires_grad_(False)
    x = torch.randn(4, 200, 3)
    with torch.inference_mode():
        before = layer(x)[0]
        with perturbed("fp32", seed=0, alike=True):
            after = layer(x)[0]
    assert not torch.equal(before, after)
    assert torch.backends.mkldnn.enabled


def test_where_errors_are_alike_no_mean_takes_them_out() -> None:
    module = nn.Sequential(nn.ReLU(), nn.AdaptiveAvgPool2d(1))
    x = torch.ones(64, 4, 32, 32)
    assert relative(module, x, alike=True) > 1.2 * relative(module, x, alike=False)


@pytest.mark.parametrize(("terms", "units"), [(50_000, 50), (1_500, 8.6)])
def test_long_sums_move_by_what_adding_in_sequence_costs(terms: int, units: float) -> None:
    class Mean(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.mean(1)

    moved = relative(Mean(), torch.rand(64, terms, generator=torch.Generator().manual_seed(0)))
    assert moved == pytest.approx(units * 2.0**-24 / np.sqrt(3), rel=0.4)
    assert relative(nn.Conv2d(4, 4, 3).requires_grad_(False), torch.rand(2, 4, 9, 9)) == 0


def test_stripes_one_pixel_wide_amplify_the_rounding_of_a_resize() -> None:
    class Resized(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return nn.functional.interpolate(x, (24, 20), mode="bilinear", antialias=True) - 0.5

    smooth = torch.linspace(0, 1, 17 * 21).reshape(1, 1, 21, 17)
    stripes = (torch.arange(17 * 21) % 2).float().reshape(1, 1, 21, 17)
    assert relative(Resized(), stripes, alike=True) > 2 * relative(Resized(), smooth, alike=True)


class Amplifying(Identity):
    """An identity of whose rounding much more is known than one quiet draw."""

    def __init__(self, most: float) -> None:
        super().__init__()
        self.most = most

    def perturbed(self, feeds: Feeds, seed: int, *, alike: bool) -> Outputs:
        wild = feeds["x"].max(axis=1, keepdims=True) > 2  # rows that amplify
        move = np.where(wild, self.most, 1e-6)
        return {n: v + move if v.dtype.kind == "f" else v for n, v in self.truth(feeds).items()}

    def reordered(self, feeds: Feeds, seed: int) -> Outputs:
        return self.rounded(feeds)


@pytest.mark.parametrize(("most", "passes"), [(4e-6, True), (1e-6, False)])
def test_a_group_is_judged_again_by_more_draws_before_it_is_refused(most: float, passes: bool) -> None:
    rows = np.random.default_rng(0).uniform(size=(200, 3))
    exam = examination(faithful, rows, reference=Amplifying(most))
    assert all(pooled.check(exam))
    wild = {"x": np.full((8, 3), [3.0, 4.0, 5.0], np.float32)}
    found = {"scores": wild["x"] + np.float32(2e-5), "index": np.full(8, 2)}
    group = exam.compare([(wild, found, "wild")])
    assert bool(exam.group("wild", [group], "")) is passes


@pytest.mark.parametrize(("most", "passes"), [(4e-5, True), (1e-6, False)])
def test_the_largest_error_is_judged_again_where_it_is(most: float, passes: bool) -> None:
    """One row in a thousand that makes much of rounding: the mean square does not show it."""
    rows = np.random.default_rng(0).uniform(size=(1000, 3))
    rows[321] = [3, 4, 5]

    def answer(feeds: Feeds) -> Outputs:
        wild = feeds["x"].max(axis=1, keepdims=True) > 2
        return {"scores": feeds["x"] + np.where(wild, np.float32(2e-5), np.float32(0)), "index": feeds["x"].argmax(1)}

    exam = examination(answer, rows, reference=Amplifying(most))
    checks = {check.name: bool(check) for check in pooled.check(exam)}
    assert checks == {"noise of scores": True, "largest error of scores": passes, "something compared": True}


def test_what_no_draw_could_explain_is_refused_at_once() -> None:
    class Counting(Amplifying):
        drawn = 0

        def perturbed(self, feeds: Feeds, seed: int, *, alike: bool) -> Outputs:
            type(self).drawn += 1
            return super().perturbed(feeds, seed, alike=alike)

    rows = np.random.default_rng(0).uniform(size=(200, 3))
    exam = examination(faithful, rows, reference=Counting(1e-6))
    assert all(pooled.check(exam))
    feeds = {"x": np.ones((8, 3), np.float32)}
    group = exam.compare([(feeds, {"scores": feeds["x"] + 1, "index": np.zeros(8, np.int64)}, "wrong")])
    assert not exam.group("wrong", [group], "")
    assert Counting.drawn == 0


def test_a_reference_that_has_no_other_draws_stays_as_it_is() -> None:
    comparison = Comparison(Identity())
    feeds = {"x": np.ones((8, 3), np.float32)}
    comparison.add(feeds, faithful(feeds), "rows")
    before = comparison.noise()
    comparison.redraw({})
    comparison.reorder()
    assert comparison.noise() == before
    assert comparison.scales() == {}
    assert comparison.kept == []


def test_what_is_kept_for_other_draws_is_bounded() -> None:
    comparison = Comparison(Amplifying(1e-6))
    feeds = {"x": np.zeros((30, 3), np.float32)}
    for _ in range(40):
        comparison.add(feeds, faithful(feeds), "rows")
    assert [len(kept["x"]) for kept, _ in comparison.kept] == [30, 30, 30]


@pytest.mark.parametrize("sums", [True, False])
def test_a_module_of_ones_own_is_perturbed_too(sums: bool) -> None:
    spec = Signature("tensors", (TensorSpec("x", "float32", ("batch", 6)),))
    out = Signature("tensors", (TensorSpec("y", "float32", ("batch", 4)),))
    reference = ModuleReference(nn.Linear(6, 4), spec, out)
    feeds = {"x": np.random.default_rng(0).normal(size=(5, 6)).astype(np.float32)}
    perturb = partial(reference.perturbed, alike=True)
    draw: Callable[[Feeds, int], Outputs] = reference.reordered if sums else perturb
    first, again, other = (draw(feeds, seed)["y"] for seed in (0, 0, 1))
    assert np.array_equal(first, again)
    assert np.array_equal(first, other) is sums
    np.testing.assert_allclose(first, reference.rounded(feeds)["y"], rtol=1e-4, atol=1e-5)
