"""Text: int32 (N, length) Unicode code points, looked up inside the graph: characters, pairs of them, or words."""

from collections.abc import Iterator
from typing import Literal, cast

import numpy as np
import torch
from torch import nn

from deploy.bundle import Signature, TensorSpec
from deploy.errors import UsageError
from deploy.inputs.text import encode_text
from stages.dataset import Array, DataInfo
from stages.inputs.codepoints import CODE_POINTS, LETTER, MARK, CodePointTable, by_code_point, kinds, lower, spread

PADDING, UNKNOWN, FIRST = 0, 1, 2
"""Token ids: of no token, of one that is not known, and of the first that is."""

_CASES = {
    "one character": "a",
    "blanks": " \t\n  ",
    "unknown characters": "\ue000" * 20,
    "one long word": "x" * 300,
    "many short words": "a " * 200,
    "capitals and marks": "WHAT?! 'tis... (ÄÖÜ) 100 %",
    "several scripts": "поэзия 诗 シ ποίηση कविता \U0001f600",
}
_PADDINGS = (1, 30)

_HASHES = 2**15
_PRIME = 2**31 - 1
_LETTERS = 64  # of a word: further ones are hashed as the first ones are


def text(
    info: DataInfo,
    *,
    unit: Literal["character", "pair", "word"] = "character",
    alphabet: str = "",
    size: int = 0,
    lowercase: bool = True,
) -> nn.Module:
    """Look up the characters of texts, or their words; `lowercase` takes capital letters for small ones before that.

    unit        a token for each character, for each character and the next (a word in Chinese, often), or for each word
    alphabet    the characters that are known; default: those of the training texts
    size        characters: how many of the alphabet's first are known (0: all); pairs and words: how many different
                ones can be told apart (0: 32,768), by a hash of their characters, so that no list of them is needed
    """
    if size < 0:
        raise UsageError(f"input text: size is {size}, expected 0 (the default) or more; set input.size")
    if unit != "character":
        if alphabet:
            raise UsageError(
                f"input text: {unit}s need no alphabet; leave input.alphabet out, or set input.unit=character"
            )
        return {"pair": Pairs, "word": Words}[unit](size or _HASHES, lowercase)
    known = alphabet or info.alphabet
    if not known:
        raise UsageError(f"input text: data {info.name!r} names no characters; set input.alphabet, or input.unit=word")
    folded = lower() if lowercase else {}
    points = list(dict.fromkeys(folded.get(ord(character), ord(character)) for character in known if character != "\0"))
    return Characters(points[: size or None], lowercase)


class _Text(nn.Module):
    """int32 code points (N, L) -> int64 token ids (N, L), tokens first and then 0; `vocabulary` ids in all.

    Outside of exported graphs the ids are as long as the longest row's, because networks must not heed the padding.
    """

    continuous = False
    own: dict[str, int] = {}  # noqa: RUF012

    def __init__(self, vocabulary: int, lowercase: bool) -> None:
        super().__init__()
        points = TensorSpec("text", "int32", ("batch", "length"), (0.0, CODE_POINTS - 1.0), "code point")
        self.signature = Signature("text", (points,))
        self.preprocessed_shape = ("length", vocabulary)
        steps = {capital: small - capital for capital, small in lower().items()}
        self.to_lower = CodePointTable(by_code_point(steps, 0)) if lowercase else None

    def forward(self, text_NL: torch.Tensor) -> torch.Tensor:  # noqa: N803
        """Return token ids."""
        points = text_NL.long()
        tokens = self.tokens(points if self.to_lower is None else points + self.to_lower(points))
        return tokens if torch.compiler.is_compiling() else tokens[:, : _longest(tokens)]

    def tokens(self, points: torch.Tensor) -> torch.Tensor:
        """Return token ids (N, L) of code points."""
        raise NotImplementedError

    def cases(self, like: Array) -> Iterator[tuple[str, Array]]:
        """Yield texts at the edges of what a text may be."""
        yield "no text", encode_text([""], length=like.shape[1])
        for words, sample in _CASES.items():
            yield words, encode_text([sample])
        yield "texts one after the other", np.concatenate([row[row != PADDING] for row in like])[None]

    def restated(self, like: Array) -> Iterator[tuple[str, Array]]:
        """Yield the same texts with more padding."""
        for more in _PADDINGS:
            yield f"{more} more padding", np.pad(like, ((0, 0), (0, more)))


class Characters(_Text):
    """A token a character: 2 and on in the order of the alphabet, 1 for all others, 0 for padding."""

    def __init__(self, alphabet: list[int], lowercase: bool) -> None:
        super().__init__(FIRST + len(alphabet), lowercase)
        known = {point: FIRST + place for place, point in enumerate(alphabet)}
        self.ids = CodePointTable(by_code_point(known | {0: PADDING}, UNKNOWN))

    def tokens(self, points: torch.Tensor) -> torch.Tensor:
        """Return token ids (N, L) of code points."""
        return cast(torch.Tensor, self.ids(points))


class Pairs(_Text):
    """A token a character: 2 + hash of it and the next, U+0000 at the end; 0 for padding.

    hash = (character * base[0] + next * base[1]) mod 2^31 - 1, mod size.
    """

    def __init__(self, size: int, lowercase: bool) -> None:
        super().__init__(FIRST + size, lowercase)
        self.size = size
        self.register_buffer("factors", torch.from_numpy(spread(2)), persistent=False)

    def tokens(self, points: torch.Tensor) -> torch.Tensor:
        """Return token ids (N, L) of code points."""
        this, following = cast(torch.Tensor, self.factors)
        hashed = (points * this + _after(points) * following) % _PRIME % self.size
        return torch.where(points == 0, PADDING, hashed + FIRST)


class Words(_Text):
    """A token a word or punctuation mark: 2 + hash, where hash = sum of letter * base^place mod 2^31 - 1, mod size.

    Words are runs of letters, digits and apostrophes; each other character that is no blank is one by itself, as each
    Chinese character is (`stages.inputs.codepoints`).
    """

    def __init__(self, size: int, lowercase: bool) -> None:
        super().__init__(FIRST + size, lowercase)
        self.size = size
        self.kinds = CodePointTable(kinds())
        self.register_buffer("factors", torch.from_numpy(spread(_LETTERS)), persistent=False)

    def tokens(self, points: torch.Tensor) -> torch.Tensor:
        """Return token ids (N, L) of code points: the tokens of a row stand at its begin."""
        found = self.kinds(points)
        letter, mark = found == LETTER, found == MARK
        begins = mark | (letter & ~_before(letter))
        inside = letter | mark
        ends = inside & ~_after(inside & ~begins)
        number = begins.long().cumsum(1)  # of the word, from 1; between words, of the one before
        place = inside.long().cumsum(1) - 1
        rows = torch.arange(len(points), device=points.device)[:, None]
        first = _by_word(place, number, begins)[rows, number]
        factors = cast(torch.Tensor, self.factors)[(place - first).clamp(min=0) % _LETTERS]
        total = torch.where(inside, points * factors % _PRIME, 0).cumsum(1)
        until = _by_word(total, number, ends)
        hashed = (until - _before(until)) % _PRIME % self.size
        numbers = torch.arange(until.shape[1], device=points.device)
        return torch.where(numbers <= number[:, -1:], hashed + FIRST, PADDING)[:, 1:]


def _by_word(values: torch.Tensor, number: torch.Tensor, chosen: torch.Tensor) -> torch.Tensor:
    """Return the values at the chosen places, one for each word, by word (N, L + 1); of word 0, which is none, 0."""
    wide = torch.zeros_like(torch.cat([values, values[:, :1]], dim=1))
    return wide.scatter(1, torch.where(chosen, number, 0), torch.where(chosen, values, 0))


def _before(values: torch.Tensor) -> torch.Tensor:
    """Return what stood one place before; nothing at the begin."""
    return torch.cat([torch.zeros_like(values[:, :1]), values[:, :-1]], dim=1)


def _after(values: torch.Tensor) -> torch.Tensor:
    """Return what stands one place behind; nothing at the end."""
    return torch.cat([values[:, 1:], torch.zeros_like(values[:, :1])], dim=1)


def _longest(tokens: torch.Tensor) -> int:
    used = (tokens != PADDING).any(0).nonzero()
    return int(used[-1]) + 1 if len(used) else 1
