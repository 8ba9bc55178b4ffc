"""The smaller parts: averages, losses, device, weights."""

import copy
import warnings

import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from deploy.errors import NotFoundError
from stages import train
from stages.errors import TrainingError
from stages.observer import Observer
from stages.recipe import TrainConfig
from stages.train import device
from stages.train.batches import Order
from stages.train.ema import Average
from stages.train.losses import Losses, require_finite
from stages.train.weights import from_bytes, load_graph, snapshot, to_bytes

CPU = torch.device("cpu")


def batch_norm_net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))


def test_the_average_is_torch_s():
    model = batch_norm_net()
    ours = Average(model, decay=0.9, start=3)
    theirs = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.9))
    rule = torch.optim.SGD(model.parameters(), lr=0.1)
    generator = torch.Generator().manual_seed(1)
    for step in range(10):
        rule.zero_grad()
        model(torch.randn(8, 4, generator=generator)).square().mean().backward()
        rule.step()
        ours.update(step)
        if step >= 3:
            theirs.update_parameters(model)
    for name, tensor in theirs.module.named_parameters():
        assert torch.allclose(ours.graph.get_parameter(name), tensor, rtol=1e-6), name
    for mine, current in zip(ours.graph.buffers(), model.buffers(), strict=True):
        assert torch.equal(mine, current)
    assert not torch.equal(ours.graph[0].weight, model[0].weight)
    assert not ours.graph.training
    assert not any(p.requires_grad for p in ours.graph.parameters())


ORDER = Order(TrainConfig(batch_size=2, shuffle=False), 10)  # five steps an epoch


def test_losses_are_weighted_by_rows_and_read_in_windows():
    losses = Losses(window=2, order=ORDER)
    losses.add(0, 2, torch.tensor(1.0))
    assert (losses.total, losses.rows) == (0.0, 0)
    losses.add(1, 1, torch.tensor(4.0))
    assert losses.mean == 2.0
    losses.add(2, 1, torch.tensor(6.0))
    losses.flush()
    losses.flush()
    assert losses.mean == 3.0


@pytest.mark.parametrize("window", [1, 100])
def test_a_bad_loss_is_named_by_its_own_step_whatever_the_window(window):
    losses = Losses(window, ORDER)

    def five_steps():
        for step in range(5, 10):
            losses.add(step, 2, torch.tensor(float("nan") if step >= 6 else 1.0))
        losses.flush()

    with pytest.raises(TrainingError, match="loss is nan at epoch 2, step 7, training rows 2, 3; lower"):
        five_steps()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_a_weight_that_is_not_finite_is_named(value):
    model = batch_norm_net()
    require_finite(model, 1, ORDER)
    model[2].weight.data[0, 1] = value
    with pytest.raises(TrainingError, match=r"'2\.weight' are not finite after epoch 1, step 4, training rows 6, 7;"):
        require_finite(model, 4, ORDER)


def test_large_weights_are_finite():
    model = batch_norm_net()
    model[0].weight.data.fill_(1e30)
    require_finite(model, 1, ORDER)


class Heard(Observer):
    def __init__(self):
        self.lines = []

    def say(self, line):
        self.lines.append(line)


def no_cuda(monkeypatch, text="", message=""):
    def available():
        if text:
            warnings.warn(text, stacklevel=1)
        if message:
            raise RuntimeError(message)
        return False

    monkeypatch.setattr(torch.cuda, "is_available", available)


def test_auto_falls_back_to_the_cpu_and_says_why(monkeypatch):
    no_cuda(monkeypatch, "CUDA initialization: the driver is too old\nmore")
    heard = Heard()
    assert device.choose(TrainConfig(), heard) == CPU
    (line,) = heard.lines
    assert line.startswith("training on the CPU, ")
    assert line.endswith(" (CUDA does not work here: CUDA initialization: the driver is too old)")


@pytest.mark.parametrize("message", ["", "CUDA error: no kernel image is available\nstack"])
def test_cuda_that_does_not_work_is_an_error_when_asked_for(monkeypatch, message):
    no_cuda(monkeypatch, message=message)
    reason = message.partition("\n")[0] or "no CUDA device found"
    with pytest.raises(TrainingError) as caught:
        device.choose(TrainConfig(device="cuda"), Heard())
    assert str(caught.value) == (
        f"train.device is 'cuda', but CUDA does not work here: {reason}; see what is missing: pipeline doctor, "
        "or train on the CPU: --set train.device=cpu"
    )


def test_cuda_is_believed_only_after_it_has_computed(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    ones = torch.ones

    def broken(*shape, device):
        raise RuntimeError(f"cuDNN error on {device}") if device == "cuda" else ones(*shape)

    monkeypatch.setattr(torch, "ones", broken)
    heard = Heard()
    assert device.choose(TrainConfig(), heard) == CPU
    assert "cuDNN error on cuda" in heard.lines[0]


def test_fp16_needs_cuda():
    with pytest.raises(TrainingError, match=r"train\.precision is 'fp16', which needs a CUDA device"):
        device.choose(TrainConfig(device="cpu", precision="fp16"), Heard())


def flags():
    return (
        torch.are_deterministic_algorithms_enabled(),
        torch.backends.cudnn.benchmark,
        torch.backends.cudnn.allow_tf32,
        torch.get_float32_matmul_precision(),
        torch.get_num_threads(),
    )


@pytest.mark.parametrize("deterministic", [False, True])
def test_global_settings_are_put_back(deterministic):
    before = flags()

    def fail_inside():
        with device.numerics(TrainConfig(deterministic=deterministic, threads=3), CPU):
            assert torch.get_num_threads() == 3
            assert torch.are_deterministic_algorithms_enabled() is deterministic
            assert torch.backends.cudnn.benchmark is not deterministic
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_inside()
    assert flags() == before


def test_tf32_is_set_and_put_back_on_cuda():
    before = (torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32)
    for allowed, expected in ((True, ("high", True)), (False, ("highest", False))):
        with device.tf32(torch.device("cuda"), allowed=allowed):
            assert (torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32) == expected
        assert (torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32) == before


def test_weights_go_through_bytes_whatever_their_memory():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 1)).to(memory_format=torch.channels_last)
    model.append(model[1])  # tied
    read = from_bytes(to_bytes(snapshot(model)))
    other = copy.deepcopy(model)
    for parameter in other.parameters():
        parameter.data.zero_()
    other.load_state_dict(read)
    for name, tensor in model.state_dict().items():
        assert torch.equal(other.state_dict()[name], tensor)


def test_a_snapshot_is_a_copy():
    model = nn.Linear(2, 2)
    taken = snapshot(model)
    before = taken["weight"].clone()
    model.weight.data.zero_()
    assert torch.equal(taken["weight"], before)


def test_weights_that_are_not_the_result_s_are_refused(fast, digits, tmp_path):
    outcome = train.run(fast(epochs=1), digits, tmp_path / "train")
    data = bytearray(outcome.weights.read_bytes())
    data[-1] ^= 1
    outcome.weights.write_bytes(data)
    with pytest.raises(TrainingError, match=r"SHA-256 is .* result\.json says .*; train again: pipeline train fast"):
        load_graph(outcome)
    outcome.weights.unlink()
    with pytest.raises(NotFoundError, match="no weights there"):
        load_graph(outcome)
