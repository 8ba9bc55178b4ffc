"""Laws of the bounds: exactness against scipy, coverage, monotonicity, symmetry."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, binomtest

from stages.verify.statistics import mcnemar, paired_interval, rate_bound, rows_needed

COUNTS = st.integers(1, 5000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


@given(COUNTS)
def test_the_bound_is_scipys(counts: tuple[int, int]) -> None:
    events, trials = counts
    expected = binomtest(events, trials, alternative="less").proportion_ci(0.95, "exact").high
    assert rate_bound(events, trials) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("trials", [10, 359])
@pytest.mark.parametrize("rate", [0.001, 0.01, 0.2, 0.7])
def test_the_bound_covers_the_rate_at_least_as_often_as_it_says(trials: int, rate: float) -> None:
    events = np.arange(trials + 1)
    covered = np.array([rate_bound(int(k), trials) >= rate for k in events])
    assert binom.pmf(events, trials, rate)[covered].sum() >= 0.95


@given(COUNTS)
def test_the_bound_rises_with_events_and_falls_with_trials(counts: tuple[int, int]) -> None:
    events, trials = counts
    assert events / trials <= rate_bound(events, trials) <= 1
    assert rate_bound(events, trials + 1) <= rate_bound(events, trials)
    assert rate_bound(events, trials) <= rate_bound(events + 1, trials + 1)


def test_no_event_in_ten_thousand() -> None:
    assert 0.00029 < rate_bound(0, 10_000) < 0.0003
    assert rate_bound(0, 0) == 1


@given(st.floats(1e-4, 0.5), st.integers(0, 20))
def test_rows_needed_is_the_least_number_that_shows_the_rate(rate: float, events: int) -> None:
    needed = rows_needed(rate, events)
    assert rate_bound(events, needed) <= rate < rate_bound(events, needed - 1)


@pytest.mark.parametrize(("rate", "rows"), [(0.01, 299), (0.001, 2995), (0.0003, 9985)])
def test_rows_needed_without_events(rate: float, rows: int) -> None:
    assert rows_needed(rate) == rows


@pytest.mark.parametrize(("events", "trials"), [(-1, 5), (6, 5)])
def test_impossible_counts(events: int, trials: int) -> None:
    with pytest.raises(ValueError, match=f"{events} events in {trials} trials"):
        rate_bound(events, trials)


@pytest.mark.parametrize("rate", [0.0, 1.0])
def test_impossible_rates(rate: float) -> None:
    with pytest.raises(ValueError, match="rate"):
        rows_needed(rate)


@given(st.integers(0, 200), st.integers(0, 200))
def test_mcnemar_is_symmetric_and_scipys(gained: int, lost: int) -> None:
    assert mcnemar(gained, lost) == mcnemar(lost, gained)
    if gained + lost:
        assert mcnemar(gained, lost) == pytest.approx(binomtest(gained, gained + lost).pvalue, rel=1e-9)
    else:
        assert mcnemar(gained, lost) == 1


@given(st.integers(0, 50), st.integers(0, 50), st.integers(100, 1000))
def test_the_interval_holds_the_difference_and_turns_with_its_sign(gained: int, lost: int, rows: int) -> None:
    low, high = paired_interval(gained, lost, rows)
    assert -1 <= low <= (gained - lost) / rows <= high <= 1
    turned = paired_interval(lost, gained, rows)
    assert turned == pytest.approx((-high, -low), abs=4 / rows)
    assert paired_interval(gained, lost, rows) == (low, high)


def test_the_interval_of_no_difference_is_not_empty() -> None:
    low, high = paired_interval(0, 0, 359)
    assert low == -high
    assert high == pytest.approx(1 - 0.025 ** (1 / 359))
