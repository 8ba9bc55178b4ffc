"""Characters by recurrence, to compare with convolution: GRU (Cho et al., 2014), a character at a time when served."""

from typing import cast

import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

from deploy.errors import UsageError
from stages.layers import tied_vectors
from stages.shapes import Tokens


def char_gru(
    shape: Tokens,
    *,
    embedding: int = 128,
    hidden: int = 256,
    layers: int = 1,
    embedding_dropout: float = 0.1,
    dropout: float = 0.2,
) -> "CharGRU":
    """A GRU of `hidden` units in each layer, over the text from its begin to the present character.

    In training `embedding_dropout` leaves out values of the embedding, `dropout` values of each layer's answer.
    """
    if layers < 1:
        raise UsageError(f"char_gru: layers is {layers}, expected 1 or more; set model.layers")
    return CharGRU(shape[1], embedding, hidden, layers, embedding_dropout, dropout)


class CharGRU(nn.Module):
    """int64 token numbers (N, T) -> features (N, T, embedding), each of its own character and all before; and tokens.

    state_shape    of one row's state: the hidden values of each layer, (layers, hidden); 0 at the begin
    """

    gives = "characters"

    def __init__(
        self, vocabulary: int, embedding: int, hidden: int, layers: int, embedding_dropout: float, dropout: float
    ) -> None:
        super().__init__()
        self.out_features = embedding
        self.state_shape = (layers, hidden)
        self.embedding = tied_vectors(vocabulary, embedding)
        self.values = nn.Dropout(embedding_dropout)
        self.gru = nn.GRU(embedding, hidden, layers, batch_first=True, dropout=dropout if layers > 1 else 0.0)
        self.dropout = nn.Dropout(dropout)
        self.mix = nn.Linear(hidden, embedding)

    def forward(self, tokens: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return features and tokens."""
        x = self.values(self.embedding(tokens) * self.out_features**0.5)  # (N, T, E)
        return self.mix(self.dropout(self.gru(x)[0])), tokens

    def step(self, token: torch.Tensor, state: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return features (N, embedding) of one more character (N,), and the state after it.

        By matrix products, not torch's cell: as ONNX's GRU it would need cuDNN, and end the process on no rows.
        """
        x = self.embedding(token) * self.out_features**0.5  # (N, E)
        after = []
        for number, hidden in enumerate(state.unbind(1)):
            x = self._cell(number, x, hidden)
            after.append(x)
        return self.mix(x), torch.stack(after, dim=1)

    def _cell(self, number: int, x: torch.Tensor, hidden: torch.Tensor) -> torch.Tensor:
        """Return the layer's next hidden values (N, hidden), by the equations in torch's documentation of `GRU`."""
        weights = [
            cast(torch.Tensor, getattr(self.gru, f"{name}_l{number}"))
            for name in ("weight_ih", "bias_ih", "weight_hh", "bias_hh")
        ]
        of_x, of_hidden = F.linear(x, *weights[:2]), F.linear(hidden, *weights[2:])
        size = hidden.shape[1]
        reset, update = torch.sigmoid(of_x[:, : 2 * size] + of_hidden[:, : 2 * size]).chunk(2, dim=1)
        new = torch.tanh(of_x[:, 2 * size :] + reset * of_hidden[:, 2 * size :])
        return (1 - update) * new + update * hidden
