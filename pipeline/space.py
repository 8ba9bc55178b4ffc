"""What a sweep goes through: values to choose from (`--grid`), ranges to search in (`--search`)."""

import itertools
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from deploy.errors import UsageError

_WHOLE = re.compile(r"-?\d+")

Settings = tuple[str, ...]
"""One point: settings as `--set` takes them."""


@dataclass(frozen=True)
class Choices:
    """A key and the values it may have, as text."""

    key: str
    values: tuple[str, ...]


@dataclass(frozen=True)
class Span:
    """A key and the range of numbers it may have, ends included; `whole` numbers only, `log`: even in logarithms."""

    key: str
    low: float
    high: float
    log: bool
    whole: bool


def choices(text: str) -> Choices:
    """Read `KEY=a,b,c`; a comma inside quotes or brackets belongs to a value. Raises `UsageError`."""
    key, _, listed = text.partition("=")
    values = _split(listed)
    if not key or not all(values):
        raise UsageError(f"--grid {text!r}: expected KEY=VALUE,VALUE,..., for example train.lr=0.1,0.01")
    twice = [value for place, value in enumerate(values) if value in values[:place]]
    if twice:
        raise UsageError(f"--grid {text!r}: {twice[0]} is there twice; give each value once")
    return Choices(key, values)


def span(text: str) -> Span:
    """Read `KEY=LOW..HIGH` or `KEY=LOW..HIGH:log`; two whole numbers are a range of whole numbers. `UsageError`."""
    key, _, words = text.partition("=")
    low, dots, rest = words.partition("..")
    high, colon, scale = rest.partition(":")
    ends = [_number(low), _number(high)]
    if not (key and dots) or None in ends or (colon and scale != "log"):
        raise UsageError(
            f"--search {text!r}: expected KEY=LOW..HIGH or KEY=LOW..HIGH:log, for example train.lr=1e-4..0.1:log"
        )
    found = Span(key, float(low), float(high), bool(colon), all(_WHOLE.fullmatch(end) for end in (low, high)))
    if found.low >= found.high:
        raise UsageError(f"--search {text!r}: expected the lower end first, got {low} and {high}")
    if found.log and found.low <= 0:
        raise UsageError(f"--search {text!r}: on a scale of logarithms expected ends above 0, got {low}")
    return found


def _split(text: str) -> tuple[str, ...]:
    """Return the parts of a text between the commas that stand neither in quotes nor in brackets."""
    parts, depth, quoted = [""], 0, False
    for letter in text:
        quoted ^= letter == '"'
        if not quoted:
            depth += (letter in "[{") - (letter in "]}")
        if letter == "," and not quoted and not depth:
            parts.append("")
        else:
            parts[-1] += letter
    return tuple(part.strip() for part in parts)


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def grid(axes: Sequence[Choices]) -> list[Settings]:
    """Return every combination, the last key changing fastest."""
    pairs = ([f"{axis.key}={value}" for value in axis.values] for axis in axes)
    return [tuple(point) for point in itertools.product(*pairs)]


def require_distinct(axes: Sequence[Choices | Span]) -> None:
    """Raise `UsageError` for a key that is there twice."""
    keys = [axis.key for axis in axes]
    for key in keys:
        if keys.count(key) > 1:
            raise UsageError(f"{key}: there twice; give all its values at once: --grid {key}=a,b")
