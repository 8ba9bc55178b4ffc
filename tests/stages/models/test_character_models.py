"""Networks over characters: a step at a time they answer as over whole texts, and nothing comes from behind."""

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from deploy.errors import UsageError
from stages.models.causal_cnn import causal_cnn
from stages.models.char_gru import char_gru

VOCABULARY = 30


def made(make: Any, **options: Any) -> nn.Module:
    torch.manual_seed(0)
    net: nn.Module = make(("length", VOCABULARY), **options)
    return net.double().eval()


NETS = {
    "causal_cnn": made(causal_cnn, channels=8, layers=3),
    "causal_cnn of two taps": made(causal_cnn, channels=6, layers=4, taps=2),
    "causal_cnn of one layer": made(causal_cnn, channels=4, layers=1, taps=5),
    "char_gru": made(char_gru, embedding=6, hidden=5),
    "char_gru of two layers": made(char_gru, embedding=6, hidden=5, layers=2),
}
TEXTS = st.integers(1, 24).flatmap(
    lambda length: st.lists(
        st.lists(st.integers(0, VOCABULARY - 1), min_size=length, max_size=length), min_size=1, max_size=3
    )
)


@pytest.mark.parametrize("name", NETS)
@settings(max_examples=25, deadline=None)
@given(texts=TEXTS)
@torch.inference_mode()
def test_steps_answer_as_the_whole_text(name: str, texts: list[list[int]]) -> None:
    net, tokens = NETS[name], torch.tensor(texts)
    whole, same = net(tokens)
    assert torch.equal(same, tokens)
    assert whole.shape == (*tokens.shape, net.out_features)
    state = torch.zeros(len(tokens), *net.state_shape, dtype=torch.float64)
    for place in range(tokens.shape[1]):
        features, after = net.step(tokens[:, place], state)
        assert after.shape == state.shape
        assert torch.allclose(features, whole[:, place], rtol=0, atol=1e-10)
        state = after


@pytest.mark.parametrize("name", NETS)
@torch.inference_mode()
def test_what_comes_later_changes_nothing_before(name: str) -> None:
    tokens = torch.randint(1, VOCABULARY, (2, 12), generator=torch.Generator().manual_seed(0))
    changed = tokens.clone()
    changed[:, 7:] = 3
    first, second = NETS[name](tokens)[0], NETS[name](changed)[0]
    assert torch.equal(first[:, :7], second[:, :7])
    assert not torch.allclose(first[:, 7:], second[:, 7:])


@torch.inference_mode()
def test_the_cnn_reaches_as_far_back_as_it_says() -> None:
    net, tokens = NETS["causal_cnn"], torch.full((1, 40), 5)
    reach = (3 - 1) * (2**3 - 1)
    assert net.state_shape == (8, reach)
    for back, seen in ((reach, True), (reach + 1, False)):
        changed = tokens.clone()
        changed[0, 39 - back] = 6
        assert (not torch.equal(net(changed)[0][0, 39], net(tokens)[0][0, 39])) is seen


def test_options_that_make_no_net_are_explained() -> None:
    with pytest.raises(UsageError, match="layers=3, taps=1, expected 1 and 2 or more"):
        causal_cnn(("length", 9), layers=3, taps=1)
    with pytest.raises(UsageError, match="layers is 0, expected 1 or more"):
        char_gru(("length", 9), layers=0)
