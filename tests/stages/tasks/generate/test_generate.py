"""The task on whole poems: what is foretold, what it costs, what augmentation leaves."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812

from deploy.errors import UsageError
from deploy.quatrain import STOPS, encode
from stages.dataset import TEXT, DataInfo
from stages.deployed import deployed
from stages.graph import Graph
from stages.inputs.text import text
from stages.models.causal_cnn import causal_cnn
from stages.tasks.generate.task import PLACES, Generate, NextCharacter, generate

LETTERS = "天地玄黃宇宙洪荒日月"
INFO = DataInfo("poems", TEXT, (), "0" * 64, "none", alphabet="\x05\x07\n" + STOPS + LETTERS)
POEMS = [encode("天", LETTERS * 2, 5), encode("", (LETTERS * 3)[:28], 7)]
RAW = torch.tensor([row + [0] * (40 - len(row)) for row in POEMS], dtype=torch.int32)
TARGETS = torch.tensor([20, 28])


@pytest.fixture
def parts() -> tuple[torch.nn.Module, torch.nn.Module, NextCharacter]:
    torch.manual_seed(0)
    pre = text(INFO, lowercase=False)
    net = causal_cnn(pre.preprocessed_shape, channels=8, layers=2, dropout=0.0, embedding_dropout=0.0)
    return pre, net, generate(INFO).head_for(net)


def test_nats_are_those_of_the_letters_by_their_place(
    parts: tuple[torch.nn.Module, torch.nn.Module, NextCharacter],
) -> None:
    pre, net, head = parts
    nats = head(net(pre(RAW)))
    assert nats.shape == (2, PLACES)
    assert not nats[0, 20:].any()
    for row, points in enumerate(POEMS):
        tokens = pre(RAW[row : row + 1])
        logits = head.logits(net(tokens)[0])[0]
        places = [place for place, point in enumerate(points) if chr(point) in LETTERS]
        places = [place for place in places if place > points.index(ord("\n"))]  # not those of the title
        expected = [F.cross_entropy(logits[place - 1], tokens[0, place]) for place in places]
        assert torch.allclose(nats[row, : len(places)], torch.stack(expected), atol=1e-5)
        assert len(places) == TARGETS[row]


def test_the_loss_is_the_mean_over_letters_and_its_vectors_are_the_nets(
    parts: tuple[torch.nn.Module, torch.nn.Module, NextCharacter],
) -> None:
    pre, net, head = parts
    task = generate(INFO)
    scores = head(net(pre(RAW)))
    assert task.loss(scores, TARGETS).item() == pytest.approx(scores.sum().item() / 48)
    assert head.weight is net.embedding.weight
    metrics = task.metrics({"nats": scores.detach().numpy()}, TARGETS.numpy())
    assert metrics["log_likelihood"] == pytest.approx(-scores.sum().item() / 48)
    assert metrics["perplexity"] == pytest.approx(np.exp(scores.sum().item() / 48), rel=1e-5)
    assert metrics["perplexity_7"] == pytest.approx(np.exp(scores[1].sum().item() / 28), rel=1e-5)
    assert task.primary in metrics


def test_smoothing_is_of_training_alone(parts: tuple[torch.nn.Module, torch.nn.Module, NextCharacter]) -> None:
    pre, net, head = parts
    smooth = generate(INFO, smoothing=0.3).head_for(net)
    smooth.load_state_dict(head.state_dict())
    features = net(pre(RAW))
    assert torch.equal(smooth.eval()(features), head.eval()(features))
    assert not torch.allclose(smooth.train()(features), head(features))


def test_poems_lose_their_title_and_nothing_else() -> None:
    task = generate(INFO, untitled=0.5)
    rows = RAW[:1].repeat(200, 1)
    found, targets = task.augment(rows, TARGETS[:1].repeat(200), torch.Generator().manual_seed(0))
    untitled = encode("", LETTERS * 2, 5)
    without = torch.tensor(untitled + [0] * (40 - len(untitled)), dtype=torch.int32)
    bare = (found == without).all(dim=1)
    assert ((found == rows).all(dim=1) ^ bare).all()
    assert 60 < bare.sum() < 140
    assert targets.eq(20).all()
    for share, changed in ((0.0, False), (1.0, True)):
        moved, _ = generate(INFO, untitled=share).augment(RAW, TARGETS, torch.Generator())
        assert (not torch.equal(moved, RAW)) is changed
        assert torch.equal(moved[1], RAW[1])  # it has none


def test_poems_are_well_formed_or_not() -> None:
    task: Generate = generate(INFO)
    verse = np.array([[*map(ord, LETTERS * 2), *[0] * 8], [*map(ord, (LETTERS * 3)[:28])]], np.int32)
    outputs = {"nats": np.ones((2, PLACES), np.float32), "verse": verse}
    assert task.metrics(outputs, TARGETS.numpy())["well_formed"] == 1
    for fault in (0, ord("，"), ord("龍"), ord("\x05")):  # too short, a mark, not of the alphabet, a form
        broken = verse.copy()
        broken[0, 19] = fault
        assert task.metrics(outputs | {"verse": broken}, TARGETS.numpy())["well_formed"] == 0.5


def test_an_input_that_numbers_characters_otherwise_is_found_out() -> None:
    pre = text(INFO, alphabet=LETTERS + INFO.alphabet, lowercase=False)
    graph = Graph(pre, causal_cnn(pre.preprocessed_shape, channels=8, layers=1), generate(INFO))
    with pytest.raises(UsageError, match=r"numbers characters otherwise.*leave input\.alphabet out"):
        deployed(graph)


def test_options_and_data_that_make_no_task_are_explained() -> None:
    with pytest.raises(UsageError, match=r"untitled=2, smoothing=0: expected 0 to 1"):
        generate(INFO, untitled=2)
    with pytest.raises(UsageError, match=r"has no '\\n' in its alphabet.*use data=quatrains"):
        generate(DataInfo("reviews", TEXT, (), "", "", alphabet="abc"))
