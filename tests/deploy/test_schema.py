from dataclasses import dataclass, field
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.errors import UsageError
from deploy.schema import closest, from_plain, to_plain


@dataclass(frozen=True)
class Inner:
    size: int
    rate: float = 0.5
    mode: Literal["fast", "slow"] = "fast"


@dataclass(frozen=True)
class Outer:
    name: str
    inner: Inner
    many: tuple[Inner, ...] = ()
    pair: tuple[int, str] | None = None
    table: dict[str, float] = field(default_factory=dict)
    free: dict[str, Any] = field(default_factory=dict)


inners = st.builds(
    Inner, st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.sampled_from(["fast", "slow"])
)
outers = st.builds(
    Outer,
    st.text(),
    inners,
    st.lists(inners, max_size=3).map(tuple),
    st.none() | st.tuples(st.integers(), st.text()),
    st.dictionaries(st.text(), st.floats(allow_nan=False)),
)


@given(outers)
def test_there_and_back(value: Outer) -> None:
    assert from_plain(Outer, to_plain(value)) == value


PLAIN = {"name": "a", "inner": {"size": 1}}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"nmae": 1}, r"nmae: no such key; did you mean 'name'\? choose from"),
        ({"name": 1}, "name: expected str, got 1"),
        ({"inner": {}}, "inner.size: missing"),
        ({"inner": {"size": True}}, "inner.size: expected int, got True"),
        ({"inner": {"size": 1.0}}, "inner.size: expected int"),
        ({"inner": {"size": 1, "rate": "x"}}, "inner.rate: expected a number"),
        ({"inner": {"size": 1, "mode": "other"}}, "inner.mode: 'other' is not one of 'fast', 'slow'"),
        ({"inner": [1]}, "inner: expected a mapping"),
        ({"many": {}}, "many: expected a list"),
        ({"many": [{"size": 1}, {}]}, r"many\[1\].size: missing"),
        ({"pair": [1]}, "pair: expected"),
        ({"table": {"a": "b"}}, "table.a: expected a number"),
    ],
)
def test_errors_name_the_place(change: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        from_plain(Outer, PLAIN | change)


def test_an_integer_fits_a_float() -> None:
    built = from_plain(Inner, {"size": 1, "rate": 2})
    assert isinstance(built.rate, float)


def test_what_json_cannot_hold_is_a_type_error() -> None:
    with pytest.raises(TypeError, match="set has no JSON form"):
        to_plain({1})


def test_closest_without_a_near_name() -> None:
    assert closest("zzz", ["alpha", "beta"]) == "choose from: alpha, beta"
    assert closest("x", []) == "choose from: (none)"
