"""Time, counted in steps."""

from hypothesis import given
from hypothesis import strategies as st

from stages.verify.hunt.budget import Budget


class Clock:
    """A clock that work moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@given(st.floats(0, 100), st.lists(st.floats(0.01, 5), min_size=1, max_size=50))
def test_a_step_as_long_as_the_longest_so_far_always_fits(seconds: float, costs: list[float]) -> None:
    clock = Clock()
    longest = late = 0.0
    for step in Budget(seconds, clock).steps(len(costs)):
        late = max(0.0, costs[step] - longest)  # only a step longer than all before it can end too late
        longest = max(longest, costs[step])
        clock.now += costs[step]
    assert clock.now <= seconds + late + 1e-9


def test_steps_are_as_many_as_wanted_when_there_is_time() -> None:
    assert list(Budget(60).steps(5)) == [0, 1, 2, 3, 4]


def test_no_step_without_time() -> None:
    assert list(Budget(0).steps(5)) == []
    assert Budget(-1).left() == 0
    assert Budget(0).affords(1) == 0


def test_a_part_is_of_what_is_left() -> None:
    clock = Clock()
    budget = Budget(10, clock)
    clock.now = 4
    assert budget.part(0.5).left() == 3
    assert budget.affords(2) == 3
