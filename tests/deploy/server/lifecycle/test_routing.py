import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.errors import UsageError
from deploy.server.lifecycle.routing import Share, choose

weights = st.floats(0, 1)


@given(weights, st.integers(0, 500), st.integers(1, 300))
def test_any_requests_in_a_row_are_shared_as_the_weight_says(weight: float, skipped: int, n: int) -> None:
    share = Share(weight)
    for _ in range(skipped):
        share.take()
    taken = sum(share.take() for _ in range(n))
    assert abs(taken - n * weight) < 1 + 1e-9


@given(st.lists(weights, min_size=1, max_size=5), st.integers(1, 300))
def test_several_shares_get_theirs_and_the_rest_gets_its_own(parts: list[float], n: int) -> None:
    total = max(1.0, sum(parts))
    shares = [Share(part / total) for part in parts]
    chosen = [choose(shares) for _ in range(n)]
    for share in shares:
        assert abs(chosen.count(share) - n * share.weight) < len(shares)
    rest = 1 - sum(share.weight for share in shares)
    assert abs(chosen.count(None) - n * rest) < len(shares)


def test_all_and_nothing() -> None:
    assert all(Share(1).take() for _ in range(3))
    nothing, everything = Share(0), Share(1)
    assert not any(nothing.take() for _ in range(100))
    assert all(everything.take() for _ in range(100))
    assert choose([]) is None


@pytest.mark.parametrize("weight", [-0.1, 1.1, float("nan")])
def test_a_share_is_a_part_of_the_whole(weight: float) -> None:
    with pytest.raises(UsageError, match="expected a number from 0 to 1"):
        Share(weight)
