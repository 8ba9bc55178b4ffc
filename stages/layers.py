"""Pieces that several models share, and the switches of ablations: activation, pooling, initialisation."""

import math
from typing import Literal

import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

Activation = Literal["relu", "sigmoid", "tanh", "silu"]
Pooling = Literal["max", "average", "sum", "l2"]
Initialisation = Literal["torch", "he_normal", "xavier_uniform", "orthogonal"]

_ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
    "silu": nn.SiLU,
}
_TINY = 1e-12  # below the square root: its slope at 0 is infinite, and a window of zeros is common after ReLU


def activation(kind: Activation) -> nn.Module:
    """Return the activation as a module."""
    return _ACTIVATIONS[kind]()


def pool(kind: Pooling, size: int) -> nn.Module:
    """Return a pool over windows of `size` x `size` px that lie side by side: (N, C, H, W) -> (N, C, H/size, W/size).

    sum and l2 are those of all values in the window: `l2` is sqrt(sum x^2).
    """
    return {"max": nn.MaxPool2d, "average": nn.AvgPool2d, "sum": _SumPool, "l2": _L2Pool}[kind](size)


class _SumPool(nn.AvgPool2d):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        side = int(self.kernel_size)  # type: ignore[arg-type]
        return super().forward(x) * (side * side)


class _L2Pool(_SumPool):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (super().forward(x * x) + _TINY).sqrt()


class PoolAll(nn.Module):
    """Pool each channel's whole map: (N, C, H, W) -> (N, C)."""

    def __init__(self, kind: Pooling) -> None:
        super().__init__()
        self.kind = kind

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return one value a channel."""
        if self.kind == "max":
            return x.amax(dim=(2, 3))
        if self.kind == "average":
            return x.mean(dim=(2, 3))
        if self.kind == "sum":
            return x.sum(dim=(2, 3))
        return ((x * x).sum(dim=(2, 3)) + _TINY).sqrt()


class SameConv1d(nn.Conv1d):
    """A convolution that keeps the length; with an even kernel the longer padding is on the right (as in Keras)."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return (N, out, T) for (N, in, T)."""
        around = self.kernel_size[0] - 1
        return super().forward(F.pad(x, (around // 2, around - around // 2)))


class Unshared2d(nn.Module):
    """A convolution that does not share its weights: each pixel of the answer has a kernel of its own.

    (N, in, H, W) -> (N, out, H', W') as `nn.Conv2d` with this size and padding, with H' x W' times its weights, drawn
    as that draws its own.
    """

    def __init__(self, channels: int, out_channels: int, size: int, height: int, width: int, *, padding: int) -> None:
        super().__init__()
        self.padding = padding
        self.sides = height + 2 * padding - size + 1, width + 2 * padding - size + 1
        pixels, inner = self.sides[0] * self.sides[1], channels * size * size
        bound = 1 / math.sqrt(inner)
        self.weight = nn.Parameter(torch.empty(pixels, inner, out_channels).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(pixels, 1, out_channels).uniform_(-bound, bound))
        # Patches come from a convolution that copies: torch's unfold is exported as two gathers and index arithmetic.
        copies = torch.eye(size * size).view(-1, 1, size, size).repeat(channels, 1, 1, 1)
        self.register_buffer("copies", copies, persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the answers."""
        copies: torch.Tensor = self.copies  # type: ignore[assignment]
        patches = F.conv2d(x, copies, padding=self.padding, groups=x.shape[1])  # (N, inner, H', W')
        answers = torch.baddbmm(self.bias, patches.flatten(2).permute(2, 0, 1), self.weight)  # (pixels, N, out)
        return answers.permute(1, 2, 0).reshape(len(x), -1, *self.sides)


def token_vectors(vocabulary: int, size: int) -> nn.Embedding:
    """Return a vector of `size` for each token, drawn from U(-0.25, 0.25) as in the code of Kim (2014); token 0 has 0.

    Torch would draw from N(0, 1): seven times as large, so that rates fit for other layers leave it as it was drawn.
    """
    vectors = torch.empty(vocabulary, size).uniform_(-0.25, 0.25)
    vectors[0] = 0
    return nn.Embedding.from_pretrained(vectors, freeze=False, padding_idx=0)  # type: ignore[no-any-return, no-untyped-call]


def tied_vectors(vocabulary: int, size: int) -> nn.Embedding:
    """Return a vector of `size` for each token, drawn from N(0, 1 / size): such also serve as a last layer's weights.

    Where they go in, they are to be multiplied by sqrt(size) (Vaswani et al., "Attention is all you need", 3.4).
    """
    vectors = nn.Embedding(vocabulary, size, padding_idx=0)
    nn.init.normal_(vectors.weight, std=size**-0.5)
    with torch.no_grad():
        vectors.weight[0] = 0
    return vectors


def initialise(net: nn.Module, kind: Initialisation) -> None:
    """Draw the weights of convolutions and linear layers anew, biases 0; `torch` leaves torch's own draw.

    he_normal       He et al. (2015), N(0, 2 / fan in)
    xavier_uniform  Glorot and Bengio (2010)
    orthogonal      Saxe et al. (2014)
    """
    if kind == "torch":
        return
    for layer in net.modules():
        if not isinstance(layer, nn.Conv1d | nn.Conv2d | nn.Conv3d | nn.Linear):
            continue
        if kind == "he_normal":
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        elif kind == "xavier_uniform":
            nn.init.xavier_uniform_(layer.weight)
        else:
            nn.init.orthogonal_(layer.weight)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
