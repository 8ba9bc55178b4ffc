"""JSON with long lists of numbers in it, fast and strictly.

Lists of numbers over `PIECE` bytes are cut out of the text before the rest is parsed, and read later, when shape and
dtype are known, a piece at a time: a whole list would be parsed by one call that holds the interpreter's lock, and an
event loop on another thread would stand still so long.
"""

import array
import contextlib
import json
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from math import prod
from typing import Any

import numpy as np
import orjson

from deploy.arrays import Array
from deploy.errors import InputError, TooLargeError

PIECE = 64 * 2**10
"""Bytes of JSON that one call parses: some 0.2 ms."""

MAX_OUTLINE = 2**20
"""Bytes of JSON besides its long lists of numbers."""

MAX_AXES = 8
"""Lists in lists deeper than this are no tensor."""

_NUMBERS = 4096
"""Numbers that one call writes: some 0.1 ms."""

_JSON_TYPES: dict[str, set[type]] = {"b": {bool}, "i": {int}, "u": {int}, "f": {int, float}}
"""What JSON numbers may be for each kind of dtype: 1.0 is no whole number, true is no number."""

_MARK = secrets.token_hex(8)  # stands for a list that was cut out; a client cannot guess it
_MARKS = b"[], "
_BLANK = bytes.maketrans(b"[]", b"  ")
_NO_STRUCTURE = bytes(set(range(256)) - set(b"[],"))


@dataclass(frozen=True)
class Numbers:
    """The text of one long list, flat or nested, brackets included."""

    text: bytes


@dataclass(frozen=True)
class Document:
    """A parsed text; where a long list was, `value` holds a mark that `resolve` exchanges for the list's text."""

    value: Any
    lists: Mapping[str, Numbers] = field(default_factory=dict)
    booleans: bool = True
    """Whether there may be any."""

    def resolve(self, item: object) -> object:
        """Return the `Numbers` for a mark, and anything else as it is."""
        return self.lists.get(item, item) if self.lists and isinstance(item, str) else item


def parse(text: bytes, *, numbers: bool = True) -> Document:
    """Parse JSON (and NaN, Infinity, -Infinity, as Python's and Triton's clients write them); `InputError`.

    numbers    there may be long lists of them; without, brackets in long strings are no lists
    """
    if len(text) <= PIECE:
        return Document(_loads(text), booleans=b"true" in text or b"false" in text)
    outline, lists = _cut(text) if numbers else (text, {})
    if len(outline) > MAX_OUTLINE:
        raise TooLargeError(
            f"the JSON is over {MAX_OUTLINE} bytes besides its lists of numbers, which is the limit; send a smaller one"
        )
    return Document(_loads(outline), lists)


def _cut(text: bytes) -> tuple[bytes, dict[str, Numbers]]:
    """Return the text with a mark for each long list, and the lists; in a time that grows with the text alone."""
    parts: list[bytes] = []
    lists: dict[str, Numbers] = {}
    done = at = 0
    while (start := text.find(b"[", at)) >= 0:
        quote = text.find(b'"', start)
        end = quote if quote >= 0 else len(text)
        brace = text.find(b"}", start, end)
        at = end = brace if brace >= 0 else end
        if end - start <= PIECE:
            continue
        found = text[start:end].rstrip(b", \t\r\n")
        if not found.endswith(b"]"):
            what = "a string or an object" if end < len(text) else "no end"
            raise InputError(f"the body is not JSON of tensors: the list at byte {start} has {what} in it")
        mark = f"{_MARK}{len(lists)}"
        lists[mark] = Numbers(found)
        parts += [text[done:start], b'"', mark.encode(), b'"']
        done = start + len(found)
    return b"".join([*parts, text[done:]]), lists


def _loads(text: bytes) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        reason = str(error)
    if b"NaN" in text or b"Infinity" in text:
        try:
            return json.loads(text)
        except (ValueError, RecursionError) as error:
            reason = str(error)
    raise InputError(f"the body is not JSON: {reason}") from None


def shape_of(data: object) -> tuple[int, ...]:
    """Return the sizes that a nested list seems to have, by the first list of each depth; () for anything else.

    `read_numbers` then checks that all of it is so.
    """
    if isinstance(data, Numbers):
        return _shape_of_text(data.text)
    sizes: list[int] = []
    while isinstance(data, list) and data and len(sizes) < MAX_AXES:
        sizes.append(len(data))
        data = data[0]
    return tuple(sizes)


def _shape_of_text(text: bytes) -> tuple[int, ...]:
    pieces = [text[at : at + PIECE].translate(None, _NO_STRUCTURE) for at in range(0, len(text), PIECE)]
    structure = b"".join(pieces)
    axes = min(MAX_AXES, len(structure) - len(structure.lstrip(b"[")))
    sizes: list[int] = []
    inner = 0  # brackets and commas in one list of the depth below, which begins where the first number does
    for depth in range(1, axes + 1):
        end = structure.find(b"]" * depth)
        if end < 0:
            break
        length = end + depth - (axes - depth)
        sizes.insert(0, (length - 1) // (inner + 1))
        inner = length
    return tuple(sizes)


def read_numbers(
    where: str, data: object, shape: tuple[int, ...], dtype: np.dtype[Any], *, booleans: bool = True
) -> Array:
    """Return `data` (a list, flat or nested exactly as `shape` says, or `Numbers`) as an array of `shape`.

    Strict: each number must be one that `dtype` holds. `InputError` begins with `where`. Less is looked at when a list
    is known to hold no `booleans`.
    """
    if isinstance(data, Numbers):
        return _read_text(where, data.text, shape, dtype).reshape(shape)
    if not isinstance(data, list):
        raise InputError(f"{where}: data is {kind(data)}, expected a list of numbers")
    return _convert(where, _flatten(where, data, shape), dtype, booleans=booleans).reshape(shape)


def _read_text(where: str, text: bytes, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """Return the numbers of a long list in a row, read piece by piece."""
    count = _count(text, b",") + 1
    if count != prod(shape):
        raise InputError(f"{where}: data has {count} values, its shape {list(shape)} says {prod(shape)}")
    nested = text[1:100].lstrip().startswith(b"[")
    sizes = shape if nested else (count,)
    _require_structure(where, text, sizes)
    numbers = np.empty(count, dtype)
    filled = depth = 0
    for piece in _pieces(text):
        before, depth = depth, depth + _count(piece, b"[") - _count(piece, b"]")
        values = _values(piece, before, depth, len(sizes))
        if not values:  # nothing after the last comma
            break
        numbers[filled : filled + len(values)] = _convert(where, values, dtype, booleans=b"t" in piece or b"f" in piece)
        filled += len(values)
    if filled != count:  # an empty list stood for a list of one
        raise InputError(f"{where}: data has {filled} values, its shape {list(shape)} says {count}")
    return numbers


def _values(piece: bytes, before: int, after: int, axes: int) -> list[Any]:
    """Return the numbers of a piece in a row; `before` and `after` it so many lists are open."""
    if axes > 1 and (flat := _without_brackets(piece)) is not None:
        before, piece, after, axes = 1, flat, 1, 1
    # with the brackets that are open at its ends, each piece is JSON if and only if the whole list is
    values: list[Any] = _loads(b"".join((b"[" * before, piece, b"]" * after)))
    for _ in range(axes - 1):
        values = list(chain.from_iterable(values))
    return values


def _without_brackets(piece: bytes) -> bytes | None:
    """Return a piece of nested lists as one of a flat list, three times as fast to parse; None if that cannot be seen.

    Between two commas of nested lists stand brackets that open, then a number, then brackets that close. So it is if no
    bracket opens after anything but a comma or another that opens, none closes before anything but a comma or another
    that closes, and no opening one is followed by a closing one; that a number is there and is one, the parser finds.
    Blanks are taken after commas only, where Python's json writes them.
    """
    if b"\n" in piece or b"\r" in piece or b"\t" in piece:
        return None
    characters = np.frombuffer(b",%b," % piece, np.uint8)
    opens, closes, comma, blank = (characters == each for each in _MARKS)
    wrong = opens[1:] & ~(opens | comma | blank)[:-1]
    wrong |= closes[:-1] & ~(closes | comma)[1:]
    wrong |= opens[:-1] & closes[1:]
    wrong |= blank[1:] & ~comma[:-1]
    return None if wrong.any() else piece.translate(_BLANK)


def _count(text: bytes, character: bytes) -> int:
    """Return how often a character is in a text; where it is frequent, `bytes.count` takes ten times as long."""
    return int(np.count_nonzero(np.frombuffer(text, np.uint8) == ord(character)))


def _pieces(text: bytes) -> Iterator[bytes]:
    """Cut at commas, which are left out, about every `PIECE` bytes."""
    start = 0
    while (end := text.find(b",", start + PIECE)) >= 0:
        yield text[start:end]
        start = end + 1
    yield text[start:]


def _require_structure(where: str, text: bytes, sizes: tuple[int, ...]) -> None:
    """Raise unless brackets and commas come in the order that lists of these sizes have them."""
    lists = sum(prod(sizes[:axis]) for axis in range(len(sizes)))
    fits = _count(text, b"[") == _count(text, b"]") == lists
    if fits and len(sizes) > 1:
        expected = b"[" + b"," * (sizes[-1] - 1) + b"]"
        for size in reversed(sizes[:-1]):
            expected = b"[" + b",".join([expected] * size) + b"]"
        at = 0
        for begin in range(0, len(text), PIECE):
            found = text[begin : begin + PIECE].translate(None, _NO_STRUCTURE)
            fits = fits and expected.startswith(found, at)
            at += len(found)
    if not fits:
        raise InputError(f"{where}: data is not nested as its shape {list(sizes)} says")


def _flatten(where: str, data: list[Any], shape: tuple[int, ...]) -> list[Any]:
    """Return the numbers in a row: `data` is flat already, or nested exactly as `shape` says."""
    count = prod(shape)  # Python's integers: no product overflows
    level = data
    if level and type(level[0]) is list:
        for depth, size in enumerate(shape):
            if depth and set(map(type, level)) != {list}:
                raise InputError(f"{where}: data is not nested as its shape {list(shape)} says (at depth {depth})")
            sizes = {len(data)} if depth == 0 else set(map(len, level))
            if sizes != {size}:
                raise InputError(f"{where}: data has {sorted(sizes)[:3]} items at depth {depth}, its shape says {size}")
            if depth:
                level = list(chain.from_iterable(level))
    if len(level) != count:
        raise InputError(f"{where}: data has {len(level)} values, its shape {list(shape)} says {count}")
    return level


def _convert(where: str, values: list[Any], dtype: np.dtype[Any], *, booleans: bool) -> Array:
    """Return flat numbers as an array, each a number that `dtype` holds; `InputError` begins with `where`.

    Without `booleans` among them, an `array` takes just what is allowed, and one look at each number is saved.
    """
    if not booleans and dtype.kind != "b":
        real = dtype.kind == "f"
        with contextlib.suppress(TypeError, OverflowError):  # another type, or a whole number from 2^63 up
            row: Array = np.frombuffer(array.array("d" if real else "q", values), np.float64 if real else np.int64)
            return _narrow(where, row, dtype) if real else _fit(where, row, dtype)
    allowed = _JSON_TYPES[dtype.kind]
    strange = set(map(type, values)) - allowed
    if strange:
        names = ", ".join(sorted(kind.__name__ for kind in strange))
        raise InputError(
            f"{where}: data holds {names}, expected {' or '.join(sorted(k.__name__ for k in allowed))} only"
        )
    if dtype.kind in "iu":
        return _fit(where, values, dtype)
    try:
        wide = np.array(values, np.float64)
    except OverflowError:
        raise InputError(f"{where}: data holds a number that {dtype} cannot hold") from None
    return _narrow(where, wide, dtype)


def _fit(where: str, values: Sequence[int] | Array, dtype: np.dtype[Any]) -> Array:
    """Return whole numbers as `dtype`, if it holds them."""
    low, high = int(np.iinfo(dtype).min), int(np.iinfo(dtype).max)
    found = (int(values.min()), int(values.max())) if isinstance(values, np.ndarray) else (min(values), max(values))
    if found[0] < low or found[1] > high:
        raise InputError(f"{where}: values run from {found[0]} to {found[1]}, expected {low} to {high}")
    return np.asarray(values, dtype)


def _narrow(where: str, wide: Array, dtype: np.dtype[Any]) -> Array:
    """Return float64 as `dtype`; NaN and infinity stay, a finite number that would become infinite is an error."""
    if dtype == np.float64 or dtype.kind == "b":
        return wide.astype(dtype)
    with np.errstate(over="ignore"):
        narrow = wide.astype(dtype)
    if not np.isfinite(narrow).all() and (np.isfinite(wide) & ~np.isfinite(narrow)).any():
        raise InputError(f"{where}: data holds a number that {dtype} cannot hold")
    return narrow


def write(value: object) -> bytes:
    """Return plain JSON values, and what `numbers` made, as compact JSON."""
    return orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY)


def numbers(array: Array) -> object:
    """Return an array as `write` takes it for a flat list; what is of dtype object holds UTF-8."""
    flat = np.ascontiguousarray(array).reshape(-1)
    if flat.dtype == object:
        return [one.decode() for one in flat]
    if flat.size <= _NUMBERS and (flat.dtype.kind != "f" or np.isfinite(flat).all()):
        return flat
    return orjson.Fragment(b"".join(write_numbers(flat)))


def write_numbers(flat: Array) -> Iterator[bytes]:
    """Yield a flat array as a JSON list, a part at a time; NaN and infinities as Python writes them."""
    yield b"["
    for start in range(0, flat.size, _NUMBERS):
        piece = flat[start : start + _NUMBERS]
        if piece.dtype.kind == "f" and not np.isfinite(piece).all():
            text = json.dumps(piece.tolist(), separators=(",", ":")).encode()
        else:
            text = orjson.dumps(piece, option=orjson.OPT_SERIALIZE_NUMPY)
        yield text[1:-1] if start == 0 else b"," + text[1:-1]
    yield b"]"


def kind(value: object) -> str:
    """Return what a JSON value is, in words."""
    if isinstance(value, Numbers):
        return "a list"
    names = {dict: "an object", list: "an empty list" if value == [] else "a list", str: "a string", bool: "a boolean"}
    return "nothing" if value is None else names.get(type(value), "a number")
