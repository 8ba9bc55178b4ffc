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
    """int64 code points -> int64 values, `default` where none is given.

    In two steps, as Unicode's own tables are: pages of 256 that are alike are stored once.
    """

    def __init__(self, values: Mapping[int, int], default: int = 0) -> None:
        super().__init__()
        dense = np.full(CODE_POINTS, default, np.int64)
        dense[list(values)] = list(values.values())
        pages, numbers = np.unique(dense.reshape(-1, _PAGE), axis=0, return_inverse=True)
        self.register_buffer("numbers", torch.from_numpy(numbers.reshape(-1)), persistent=False)
        self.register_buffer("pages", torch.from_numpy(pages.reshape(-1)), persistent=False)

    def forward(self, points: torch.Tensor) -> torch.Tensor:
        """Return values in the shape of `points`."""
        numbers, pages = cast(torch.Tensor, self.numbers), cast(torch.Tensor, self.pages)
        page = numbers[torch.div(points, _PAGE, rounding_mode="floor")]
        return pages[page * _PAGE + points % _PAGE]


@functools.cache
def kinds() -> dict[int, int]:
    """Return SEPARATOR, LETTER or MARK by code point.

    Letters, digits, combining marks and the apostrophe are parts of words, but each Chinese or Japanese character is
    one by itself; blanks, control characters and U+0000 are between words.
    """
    return {point: _kind(chr(point)) for point in range(CODE_POINTS)}


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
