"""Convolutions whose gradients torch leaves unset on the CPU in bf16, computed in float32 instead.

With AVX-512 (bf16), torch 2.14 returns memory that nobody has written to as the gradient of the weights where the input
of a convolution is 1 wide and the kernel wider, or, in three dimensions, the input less deep than the kernel; now and
then it writes past its end, too. Measured by filling free memory with NaN before some 9,000 gradients of convolutions
and transposed ones, of 1, 2 and 3 dimensions; the others were right to within bf16's digits, and so are all answers:

    x, w = torch.randn(8, 64, 2, 2, 2).bfloat16(), torch.randn(64, 64, 3, 3, 3).bfloat16().requires_grad_()
    print(torch.autograd.grad(F.conv3d(x, w, padding=1).sum(), w)[0].abs().max())  # 1e36, or NaN
"""

from functools import partial
from typing import Any

import torch
from torch import nn

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)


def avoid(net: nn.Module) -> None:
    """Let each convolution inside a network run in float32 wherever it would be hit."""
    for layer in net.modules():
        if isinstance(layer, _CONVOLUTIONS):
            layer.forward = partial(_safe, layer)  # type: ignore[method-assign]


def would_be_hit(size: torch.Size, kernel: tuple[int, ...]) -> bool:
    """Return whether the gradient for an input of this size, channels left out, would be left unset in bf16."""
    return size[-1] == 1 < kernel[-1] or (len(size) == 3 and size[0] < kernel[0])


def _safe(layer: Any, x: torch.Tensor) -> torch.Tensor:
    plain = type(layer).forward
    if not torch.is_autocast_enabled("cpu") or not would_be_hit(x.shape[2:], layer.kernel_size):
        return plain(layer, x)  # type: ignore[no-any-return]
    with torch.autocast("cpu", enabled=False):
        return plain(layer, x.float())  # type: ignore[no-any-return]
