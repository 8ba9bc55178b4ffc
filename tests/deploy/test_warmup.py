import asyncio
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deploy import Predictor, providers, warmup
from deploy.arrays import Array
from deploy.errors import BundleError, UsageError
from deploy.providers import open_session
from deploy.warmup import MAX_ROWS, SLOWEST_S, Serving, measure
from tests.deploy.conftest import plain

ROW = {"x": np.zeros((1, 3), np.float32)}


class Clock:
    """`time.perf_counter` that runs only while a model does."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, fixed: float, each: float) -> None:
        self.now, self.fixed, self.each = 0.0, fixed, each
        self.sizes: list[int] = []
        monkeypatch.setattr(time, "perf_counter", lambda: self.now)

    def run(self, arrays: Mapping[str, Array]) -> None:
        self.sizes.append(len(arrays["x"]))
        self.now += self.fixed + self.each * len(arrays["x"])


def test_sizes_double_while_it_pays(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = measure(Clock(monkeypatch, fixed=0.004, each=0.001).run, ROW, 1)
    assert list(seconds) == [1, 2, 4, 8, 16, 32, 64]
    assert seconds[8] == pytest.approx(0.012)
    assert max(seconds) == MAX_ROWS


def test_a_model_that_gains_nothing_gets_small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch, fixed=0.0, each=0.03)
    assert list(measure(clock.run, ROW, 1)) == [1]
    assert max(clock.sizes) == 4


def test_no_batch_is_made_that_keeps_all_others_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch, fixed=0.4, each=0.01)
    assert max(measure(clock.run, ROW, 1).values()) <= SLOWEST_S
    slow = Clock(monkeypatch, fixed=3.0, each=0.0)
    assert list(measure(slow.run, ROW, 1)) == [1]


def test_the_work_around_short_batches_makes_them_larger(monkeypatch: pytest.MonkeyPatch) -> None:
    """A linear model gains nothing by batches itself, but their rows share the work around it."""
    assert max(measure(Clock(monkeypatch, fixed=0.0, each=2e-5).run, ROW, 1)) == 64
    assert max(measure(Clock(monkeypatch, fixed=0.0, each=1e-3).run, ROW, 1)) == 8  # until one takes SHORT_S


def test_all_lanes_are_measured_at_once() -> None:
    together, begun = threading.Barrier(3), set[int]()

    def run(_: Mapping[str, Array]) -> None:
        if threading.get_ident() not in begun:
            begun.add(threading.get_ident())
            together.wait(10)

    measure(run, ROW, 3, sizes=(1,))
    assert len(begun) == 3


def test_asked_for_sizes_are_the_sizes(colours: Path) -> None:
    with Predictor.load(colours) as predictor:
        batcher = predictor.warm_up(Serving(sizes=(4, 2), lanes=2))
        assert list(batcher.latency_s) == [2, 4]
        assert batcher.lanes == 2
        assert predictor.info.threads == 1


@pytest.mark.parametrize("narrow_is", ["faster", "slower"])
def test_the_faster_layout_is_kept(colours: Path, monkeypatch: pytest.MonkeyPatch, narrow_is: str) -> None:
    monkeypatch.setattr(warmup, "usable_cores", lambda: 2)
    monkeypatch.setattr(providers, "usable_cores", lambda: 2)
    per_lane = {1: 1.0, 2: 1.5 if narrow_is == "faster" else 2.5}  # seconds a row, by lanes
    monkeypatch.setattr(warmup, "measure", lambda run, row, lanes, sizes: {1: per_lane[lanes]})
    with Predictor.load(colours) as predictor:
        batcher = predictor.warm_up()
        expected = (2, 1) if narrow_is == "faster" else (1, 2)
        assert (batcher.lanes, predictor.info.threads) == expected
        assert predictor.predict(plain((255, 0, 0))).label == "red"


def test_threads_that_were_asked_for_are_kept(colours: Path) -> None:
    with Predictor.load(colours, threads=2) as predictor:
        assert predictor.warm_up().lanes == 1
        assert predictor.info.threads == 2


@pytest.mark.parametrize("mixed", [True, False])
def test_pictures_of_all_sizes_share_a_batch_if_they_may(colours: Path, mixed: bool) -> None:
    pictures = [plain((250, 10 * n, 20), 4 + n, 9) for n in range(8)]
    with Predictor.load(colours, threads=1) as predictor:
        batcher = predictor.warm_up(Serving(sizes=(1, 8), mixed=mixed))

        async def ask() -> list[Mapping[str, Array]]:
            return await asyncio.gather(*(batcher.run(predictor.arrays(picture)) for picture in pictures))

        answers = asyncio.run(ask())
        assert batcher.stats.batches == ({8: 1} if mixed else {1: 8})
        for answer, picture in zip(answers, pictures, strict=True):
            alone = predictor.infer(predictor.arrays(picture))
            assert np.array_equal(answer["class_index"], alone["class_index"])
            assert np.allclose(answer["probabilities"], alone["probabilities"], atol=1e-6)


def test_a_cut_that_gives_other_answers_is_refused(colours: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = open_session
    with Predictor.load(colours, threads=1) as predictor:
        other = np.full((1, 3), 1 / 3, np.float32)

        def crooked(*arguments: Any, **options: Any) -> Any:
            session = real(*arguments, **options)
            run = session.run
            if session.inputs[0].name == "preprocessed":
                object.__setattr__(session, "run", lambda arrays: run(arrays) | {"probabilities": other})
            return session

        monkeypatch.setattr("deploy.predictor.open_session", crooked)
        with pytest.raises(BundleError, match="golden samples"):
            predictor.warm_up()


@pytest.mark.parametrize(("lanes", "words"), [(0, "expected 1 or more, or auto")])
def test_what_is_no_number_of_lanes(colours: Path, lanes: int, words: str) -> None:
    with Predictor.load(colours) as predictor, pytest.raises(UsageError, match=words):
        predictor.warm_up(Serving(lanes=lanes))
