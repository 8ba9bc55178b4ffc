"""Text by recurrence, to compare with convolution: LSTM (Hochreiter and Schmidhuber, 1997), GRU (Cho et al., 2014).

Both directions: Schuster and Paliwal, "Bidirectional recurrent neural networks" (1997), figure 3.
"""

from typing import Literal

import torch
from torch import nn

from deploy.errors import UsageError
from stages.layers import token_vectors
from stages.shapes import Tokens

Summary = Literal["max", "last"]


def lstm(
    shape: Tokens,
    *,
    embedding: int = 128,
    hidden: int = 128,
    layers: int = 1,
    summary: Summary = "max",
    embedding_dropout: float = 0.0,
    word_dropout: float = 0.0,
    dropout: float = 0.5,
) -> "Recurrent":
    """A bidirectional LSTM over text of any length, `hidden` units in each direction.

    `summary` of a text: each unit's largest value, or the state at the end of each direction. In training
    `embedding_dropout` leaves out values of the embedding, `word_dropout` whole words, `dropout` features.
    """
    return Recurrent(nn.LSTM, shape[1], embedding, hidden, layers, summary, embedding_dropout, word_dropout, dropout)


def gru(
    shape: Tokens,
    *,
    embedding: int = 128,
    hidden: int = 128,
    layers: int = 1,
    summary: Summary = "max",
    embedding_dropout: float = 0.0,
    word_dropout: float = 0.0,
    dropout: float = 0.5,
) -> "Recurrent":
    """A bidirectional GRU over text of any length; options as those of `lstm`."""
    return Recurrent(nn.GRU, shape[1], embedding, hidden, layers, summary, embedding_dropout, word_dropout, dropout)


class Recurrent(nn.Module):
    """int64 token numbers (N, L), 0 for padding at the end -> (N, 2 hidden).

    The answer does not depend on the padding. Packed sequences would do that in torch, and cannot be exported; here
    each direction is a cell of its own, the backward one reads every text turned around within its own length, and
    what is read after a text's end is left out of the summary.
    """

    def __init__(
        self,
        cell: type[nn.LSTM] | type[nn.GRU],
        vocabulary: int,
        embedding: int,
        hidden: int,
        layers: int,
        summary: Summary,
        embedding_dropout: float,
        word_dropout: float,
        dropout: float,
    ) -> None:
        super().__init__()
        if layers < 1:
            raise UsageError(f"recurrent model: layers is {layers}, expected 1 or more; set model.layers")
        self.out_features = 2 * hidden
        self.summary = summary
        self.embedding = token_vectors(vocabulary, embedding)
        self.words = nn.Dropout1d(word_dropout)
        self.values = nn.Dropout(embedding_dropout)
        sizes = [embedding, *[2 * hidden] * (layers - 1)]
        self.forwards = nn.ModuleList(cell(size, hidden, batch_first=True) for size in sizes)
        self.backwards = nn.ModuleList(cell(size, hidden, batch_first=True) for size in sizes)
        self.dropout = nn.Dropout(dropout)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Return features."""
        real = tokens != 0  # (N, L)
        count = real.sum(dim=1, keepdim=True)  # (N, 1)
        position = torch.arange(tokens.shape[1], device=tokens.device)
        turned = torch.where(position < count, count - 1 - position, position)  # (N, L), its own inverse
        x = self.values(self.words(self.embedding(tokens)))  # (N, L, E)
        for ahead, back in zip(self.forwards, self.backwards, strict=True):
            there = ahead(x)[0]  # (N, L, hidden)
            again = _reorder(back(_reorder(x, turned))[0], turned)  # (N, L, hidden)
            x = torch.cat([there, again], dim=2)  # (N, L, 2 hidden)
        return self.dropout(self._summed_up(x, real, count))  # type: ignore[no-any-return]

    def _summed_up(self, x: torch.Tensor, real: torch.Tensor, count: torch.Tensor) -> torch.Tensor:
        if self.summary == "max":
            return torch.where(real.unsqueeze(2), x, -1).amax(dim=1)  # no state is below -1
        hidden = self.out_features // 2
        last = _reorder(x, (count - 1).clamp(min=0))[:, 0, :hidden]  # where the text ends
        return torch.cat([last, x[:, 0, hidden:]], dim=1) * (count > 0)


def _reorder(x: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    """Return x (N, L, E) at the time steps `index` (N, M), in that order: (N, M, E)."""
    return x.gather(1, index.unsqueeze(2).expand(-1, -1, x.shape[2]))
