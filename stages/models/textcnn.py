"""Text by convolution: Kim, "Convolutional Neural Networks for Sentence Classification" (2014), figure 1, CNN-rand."""

import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

from deploy.errors import UsageError
from stages.layers import token_vectors
from stages.shapes import Tokens


def textcnn(
    shape: Tokens,
    *,
    embedding: int = 128,
    filters: int = 100,
    windows: tuple[int, ...] = (3, 4, 5),
    embedding_dropout: float = 0.0,
    word_dropout: float = 0.0,
    dropout: float = 0.5,
) -> "TextCNN":
    """Kim's CNN: windows of 3, 4 and 5 words, the largest answer of each of `filters` filters; text of any length.

    In training `embedding_dropout` leaves out values of the embedding, `word_dropout` whole words, `dropout` features.
    """
    if not windows or min(windows) < 1:
        raise UsageError(f"textcnn: windows is {windows}, expected one or more numbers of words; set model.windows")
    return TextCNN(shape[1], embedding, filters, windows, embedding_dropout, word_dropout, dropout)


class TextCNN(nn.Module):
    """int64 token numbers (N, L), 0 for padding at the end -> (N, windows x filters).

    The answer does not depend on the padding: a text is taken between as many empty words as the window reaches over
    its ends (the paper's code pads so), and windows that hold padding alone do not count.
    """

    def __init__(
        self,
        vocabulary: int,
        embedding: int,
        filters: int,
        windows: tuple[int, ...],
        embedding_dropout: float,
        word_dropout: float,
        dropout: float,
    ) -> None:
        super().__init__()
        self.out_features = filters * len(windows)
        self.embedding = token_vectors(vocabulary, embedding)
        self.words = nn.Dropout1d(word_dropout)
        self.values = nn.Dropout(embedding_dropout)
        self.reaches = tuple(size - 1 for size in windows)
        self.convolutions = nn.ModuleList(nn.Conv1d(embedding, filters, size) for size in windows)
        self.dropout = nn.Dropout(dropout)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Return features."""
        real = tokens != 0  # (N, L)
        embedded = self.values(self.words(self.embedding(tokens))) * real.unsqueeze(2)  # (N, L, E)
        embedded, count = embedded.transpose(1, 2), real.sum(dim=1, keepdim=True)  # (N, E, L), (N, 1)
        features = []
        for reach, convolution in zip(self.reaches, self.convolutions, strict=True):
            answers = torch.relu(convolution(F.pad(embedded, (reach, reach))))  # (N, filters, L + reach)
            position = torch.arange(answers.shape[2], device=tokens.device)
            answers = answers * (position < count + reach).unsqueeze(1)  # answers are never below 0
            features.append(answers.amax(dim=2))
        return self.dropout(torch.cat(features, dim=1))  # type: ignore[no-any-return]
