import json
from pathlib import Path

import numpy as np

from stages.data.read.interactions import Interactions, leave_last_out
from stages.dataset import Dataset
from stages.recipe import TrainConfig, use
from tests.contract.tasks.problem import Problem

USERS, ITEMS, EACH = 30, 40, 12
IDS = 7 * np.arange(ITEMS) + 5


def cycles() -> Dataset:
    """Users who take each item after the one before it, round and round, from where they like."""
    begins = np.random.default_rng(0).integers(ITEMS, size=USERS)
    items = IDS[(begins[:, None] + np.arange(EACH)) % ITEMS].reshape(-1)
    users = np.repeat(3 * np.arange(USERS) + 3, EACH)
    titles = {int(number): f"item {place}" for place, number in enumerate(IDS)}
    found = Interactions(users, items, np.tile(np.arange(EACH), USERS), titles)
    return leave_last_out(Path("cycles.csv"), found, "generated", longest=6, seed=0)


def right(result, data: Dataset) -> None:
    """The sample's last item was number 6; 4 and 5 were taken too."""
    assert result.items[0].id == IDS[7]
    assert result.items[0].title == "item 7"
    assert len(result.items) == 5
    assert not {item.id for item in result.items} & set(IDS[4:7].tolist())
    assert [item.score for item in result.items] == sorted((item.score for item in result.items), reverse=True)
    own = result.rank(IDS[[3, 7, 30]].tolist())
    assert own[0] == result.items[0]
    assert result.to_dict()["items"][0] == {"id": int(IDS[7]), "title": "item 7", "score": result.items[0].score}


PROBLEM = Problem(
    dataset=cycles,
    input=use("history"),
    model=use("caser", length=3, size=16, horizontal=8, dropout=0.0),
    task=use("recommend", k=5),
    train=TrainConfig(epochs=6, batch_size=16, lr=1e-2),
    sample=lambda _: {"user": 3, "recent": IDS[4:7].tolist()},
    file=lambda sample: json.dumps(sample).encode(),
    right=right,
    least={"hr_at_5": 0.9, "ndcg_at_5_of_sample": 0.9},
    edges=lambda _: [
        {},
        {"user": 999_999},
        {"recent": []},
        {"user": 0, "recent": [2**31 - 1]},
        {"user": 6, "recent": IDS.tolist()},
        {"user": 6, "recent": [*range(100_000, 112_000)]},
        [6, 5, 12],
        np.array([6, 0, 5, 12], np.int32),
    ],
    wrong=[
        ({"usr": 3}, "did you mean 'user'"),
        ({"user": "Ann"}, "user has 'Ann', expected whole numbers from 0"),
        ({"recent": [0]}, "recent has '0', expected whole numbers from 1"),
        ({"recent": 5}, "recent is int, expected a list"),
        (b"no JSON", "not a JSON file"),
        (np.array([[6, 5, 0]], np.int32), "0 is padding"),
    ],
    drawn=False,
)
