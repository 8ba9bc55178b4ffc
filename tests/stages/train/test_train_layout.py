"""Convolutions whose gradient writes past its memory in channels last do not run in it, however a picture comes."""

import dataclasses
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn

from stages import train
from stages.dataset import Split
from stages.recipe import use
from stages.train import layout


@pytest.mark.parametrize(
    ("layer", "hit"),
    [
        (nn.Conv2d(8, 16, 1, stride=2), True),
        (nn.Conv2d(2, 4, 1, stride=(1, 2)), True),
        (nn.Conv2d(15, 16, 1, stride=4, bias=False), True),
        (nn.Conv2d(1, 16, 1, stride=2), False),
        (nn.Conv2d(16, 32, 1, stride=2), False),
        (nn.Conv2d(8, 16, 1), False),
        (nn.Conv2d(8, 16, 3, stride=2), False),
        (nn.Conv2d(8, 16, 1, stride=2, groups=2), False),
        (nn.Conv1d(8, 16, 1, stride=2), False),
        (nn.Conv3d(8, 16, 1, stride=2), False),
        (nn.Linear(8, 16), False),
    ],
    ids=str,
)
def test_which_layers_are_hit(layer, hit):
    assert layout.would_be_hit(layer) == hit


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_their_maps_stay_plain_in_training(digits, fast, tmp_path, monkeypatch, channels, channels_last, precision):
    """8 x 8 px are too few to write past the end, so that this can be looked at in the process of the tests."""
    seen = []

    def look(net):
        keep_plain(net)
        for layer in filter(layout.would_be_hit, net.modules()):
            layer.register_forward_hook(lambda module, inputs, output: seen.append(output.is_contiguous()))

    keep_plain = layout.keep_plain
    monkeypatch.setattr(layout, "keep_plain", look)
    colours = {
        name: Split(np.repeat(part.inputs[:60], channels, axis=3), part.targets[:60])
        for name, part in {"train": digits.train, "validation": digits.validation, "test": digits.test}.items()
    }
    info = dataclasses.replace(digits.info, sample_shape=("height", "width", channels))
    recipe = fast(
        {"model": use("resnet_small", width=8), "input": use("image", height=8, width=8)},
        epochs=1,
        channels_last=channels_last,
        precision=precision,
    )
    train.run(recipe, dataclasses.replace(digits, info=info, **colours), tmp_path / "train")
    assert len(seen) >= 4
    assert all(seen)


SMALLEST = """
import torch
from torch import nn
from stages.train import layout
torch.set_num_threads(1)
net = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.Conv2d(8, 16, 1, stride=2))
layout.keep_plain(net)
for _ in range(3):
    net(torch.rand(4, 128, 128, 1).permute(0, 3, 1, 2)).sum().backward()
"""


def test_the_smallest_net_that_died_lives(request):
    environment = os.environ | {"PYTHONPATH": str(request.config.rootpath)}
    done = subprocess.run(
        [sys.executable, "-c", SMALLEST], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_weights_of_one_pixel_do_not_decide_the_format():
    pixel, window = torch.zeros(16, 8, 1, 1), torch.zeros(16, 8, 3, 3)
    assert layout.of(pixel, channels_last=True) == torch.contiguous_format
    assert layout.of(window, channels_last=True) == torch.channels_last
    assert layout.of(window, channels_last=False) == torch.contiguous_format
    assert layout.of(window[:, :, None], channels_last=True) == torch.channels_last_3d
    assert layout.of(window.flatten(), channels_last=True) == torch.contiguous_format
