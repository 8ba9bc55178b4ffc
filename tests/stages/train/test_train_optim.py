import math

import pytest
import torch
from torch import nn

from deploy.errors import UsageError
from stages.recipe import TrainConfig
from stages.train.optim import Schedule, optimizer

STEPS, EPOCHS = 7, 10
TOTAL = STEPS * EPOCHS


def factors(**changes):
    schedule = Schedule(TrainConfig(epochs=EPOCHS, **changes), STEPS)
    return [schedule(step) for step in range(TOTAL)]


def test_constant():
    assert factors() == [1.0] * TOTAL


def test_exponential_changes_after_each_epoch():
    assert factors(schedule="exponential", decay=0.9) == [0.9**epoch for epoch in range(EPOCHS) for _ in range(STEPS)]


def test_cosine_falls_from_one_to_nothing():
    expected = [(1 + math.cos(math.pi * step / TOTAL)) / 2 for step in range(TOTAL)]
    assert factors(schedule="cosine") == pytest.approx(expected, abs=1e-12)


def test_linear_falls_from_one_to_nothing():
    assert factors(schedule="linear") == pytest.approx([1 - step / TOTAL for step in range(TOTAL)])


def test_warm_up_rises_linearly_and_the_rest_is_squeezed_behind_it():
    warm = factors(schedule="cosine", warmup=0.2)
    assert warm[:14] == pytest.approx([(step + 1) / 14 for step in range(14)])
    rest = TOTAL - 14
    assert warm[14:] == pytest.approx([(1 + math.cos(math.pi * step / rest)) / 2 for step in range(rest)], abs=1e-12)
    assert factors(warmup=0.2)[13:] == [1.0] * 57


@pytest.mark.parametrize("rise", [0.0, 0.2, 0.33, 0.9])
def test_onecycle_is_torch_s(rise):
    parameter = nn.Parameter(torch.zeros(1))
    reference = torch.optim.SGD([parameter], lr=1.0)
    torch_schedule = torch.optim.lr_scheduler.OneCycleLR(
        reference, max_lr=1.0, total_steps=TOTAL, pct_start=rise, cycle_momentum=False
    )
    expected = []
    for _ in range(TOTAL):
        expected.append(reference.param_groups[0]["lr"])
        reference.step()
        if len(expected) < TOTAL:
            torch_schedule.step()
    assert factors(schedule="onecycle", warmup=rise) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("rise", [0.0, 0.25, 0.5, 0.75])
@pytest.mark.parametrize("steps", [1, 2, 4])
def test_onecycle_of_a_few_steps_stays_in_its_range(rise, steps):
    schedule = Schedule(TrainConfig(epochs=1, schedule="onecycle", warmup=rise), steps)
    assert all(0 < schedule(step) <= 1 for step in range(steps))


def net():
    torch.manual_seed(0)
    return nn.ModuleDict({"net": nn.Linear(3, 3), "head": nn.Linear(3, 2), "headless": nn.Linear(1, 1)})


def trained(make, model, steps=5):
    step_rule = make(model)
    for step in range(steps):
        step_rule.zero_grad()
        (model["head"](model["net"](torch.ones(2, 3) * step)) ** 2).sum().backward()
        step_rule.step()
    return torch.cat([p.detach().flatten() for p in model.parameters()])


@pytest.mark.parametrize(
    ("config", "reference"),
    [
        (
            TrainConfig(optimizer="sgd", lr=0.01, momentum=0.8, nesterov=True, weight_decay=0.1),
            lambda m: torch.optim.SGD(m.parameters(), lr=0.01, momentum=0.8, nesterov=True, weight_decay=0.1),
        ),
        (
            TrainConfig(optimizer="adam", lr=0.01, momentum=0.8, weight_decay=0.1),
            lambda m: torch.optim.Adam(m.parameters(), lr=0.01, betas=(0.8, 0.999), weight_decay=0.1),
        ),
        (
            TrainConfig(optimizer="adamw", lr=0.01, weight_decay=0.1),
            lambda m: torch.optim.AdamW(m.parameters(), lr=0.01, weight_decay=0.1),
        ),
    ],
    ids=["sgd", "adam", "adamw"],
)
def test_optimizers_are_torch_s(config, reference):
    ours = trained(lambda model: optimizer(config, model), net())
    theirs = trained(reference, net())
    assert torch.allclose(ours, theirs, rtol=1e-5, atol=1e-7)


def test_momentum_carries_a_part_of_the_last_gradient_over():
    """g = g / 3 + mean: what the numpy text does is momentum without dampening."""
    parameter = nn.Parameter(torch.zeros(1))
    rule = optimizer(TrainConfig(optimizer="sgd", lr=1.0, momentum=1 / 3), nn.ParameterList([parameter]))
    carried, expected = 0.0, 0.0
    for gradient in (1.0, -2.0, 0.5):
        parameter.grad = torch.tensor([gradient])
        rule.step()
        carried = carried / 3 + gradient
        expected -= carried
        assert parameter.item() == pytest.approx(expected)


def test_groups_take_their_values_by_the_longest_prefix():
    config = TrainConfig(
        optimizer="sgd",
        lr=0.1,
        momentum=0.9,
        nesterov=True,
        weight_decay=0.5,
        groups={"head": {"lr": 0.3, "momentum": 0.0}, "head.bias": {"weight_decay": 0.0}},
    )
    model = net()
    groups = {id(g["params"][0]): g for g in optimizer(config, model).param_groups}
    rest, head, bias = (groups[id(p)] for p in (model["net"].weight, model["head"].weight, model["head"].bias))
    assert [len(g["params"]) for g in (rest, head, bias)] == [4, 1, 1]
    assert [(g["lr"], g["momentum"], g["weight_decay"], g["nesterov"]) for g in (rest, head, bias)] == [
        (0.1, 0.9, 0.5, True),
        (0.3, 0.0, 0.5, False),
        (0.1, 0.9, 0.0, True),
    ]


def test_a_schedule_scales_every_group_from_its_own_rate():
    config = TrainConfig(optimizer="sgd", lr=0.1, groups={"head": {"lr": 0.4}}, schedule="exponential", decay=0.5)
    rule = optimizer(config, net())
    schedule = Schedule(config, STEPS)
    for step, expected in ((0, [0.1, 0.4]), (STEPS, [0.05, 0.2]), (2 * STEPS, [0.025, 0.1])):
        schedule.apply(step, rule)
        assert [g["lr"] for g in rule.param_groups] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        ({"heads": {"lr": 1.0}}, r"no parameter's name starts with 'heads'; did you mean 'head'\?"),
        ({"hea": {"lr": 1.0}}, "no parameter's name starts with 'hea'"),
        ({"head": {"decay": 1.0}}, r"^train\.groups\.head: no such key 'decay'"),
    ],
)
def test_groups_that_fit_nothing_are_named(groups, message):
    with pytest.raises(UsageError, match=message):
        optimizer(TrainConfig(groups=groups), net())


def test_parameters_that_are_frozen_are_left_out():
    model = net()
    model["net"].requires_grad_(False)
    (group,) = optimizer(TrainConfig(), model).param_groups
    assert len(group["params"]) == 4
