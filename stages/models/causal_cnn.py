"""Characters by causal dilated convolution, trained on whole texts and served a character at a time.

Van den Oord et al., "WaveNet" (2016), sections 2.1 to 2.4; Kalchbrenner et al., "Neural Machine Translation in Linear
Time" (ByteNet, 2016). The cache that makes a step cheap: Le Paine et al., "Fast WaveNet Generation Algorithm" (2016).
"""

from typing import cast

import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

from deploy.errors import UsageError
from stages.layers import tied_vectors
from stages.shapes import Tokens


def causal_cnn(
    shape: Tokens,
    *,
    channels: int = 128,
    layers: int = 5,
    taps: int = 3,
    embedding_dropout: float = 0.1,
    dropout: float = 0.2,
) -> "CausalCNN":
    """Gated convolutions over what came before; it reaches back (taps - 1) * (2^layers - 1) characters.

    In training `embedding_dropout` leaves out values of the embedding, `dropout` values of each layer's answer.
    """
    if layers < 1 or taps < 2:
        raise UsageError(f"causal_cnn: layers={layers}, taps={taps}, expected 1 and 2 or more; set model.layers, ...")
    return CausalCNN(shape[1], channels, layers, taps, embedding_dropout, dropout)


class CausalCNN(nn.Module):
    """int64 token numbers (N, T) -> features (N, T, channels), each of its own character and those before; and tokens.

    state_shape    of one row's state: the last inputs of all layers side by side, (channels, reach); 0 at the begin
    """

    gives = "characters"

    def __init__(
        self, vocabulary: int, channels: int, layers: int, taps: int, embedding_dropout: float, dropout: float
    ) -> None:
        super().__init__()
        self.out_features = channels
        self.embedding = tied_vectors(vocabulary, channels)
        self.values = nn.Dropout(embedding_dropout)
        self.layers = nn.ModuleList(Layer(channels, taps, 2**number, dropout) for number in range(layers))
        self.norm = nn.LayerNorm(channels)
        self.dropout = nn.Dropout(dropout)
        self.mix = nn.Linear(channels, channels)  # what comes next is another space than what was
        self.reaches = tuple(layer.reach for layer in self._layers())
        self.state_shape = (channels, sum(self.reaches))

    def forward(self, tokens: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return features and tokens."""
        x = self.values(self.embedding(tokens) * self.out_features**0.5)  # (N, T, C)
        for layer in self._layers():
            x = layer(x)
        return self.mix(self.dropout(self.norm(x))), tokens

    def step(self, token: torch.Tensor, state: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return features (N, channels) of one more character (N,), and the state after it."""
        x = self.embedding(token) * self.out_features**0.5  # (N, C)
        after = []
        for layer, cache in zip(self._layers(), torch.split(state, [*self.reaches], dim=2), strict=True):
            x, kept = layer.step(x, cache)
            after.append(kept)
        return self.mix(self.norm(x)), torch.cat(after, dim=2)

    def _layers(self) -> list["Layer"]:
        return cast("list[Layer]", list(self.layers))


class Layer(nn.Module):
    """x + mix(tanh(a) * sigmoid(b)), where (a, b) is a causal convolution of x, normalised (WaveNet, equation 2).

    The convolution is one matrix product over `taps` characters that are `dilation` apart: the same in a step, where
    rows of a batch share it.

    reach    characters before the present one that it looks at
    """

    def __init__(self, channels: int, taps: int, dilation: int, dropout: float) -> None:
        super().__init__()
        self.dilation, self.reach = dilation, (taps - 1) * dilation
        self.norm = nn.LayerNorm(channels)
        self.convolution = nn.Linear(taps * channels, 2 * channels)
        self.mix = nn.Linear(channels, channels)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the answer to all characters, (N, T, C) for (N, T, C)."""
        length = x.shape[1]
        padded = F.pad(self.norm(x), (0, 0, self.reach, 0))
        offsets = range(0, self.reach + 1, self.dilation)
        return x + self._gated(torch.cat([padded[:, start : start + length] for start in offsets], dim=2))

    def step(self, x: torch.Tensor, cache: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the answer (N, C) to one character (N, C), and the cache (N, C, reach) after it."""
        window = torch.cat([cache, self.norm(x).unsqueeze(2)], dim=2)  # (N, C, reach + 1)
        taps = window[:, :, :: self.dilation].transpose(1, 2).flatten(1)  # (N, taps * C)
        return x + self._gated(taps), window[:, :, 1:]

    def _gated(self, taps: torch.Tensor) -> torch.Tensor:
        signal, gate = self.convolution(taps).chunk(2, dim=-1)
        return self.dropout(self.mix(torch.tanh(signal) * torch.sigmoid(gate)))  # type: ignore[no-any-return]
