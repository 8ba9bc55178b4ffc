"""Intervals against those of scipy, and what must hold of any."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from pipeline.intervals import bootstrap, wilson


@given(st.integers(1, 20_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_is_scipys(counts: tuple[int, int]) -> None:
    right, rows = counts
    wanted = binomtest(right, rows).proportion_ci(method="wilson")
    assert wilson(right / rows, rows) == pytest.approx((wanted.low, wanted.high), abs=1e-6)


def test_nothing_seen_nothing_known() -> None:
    assert wilson(0.0, 0) == (0.0, 1.0)


def accuracy(outputs: Mapping[str, Any], targets: Any) -> float:
    return float((outputs["class_index"] == targets).mean())


def test_a_bootstrap_of_accuracy_is_about_wilsons() -> None:
    targets = np.zeros(2000, np.int64)
    decided = (np.arange(2000) % 10 == 0).astype(np.int64)
    low, high = bootstrap(accuracy, {"class_index": decided}, targets)
    assert (low, high) == pytest.approx(wilson(0.9, 2000), abs=0.004)
    assert bootstrap(accuracy, {"class_index": decided}, targets) == (low, high)


def test_of_a_slow_metric_fewer_resamples_are_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def metric(outputs: Mapping[str, np.ndarray], targets: np.ndarray) -> float:
        asked.append(len(targets))
        return float(targets.mean())

    monkeypatch.setattr("pipeline.intervals._SECONDS", 0.0)
    low, high = bootstrap(metric, {}, np.arange(50.0))
    assert len(asked) == 40
    assert low < 24.5 < high
