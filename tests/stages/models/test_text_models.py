"""Networks over tokens: the padding does not count, and what remains is what their papers compute."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from deploy.errors import UsageError
from stages.models.recurrent import Recurrent, gru, lstm
from stages.models.textcnn import textcnn

SHAPE = ("length", 30)


def made(make: Any, **options: Any) -> nn.Module:
    torch.manual_seed(0)
    net: nn.Module = make(SHAPE, embedding=8, **options)
    return net.eval()


NETS = {
    "textcnn": made(textcnn, filters=6, windows=(2, 3, 5)),
    "lstm max": made(lstm, hidden=5, layers=2),
    "lstm last": made(lstm, hidden=5, summary="last"),
    "gru max": made(gru, hidden=5),
    "gru last": made(gru, hidden=5, layers=2, summary="last"),
}
TEXTS = st.lists(st.lists(st.integers(1, 29), max_size=12), min_size=1, max_size=4)


def batch(texts: list[list[int]], length: int) -> torch.Tensor:
    return torch.tensor([text + [0] * (length - len(text)) for text in texts]).reshape(len(texts), length)


@pytest.mark.parametrize("name", NETS)
@given(texts=TEXTS, more=st.integers(0, 20))
def test_answers_do_not_depend_on_the_padding(name: str, texts: list[list[int]], more: int) -> None:
    net, longest = NETS[name], max(1, *(len(text) for text in texts))
    with torch.inference_mode():
        padded = net(batch(texts, longest + more))
        for text, features in zip(texts, padded, strict=True):
            alone = net(batch([text], max(1, len(text))))[0]
            assert torch.allclose(features, alone, atol=1e-6), (text, more)
    assert padded.isfinite().all()


def test_textcnn_takes_the_largest_answer_of_each_filter() -> None:
    net, text = NETS["textcnn"], torch.tensor([[4, 9, 2, 2, 17]])
    words = net.embedding(text).transpose(1, 2)
    expected = [
        F.conv1d(words, layer.weight, layer.bias, padding=layer.kernel_size[0] - 1).relu().amax(dim=2)
        for layer in net.convolutions
    ]
    assert torch.allclose(net(text), torch.cat(expected, dim=1), atol=1e-6)


def of_torch(net: Recurrent, cell: type[nn.LSTM] | type[nn.GRU]) -> nn.Module:
    """Torch's own bidirectional net of one layer, with the weights of ours."""
    both = cell(8, 5, batch_first=True, bidirectional=True)
    for name, weight in net.forwards[0].named_parameters():
        getattr(both, name).data.copy_(weight)
    for name, weight in net.backwards[0].named_parameters():
        getattr(both, f"{name}_reverse").data.copy_(weight)
    return both


@pytest.mark.parametrize(("make", "cell"), [(lstm, nn.LSTM), (gru, nn.GRU)])
@pytest.mark.parametrize("summary", ["max", "last"])
def test_recurrent_nets_are_torchs_over_packed_sequences(make: Any, cell: Any, summary: str) -> None:
    net = made(make, hidden=5, summary=summary)
    lengths = [7, 4, 1]
    tokens = batch([[3, 1, 4, 1, 5, 9, 2], [6, 5, 3, 5], [8]], 10)
    packed = pack_padded_sequence(net.embedding(tokens), lengths, batch_first=True)
    answers, last = of_torch(net, cell)(packed)
    if summary == "max":
        steps, _ = pad_packed_sequence(answers, batch_first=True, padding_value=-1.0)
        expected = steps.amax(dim=1)
    else:
        ends = last[0] if cell is nn.LSTM else last
        expected = torch.cat([ends[0], ends[1]], dim=1)
    assert torch.allclose(net(tokens), expected, atol=1e-6)


def test_word_dropout_leaves_out_whole_words() -> None:
    net = textcnn(SHAPE, embedding=8, word_dropout=0.5).train()
    words = net.words(torch.ones(4, 50, 8))
    kept = words.amax(dim=2) > 0
    assert torch.equal(kept, words.amin(dim=2) > 0)
    assert 0.2 < kept.float().mean() < 0.8


@pytest.mark.parametrize("make", [textcnn, lstm, gru])
def test_vectors_begin_small_and_that_of_padding_at_nothing(make: Any) -> None:
    vectors = make(SHAPE, embedding=64).embedding.weight
    assert not vectors[0].any()
    assert vectors[1:].abs().max() <= 0.25
    assert vectors[1:].std().item() == pytest.approx(0.5 / 12**0.5, rel=0.05)


def test_padding_learns_nothing() -> None:
    net = textcnn(SHAPE, embedding=8).train()
    net(batch([[3, 4], [5]], 6)).sum().backward()
    assert not net.embedding.weight.grad[0].any()
    assert net.embedding.weight.grad[3].any()


def test_options_that_make_no_net_are_explained() -> None:
    with pytest.raises(UsageError, match="windows is "):
        textcnn(SHAPE, windows=())
    with pytest.raises(UsageError, match="layers is 0, expected 1 or more"):
        lstm(SHAPE, layers=0)
