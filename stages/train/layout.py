"""Convolutions that must not run in channels last on the CPU, kept in the plain format.

oneDNN 3.x, as torch 2.14 has it, writes past its workspace (https://github.com/uxlfoundation/oneDNN/issues/6035) in the
gradient of the weights of a 1x1 convolution with a stride, where the input is channels last and has 2 to 15 channels
(measured with AVX-512, in float32 and bf16; with AVX2 2 to 7). Gradients are wrong, or the process dies, sooner or
later by size; not from 16 channels on, in groups, in three dimensions, or for a picture of less than some 40 x 40 px:

    net = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.Conv2d(8, 16, 1, stride=2))
    net(torch.rand(4, 128, 128, 1).permute(0, 3, 1, 2)).sum().backward()

Nobody has to ask for channels last to meet it: with one channel the strides of (N, 1, H, W) tell both formats alike,
and torch takes such grey pictures, and all that comes from them, for channels last.
"""

from typing import Any

import torch
from torch import nn

_BLOCK = 16  # channels that AVX-512 takes at once


def keep_plain(net: nn.Module) -> None:
    """Let the layers inside a network that would be hit copy their input to the plain format first."""
    for layer in net.modules():
        if would_be_hit(layer):
            layer.register_forward_pre_hook(_plain_input)


def would_be_hit(layer: nn.Module) -> bool:
    """Return whether this is a convolution that writes past its workspace when it runs in channels last."""
    if not isinstance(layer, nn.Conv2d) or layer.kernel_size != (1, 1) or layer.stride == (1, 1):
        return False
    return layer.groups == 1 and 1 < layer.in_channels < _BLOCK


def of(tensor: torch.Tensor, channels_last: bool) -> torch.memory_format:
    """Return the format of pictures and volumes, and of the weights of their convolutions.

    Weights of 1x1 lie alike in both, but their strides would tell torch to run in channels last whatever comes in.
    """
    last = {4: torch.channels_last, 5: torch.channels_last_3d} if channels_last else {}
    return last.get(tensor.dim(), torch.contiguous_format) if tensor.shape[2:].numel() > 1 else torch.contiguous_format


def _plain_input(_layer: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    return (inputs[0].contiguous(), *inputs[1:])
