"""Look-up by Unicode code point inside the graph, and what code points are."""

import functools
import unicodedata
from collections.abc import Mapping
from typing import cast

import numpy as np
import torch
from torch import nn

from stages.dataset import Array

CODE_POINTS = 0x110000
_PAGE = 256

SEPARATOR, LETTER, MARK = 0, 1, 2
"""What a code point is to words: between them, part of one, or one by itself."""

# Fixed to Unicode 3.2, which Python keeps for good: another Python must not make another graph. What came later (emoji,
# mostly) are marks.
_UNICODE = unicodedata.ucd_3_2_0


class CodePointTable(nn.Module):
    """int64 code points -> int64 values; `values` has one for each code point (CODE_POINTS,).

    In two steps, as Unicode's own tables are: pages of 256 that are alike are stored once.
    """

    def __init__(self, values: Array) -> None:
        super().__init__()
        pages: dict[bytes, int] = {}
        numbers = [pages.setdefault(page.tobytes(), len(pages)) for page in values.astype(np.int64).reshape(-1, _PAGE)]
        stored = np.frombuffer(b"".join(pages), np.int64).copy()
        self.register_buffer("numbers", torch.tensor(numbers), persistent=False)
        self.register_buffer("pages", torch.from_numpy(stored), persistent=False)

    def forward(self, points: torch.Tensor) -> torch.Tensor:
        """Return values in the shape of `points`."""
        numbers, pages = cast(torch.Tensor, self.numbers), cast(torch.Tensor, self.pages)
        page = numbers[torch.div(points, _PAGE, rounding_mode="floor")]
        return pages[page * _PAGE + points % _PAGE]


def by_code_point(values: Mapping[int, int], default: int) -> Array:
    """Return int64 (CODE_POINTS,): the value of each code point, `default` where none is given."""
    dense = np.full(CODE_POINTS, default, np.int64)
    dense[list(values)] = list(values.values())
    return dense


@functools.cache
def kinds() -> Array:
    """Return SEPARATOR, LETTER or MARK by code point, int64 (CODE_POINTS,).

    Letters, digits, combining marks and the apostrophe are parts of words, but each Chinese or Japanese character is
    one by itself; blanks, control characters and U+0000 are between words.
    """
    return np.array([_kind(chr(point)) for point in range(CODE_POINTS)])


@functools.cache
def lower() -> dict[int, int]:
    """Return the lower-case code point of every capital letter that has exactly one."""
    letters = (chr(point) for point in range(CODE_POINTS) if _UNICODE.category(chr(point)) in ("Lu", "Lt"))
    return {ord(letter): ord(letter.lower()) for letter in letters if len(letter.lower()) == 1}


def _kind(character: str) -> int:
    category = _UNICODE.category(character)
    if category in ("Zs", "Zl", "Zp", "Cc", "Cf"):
        return SEPARATOR
    if character in "'’":
        return LETTER
    if category == "Lo" and _UNICODE.name(character, "").startswith(("CJK", "HIRAGANA", "KATAKANA")):
        return MARK
    return LETTER if category[0] in "LNM" else MARK


def spread(size: int) -> Array:
    """Return numbers to hash with, int64 (size,) in [1, 2**31 - 2], the same on every machine."""
    numbers = np.empty(size, np.int64)
    state = 20_000_003
    for place in range(size):
        state = state * 48_271 % (2**31 - 1)  # Park and Miller's generator
        numbers[place] = state
    return numbers
