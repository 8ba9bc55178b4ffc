"""Convolutional auto-encoders: what comes in is squeezed through a few numbers and made again from them.

Hinton and Salakhutdinov, "Reducing the Dimensionality of Data with Neural Networks" (2006), with convolutions (Masci et
al., 2011), and with noise that is to be taken away in training (Vincent et al., 2008). What they give is of the form
"reconstruction": the input and the reconstruction, both as the input is.
"""

import math

import torch
from torch import nn

from deploy.errors import UsageError
from stages.shapes import FixedSeries, Picture

_HALVINGS = 2


def autoencoder(shape: Picture, *, width: int = 16, latent: int = 32, noise: float = 0.0) -> "AutoEncoder":
    """An auto-encoder for pictures of one size: two convolutions down to `latent` numbers, two up again.

    `width` channels first, 2 `width` then. `noise` is the standard deviation of what is added to the input in training,
    in units of the preprocessed values: what has to be told from noise is not just copied.
    """
    return AutoEncoder(shape, width, latent, noise)


def autoencoder1d(shape: FixedSeries, *, width: int = 16, latent: int = 8, noise: float = 0.0) -> "AutoEncoder":
    """An auto-encoder for series of one length, as `autoencoder` is for pictures; set input.length."""
    return AutoEncoder(shape, width, latent, noise)


class AutoEncoder(nn.Module):
    """(N, C, *sides) -> the same, and what is made of it, (N, C, *sides); one or two sides, of fixed sizes."""

    gives = "reconstruction"

    def __init__(self, shape: tuple[int, ...], width: int, latent: int, noise: float) -> None:
        super().__init__()
        channels, *sides = shape
        if min(width, latent) < 1 or noise < 0:
            raise UsageError(
                f"auto-encoder: width={width}, latent={latent}, noise={noise:g}: expected 1 or more, noise 0"
            )
        self.shape, self.out_features, self.noise = shape, channels, noise
        conv, back, norm = (
            (nn.Conv2d, nn.ConvTranspose2d, nn.BatchNorm2d) if len(sides) == 2
            else (nn.Conv1d, nn.ConvTranspose1d, nn.BatchNorm1d)
        )  # fmt: skip
        small = tuple(-(-size // 2**_HALVINGS) for size in sides)
        self.encoder = nn.Sequential(
            conv(channels, width, 5, 2, padding=2),  # (N, width, *sides/2)
            norm(width),
            nn.ReLU(),
            conv(width, 2 * width, 3, 2, padding=1),  # (N, 2 width, *sides/4)
            norm(2 * width),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(2 * width * math.prod(small), latent),  # (N, latent)
        )
        self.decoder = nn.Sequential(
            nn.Linear(latent, 2 * width * math.prod(small)),
            nn.Unflatten(1, (2 * width, *small)),
            norm(2 * width),
            nn.ReLU(),
            back(2 * width, width, 4, 2, padding=1),  # (N, width, *sides/2)
            norm(width),
            nn.ReLU(),
            back(width, channels, 4, 2, padding=1),  # (N, C, *sides), or up to 3 more
        )
        self.sides = tuple(sides)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the input and its reconstruction."""
        seen = x + self.noise * torch.randn_like(x) if self.training and self.noise else x
        made = self.decoder(self.encoder(seen))
        for axis, size in enumerate(self.sides, 2):
            made = made.narrow(axis, 0, size)
        return x, made
