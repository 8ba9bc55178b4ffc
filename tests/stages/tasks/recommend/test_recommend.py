"""Lists of items: what is in them, how they are measured, what they are taught by, and how near other lists are."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from deploy.errors import UsageError
from stages import discover
from stages.dataset import DataInfo
from stages.recipe import use
from stages.tasks.recommend.margins import margins
from stages.tasks.recommend.measures import gains, listed, ranks
from stages.tasks.recommend.ranking import Best, Prior
from stages.tasks.recommend.task import Recommend, recommend

IDS = (3, 5, 8, 13)
INFO = DataInfo(
    "d", ("ids",), ("a", "b", "c", "d"), "0" * 64, "none", counts=(9, 0, 4, 1), ids={"users": (1, 2), "items": IDS}
)


def answered(scores: list[list[float]], taken: list[list[int]], k: int = 2) -> dict[str, np.ndarray]:
    parts = Best(IDS, k)((torch.tensor(scores), torch.tensor(taken)))
    return {name: part.numpy() for name, part in zip(("items", "scores", "all_scores"), parts, strict=True)}


def task(**options: float) -> Recommend:
    return recommend(INFO, **{"k": 2, **options})  # type: ignore[arg-type]


def test_what_was_taken_is_in_no_list() -> None:
    outputs = answered([[4.0, 3.0, 2.0, 1.0]] * 3, [[0, 0], [1, 3], [1, 1]])
    assert outputs["items"].tolist() == [[3, 5], [5, 13], [5, 8]]
    assert outputs["scores"].tolist() == [[4, 3], [3, 1], [3, 2]]
    assert outputs["all_scores"].tolist() == [[4, 3, 2, 1]] * 3


def test_lists_end_where_nothing_is_left() -> None:
    outputs = answered([[-4.0, -3.0, -2.0, -1.0]] * 2, [[1, 2, 3, 0], [1, 2, 3, 4]])
    assert outputs["items"].tolist() == [[13, 0], [0, 0]]
    assert outputs["scores"].tolist() == [[-1, 0], [0, 0]]


def test_of_somebody_unknown_the_list_is_what_most_took() -> None:
    head = Prior(INFO.counts).eval()
    scores, items = head((torch.zeros(1, 4), torch.zeros(1, 1, dtype=torch.int64)))
    assert Best(IDS, 4)((scores, items))[0].tolist() == [[3, 8, 13, 5]]
    torch.testing.assert_close(scores[0], torch.tensor(INFO.counts).add(0.5).log())


@pytest.mark.parametrize("name", ["caser", "convncf", "matrix_factorisation"])
def test_networks_ask_in_training_what_they_answer_afterwards(name: str) -> None:
    torch.manual_seed(0)
    net = discover.call("models", use(name), ("ids", 2, 4)).eval()
    head = Prior(INFO.counts)
    history = torch.tensor([[1, 0, 2, 4], [2, 1, 3, 2], [0, 0, 0, 1]])
    with torch.inference_mode():
        torch.nn.init.normal_(head.learnt)
        after = head.eval()(net(history))[0]
        for module in (*net.modules(), head):
            module.training = isinstance(module, type(net) | Prior)  # and no dropout
        wanted = torch.tensor([4, 1, 4])
        during = head(net(torch.cat([history, wanted[:, None]], dim=1)))[0]
    torch.testing.assert_close(during, after[:, wanted - 1])


@pytest.mark.parametrize("name", ["caser", "convncf", "matrix_factorisation"])
def test_padding_and_order_count_as_they_should(name: str) -> None:
    torch.manual_seed(0)
    net = discover.call("models", use(name), ("ids", 2, 4)).eval()
    history = torch.tensor([[1, 0, 2, 4], [2, 1, 3, 2], [0, 0, 0, 0]])
    longer = torch.cat([history[:, :1], torch.zeros(3, 40, dtype=torch.int64), history[:, 1:]], dim=1)
    turned = torch.cat([history[:, :1], history[:, 1:].flip(1)], dim=1)
    with torch.inference_mode():
        answers, padded, other = (net(rows)[0] for rows in (history, longer, turned))
    torch.testing.assert_close(answers, padded)
    assert torch.allclose(answers, other, atol=1e-6) == (name != "caser")


def test_the_loss_is_least_where_scores_are_log_probabilities() -> None:
    """Items drawn as often as they are taken do not bias what is learnt: the loss wants the true odds."""
    generator = torch.Generator().manual_seed(0)
    odds = torch.tensor([0.5, 0.05, 0.3, 0.15])
    info = dataclasses.replace(INFO, counts=tuple((odds * 100_000).int().tolist()))
    task = recommend(info, k=2)
    targets = torch.multinomial(odds, 20_000, replacement=True, generator=generator)
    learnt = torch.zeros(4, requires_grad=True)
    optimizer = torch.optim.Adam([learnt], lr=0.05)
    for rows in targets.split(64):
        optimizer.zero_grad()
        task.loss((learnt[rows].expand(len(rows), -1), torch.zeros(1)), rows).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    found = learnt.detach().softmax(0)
    assert (found - odds).abs().max() < 0.06


def test_rows_end_with_what_came_next_and_some_are_nobodys() -> None:
    raw = torch.tensor([[7, 0, 5]] * 1000, dtype=torch.int32)
    targets = torch.arange(1000) % 4
    found, same = task(forget=0.25).augment(raw, targets, torch.Generator().manual_seed(0))
    assert same is targets
    assert found.dtype == torch.int32
    assert found[:, 1:].tolist() == [[0, 5, IDS[target]] for target in targets.tolist()]
    assert set(found[:, 0].tolist()) == {0, 7}
    assert 200 < (found[:, 0] == 0).sum() < 300
    everybody, _ = task(forget=0.0).augment(raw, targets, torch.Generator())
    assert (everybody[:, 0] == 7).all()


def test_figures_are_those_of_the_lists() -> None:
    outputs = answered([[4.0, 3.0, 2.0, 1.0], [4.0, 3.0, 2.0, 1.0]], [[1], [0]])
    targets = np.array([[2, 1, 3], [3, 0, 2]])  # the ids 8 and 13: second of the first list, not in the other
    figures = task().metrics(outputs, targets)
    assert figures["hr_at_2"] == 0.5
    assert figures["ndcg_at_2"] == pytest.approx(0.5 / math.log2(3))
    assert figures["hr_at_2_of_sample"] == 0.5  # ranks 1 and 2
    assert figures["hr_at_2_of_sample_by_popularity"] == 0.5  # counts 4 of (4, 0, 1): rank 0; 1 of (1, 9, 4): rank 2
    assert figures["coverage"] == 3 / 4
    assert task().primary in figures
    assert task().metrics(outputs, targets[:, 0])["hr_at_2"] == 0.5


def test_ranks_count_half_of_what_is_equal() -> None:
    scores = np.array([[1.0, 1.0, 1.0, 0.0]] * 2)
    assert ranks(scores, np.array([[0, 1, 2, 3], [3, 0, 1, 2]])).tolist() == [1.0, 3.0]
    assert listed(np.array([[5, 3], [8, 13]]), np.array([3, 5])).tolist() == [1, math.inf]
    assert gains(np.array([0, 1, 2, math.inf]), 2).tolist() == pytest.approx([1, 1 / math.log2(3), 0, 0])


@given(st.lists(st.integers(-20, 20), min_size=4, max_size=4), st.sets(st.integers(1, 4)), st.integers(1, 4))
def test_no_change_below_the_margin_changes_a_rank(scores: list[int], taken: set[int], k: int) -> None:
    places = [[*taken, 0]]
    outputs = answered([[float(score) for score in scores]], places, k)
    found = margins(outputs, np.array(IDS))
    assert found.shape == (1, k)
    assert (found >= 0).all()
    assert np.isfinite(found).all()
    for sign in np.array(np.meshgrid(*[(-1, 1)] * 4)).reshape(4, -1).T:
        for rank in range(k):
            moved = np.array(scores) + 0.49 * found[0, rank] * sign
            assert answered([moved.tolist()], places, k)["items"][0, rank] == outputs["items"][0, rank]


def test_the_margin_of_the_last_rank_is_that_to_the_next_item() -> None:
    outputs = answered([[4.0, 3.0, 2.5, 1.0]], [[0]])
    assert task().decide(outputs)[0].tolist() == [[3, 5]]
    assert task().decide(outputs)[1].tolist() == [[1.0, 0.5]]


@pytest.mark.parametrize(
    ("change", "options", "words"),
    [
        ({"ids": {}}, {}, "names no users and items"),
        ({}, {"k": 5}, "'k' is 5, expected 1 to 4"),
        ({}, {"k": 0}, "'k' is 0"),
        ({}, {"forget": 1.0}, "'forget' is 1, expected in"),
    ],
)
def test_what_cannot_be_is_refused_in_words(change: dict[str, object], options: dict[str, float], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        recommend(dataclasses.replace(INFO, **change), **{"k": 2, **options})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("component", "words"),
    [
        (use("convncf", size=12), "size is 12 and kernel 4, expected a power"),
        (use("convncf", size=1, kernel=1), "expected a power"),
        (use("convncf", channels=0), "channels is 0"),
        (use("caser", length=0), "1 or more"),
    ],
)
def test_networks_that_cannot_be_are_refused_in_words(component: object, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        discover.call("models", component, ("ids", 2, 4))  # type: ignore[arg-type]
