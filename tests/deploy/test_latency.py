import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.latency import MARGIN, LatencyTable

tables = st.builds(
    LatencyTable,
    st.dictionaries(st.integers(1, 16), st.floats(1e-4, 1.0), min_size=1),
    fixed=st.booleans(),
)


def test_between_buckets_it_interpolates() -> None:
    table = LatencyTable({1: 1.0, 4: 4.0, 8: 6.0})
    assert [table.predict(rows) for rows in (1, 2, 4, 6, 8)] == [1, 2, 4, 5, 6]
    assert table.padded(6) == 6
    assert LatencyTable({4: 4.0}).predict(1) == 4


def test_fixed_sizes_are_padded_to() -> None:
    table = LatencyTable({1: 1.0, 4: 2.0}, fixed=True)
    assert [table.padded(rows) for rows in (1, 2, 4)] == [1, 4, 4]
    assert [table.predict(rows) for rows in (1, 2, 4)] == [1, 2, 2]


def test_it_pads_or_splits_by_what_is_faster() -> None:
    cheap_padding = LatencyTable({1: 1.0, 4: 2.0, 8: 2.5}, fixed=True)
    assert cheap_padding.best(5) == 5  # padded to 8: 2.5, against 2 + 1
    dear_padding = LatencyTable({1: 1.0, 4: 2.0, 8: 5.0}, fixed=True)
    assert dear_padding.best(5) == 4  # and 1 after it: 3, against 5
    assert dear_padding.total(5) == 3
    assert dear_padding.best(8) == 4
    assert dear_padding.best(1000) == 4
    barely_dear = LatencyTable({1: 1.0, 4: 2.0, 8: 4.1}, fixed=True)
    assert barely_dear.best(8) == 8


@given(tables, st.integers(1, 60))
def test_no_single_split_is_faster_than_the_plan(table: LatencyTable, rows: int) -> None:
    first = table.best(rows)
    assert 1 <= first <= min(rows, table.max_rows)
    if rows <= table.max_rows:
        assert table.total(rows) <= table.predict(rows)
        assert math.isclose(table.total(rows), table.predict(first) + table.total(rows - first))
        splits = [table.predict(size) + table.total(rows - size) for size in table.seconds if size < rows]
        assert all((1 - MARGIN) * table.total(rows) <= split for split in splits)
    assert table.total(rows + table.max_rows) == pytest.approx(table.total(rows) + table.total(table.max_rows))


@given(tables, st.data())
def test_it_learns_what_batches_take(table: LatencyTable, data: st.DataObject) -> None:
    rows = data.draw(st.integers(1, table.max_rows))
    truth = data.draw(st.floats(1e-4, 1.0))
    for _ in range(300):
        table.observe(rows, truth)
    assert table.predict(rows) == pytest.approx(truth, rel=0.01)


def test_one_stall_moves_it_little() -> None:
    table = LatencyTable({1: 0.001, 8: 0.004})
    table.observe(8, 5.0)
    assert table.predict(8) == pytest.approx(0.0044)
    assert table.predict(1) == 0.001


def test_plans_follow_what_was_learnt() -> None:
    table = LatencyTable({1: 1.0, 4: 2.0, 8: 3.0})
    assert table.best(8) == 8
    for _ in range(50):
        table.observe(8, 6.0)
    assert table.best(8) == 4


def test_a_size_that_looked_slow_once_is_tried_again() -> None:
    table = LatencyTable({1: 1.0, 4: 2.0, 8: 3.0})
    for _ in range(10):
        table.observe(8, 6.0)
    assert table.best(8) == 4
    for _ in range(100):  # 8 is not used meanwhile
        table.observe(4, 2.0)
    assert table.best(8) == 8
    assert table.predict(8) == pytest.approx(3.0, rel=0.2)


@pytest.mark.parametrize("seconds", [{}, {0: 1.0}, {1: 0.0}])
def test_what_is_no_table(seconds: dict[int, float]) -> None:
    with pytest.raises(ValueError, match="expected seconds above 0"):
        LatencyTable(seconds)
