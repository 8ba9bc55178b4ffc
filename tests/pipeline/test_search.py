"""Where a search looks next."""

import math
import sys

import pytest

from pipeline.search import MissingOptunaError, propose, require_optuna
from pipeline.space import Choices, Settings, Span

RATE = Span("train.lr", 1e-4, 0.1, log=True, whole=False)
EPOCHS = Span("train.epochs", 1, 6, log=False, whole=True)
MODEL = Choices("model", ("lenet5", "lenet_numpy"))
AXES = (RATE, EPOCHS, MODEL)


def search(score_of: dict[str, float], trials: int) -> dict[Settings, float | None]:
    tried: dict[Settings, float | None] = {}
    for _ in range(trials):
        point = propose(AXES, tried)
        assert point is not None
        assert point not in tried
        rate = float(point[0].partition("=")[2])
        tried[point] = -abs(math.log10(rate) + 2) + score_of[point[2].partition("=")[2]]
    return tried


def test_points_lie_in_their_ranges_and_get_better() -> None:
    tried = search({"lenet5": 0.0, "lenet_numpy": -1.0}, 30)
    for rate, epochs, model in tried:
        assert 1e-4 <= float(rate.removeprefix("train.lr=")) <= 0.1
        assert epochs.removeprefix("train.epochs=") in "123456"
        assert model in ("model=lenet5", "model=lenet_numpy")
    scores = [score for score in tried.values() if score is not None]
    assert sum(scores[20:]) / 10 > sum(scores[:10]) / 10
    assert max(scores) > -0.15


def test_the_same_past_gives_the_same_proposal() -> None:
    tried = search({"lenet5": 0.0, "lenet_numpy": 0.0}, 4)
    assert propose(AXES, tried) == propose(AXES, dict(tried))


def test_failed_points_are_no_reason_to_stop() -> None:
    tried: dict[Settings, float | None] = {("train.lr=0.01", "train.epochs=2", "model=lenet5"): None}
    point = propose(AXES, tried)
    assert point is not None
    assert point not in tried


def test_when_all_was_tried_there_is_nothing_to_propose() -> None:
    tried: dict[Settings, float | None] = {(f"model={name}",): 0.5 for name in MODEL.values}
    assert propose([MODEL], tried) is None


def test_without_optuna_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(MissingOptunaError, match=r"pip install 'onnxway\[sweep\]'"):
        require_optuna()
