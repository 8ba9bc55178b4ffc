"""What `--grid` and `--search` say."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.errors import UsageError
from pipeline.space import Choices, Span, choices, grid, require_distinct, span


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("train.lr=0.1,0.01", ("0.1", "0.01")),
        ("train.lr=0.1", ("0.1",)),
        ("model=lenet5, lenet_numpy", ("lenet5", "lenet_numpy")),
        ("input.mean=[0.1,0.2],[0.3]", ("[0.1,0.2]", "[0.3]")),
        ('train.groups={"head": {"lr": 1, "momentum": 0}},{}', ('{"head": {"lr": 1, "momentum": 0}}', "{}")),
        ('data.path="a,b",c=d', ('"a,b"', "c=d")),
    ],
)
def test_values_of_a_grid(text: str, values: tuple[str, ...]) -> None:
    assert choices(text) == Choices(text.partition("=")[0], values)


@pytest.mark.parametrize("text", ["train.lr", "train.lr=", "=1", "train.lr=1,", "train.lr=,1", ""])
def test_what_is_no_grid(text: str) -> None:
    with pytest.raises(UsageError, match="expected KEY=VALUE,VALUE"):
        choices(text)


def test_a_value_that_is_there_twice() -> None:
    with pytest.raises(UsageError, match=r"0\.1 is there twice"):
        choices("train.lr=0.1,0.2,0.1")


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("train.lr=1e-4..0.1:log", Span("train.lr", 1e-4, 0.1, log=True, whole=False)),
        ("train.epochs=5..30", Span("train.epochs", 5, 30, log=False, whole=True)),
        ("train.epochs=1..64:log", Span("train.epochs", 1, 64, log=True, whole=True)),
        ("task.rotate_deg=0..12.5", Span("task.rotate_deg", 0, 12.5, log=False, whole=False)),
        ("k=-3..-1", Span("k", -3, -1, log=False, whole=True)),
    ],
)
def test_ranges(text: str, wanted: Span) -> None:
    assert span(text) == wanted


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("train.lr=0.1", "expected KEY=LOW..HIGH"),
        ("train.lr=a..b", "expected KEY=LOW..HIGH"),
        ("train.lr=0..inf", "expected KEY=LOW..HIGH"),
        ("train.lr=0..1:lin", "expected KEY=LOW..HIGH"),
        ("=0..1", "expected KEY=LOW..HIGH"),
        ("train.lr=1..1", "lower end first"),
        ("train.lr=2..1", "lower end first"),
        ("train.lr=0..1:log", "ends above 0"),
    ],
)
def test_what_is_no_range(text: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        span(text)


@given(st.lists(st.integers(1, 4), min_size=1, max_size=4))
def test_a_grid_is_every_combination_once(sizes: list[int]) -> None:
    axes = [Choices(f"k{i}", tuple(map(str, range(size)))) for i, size in enumerate(sizes)]
    points = grid(axes)
    total = 1
    for size in sizes:
        total *= size
    assert len(points) == len(set(points)) == total
    assert points[0] == tuple(f"k{i}=0" for i in range(len(sizes)))


def test_a_key_that_is_there_twice() -> None:
    with pytest.raises(UsageError, match=r"train\.lr: there twice"):
        require_distinct([Choices("train.lr", ("1",)), Span("train.lr", 0, 1, log=False, whole=False)])
