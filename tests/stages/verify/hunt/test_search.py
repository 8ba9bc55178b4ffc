"""Laws of all searches: scores never fall, inputs stay inputs, the same again gives the same."""

import time
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from stages.verify.hunt.budget import Budget
from stages.verify.hunt.found import Found
from stages.verify.hunt.search import Effort, Quarry, search
from stages.verify.material import count
from stages.verify.reference import Transparent

KINDS = ["activations", "margins", "divergence", "answers"]
SHORT = Effort(seeds=8, starts=1, steps=15, rounds=15)


@pytest.fixture(scope="module")
def found(quarry: Quarry) -> list[Found]:
    return list(search(quarry, Budget(60), SHORT))


def test_every_kind_of_search_runs(found: list[Found]) -> None:
    assert list(dict.fromkeys(part.kind for part in found)) == KINDS


@pytest.mark.parametrize("kind", KINDS)
def test_scores_never_fall_and_the_best_rises(found: list[Found], kind: str) -> None:
    parts = [part for part in found if part.kind == kind]
    assert all((part.after >= part.before).all() for part in parts)
    assert max(part.after.max() for part in parts) > max(part.before.max() for part in parts)
    assert all(len(part.what) == count(part.feeds) == len(part.after) for part in parts)


def test_what_is_found_can_be_fed(found: list[Found]) -> None:
    for part in found:
        assert part.feeds["image"].dtype == np.uint8
        assert part.feeds["image"].shape[1:] == (32, 24, 3)


def test_the_same_search_finds_the_same(found: list[Found], quarry: Quarry) -> None:
    again = list(search(quarry, Budget(60), SHORT))
    for one, other in zip(found, again, strict=True):
        assert np.array_equal(one.feeds["image"], other.feeds["image"])
        assert np.array_equal(one.after, other.after)


def test_another_seed_evolves_otherwise(found: list[Found], quarry: Quarry) -> None:
    other = list(search(quarry, Budget(60), SHORT, seed=1))
    assert not np.array_equal(found[-1].feeds["image"], other[-1].feeds["image"])


def test_the_budget_is_kept(quarry: Quarry) -> None:
    begun = time.monotonic()
    found = list(search(quarry, Budget(1.0), Effort(seeds=16, steps=10_000, rounds=10_000)))
    assert time.monotonic() - begun < 2.0
    assert 0 < sum(part.steps for part in found) < 10_000


def test_without_time_the_seeds_come_back(quarry: Quarry) -> None:
    for part in search(quarry, Budget(0), SHORT):
        assert np.array_equal(part.before, part.after)
        assert part.steps == 0


def test_a_reference_without_gradients_is_hunted_by_evolution(quarry: Quarry, opaque: Any) -> None:
    assert not isinstance(opaque, Transparent)
    found = list(search(replace(quarry, reference=opaque), Budget(60), SHORT))
    assert [part.kind for part in found] == KINDS[1:]
    assert all(part.after.max() > part.before.max() for part in found)


def test_the_model_on_trial_may_answer_rubbish(quarry: Quarry) -> None:
    def nothing(feeds: Any) -> Any:
        return {"probabilities": np.zeros((1, 9), np.float32), "class_index": np.zeros(1, np.int64)}

    def nan(feeds: Any) -> Any:
        return {"probabilities": np.full((count(feeds), 4), np.nan, np.float32)}

    for rubbish in (nothing, nan):
        *_, answers = search(replace(quarry, answer=rubbish), Budget(60), SHORT)
        assert np.isinf(answers.after).all()


def test_the_best_rows_of_a_search(found: list[Found]) -> None:
    best = found[0].best(3)
    assert best.after.tolist() == sorted(found[0].after, reverse=True)[:3]
    assert count(best.feeds) == len(best.what) == 3
    assert len(found[0].layers) > 5
    assert not found[-1].layers
