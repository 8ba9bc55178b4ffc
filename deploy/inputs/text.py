"""Text: int32 (N, length) Unicode code points, padded with 0. Training encodes its texts with `encode_text` too."""

import os
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from deploy.arrays import Array
from deploy.bundle import Signature
from deploy.errors import InputError, TooLargeError
from deploy.inputs.arraylike import read_file
from deploy.inputs.kind import InputKind
from deploy.inputs.numbers import axes, from_lists

MAX_CHARACTERS = 2**17
"""Longer texts are refused."""

PADDING = 0
"""The code point that stands for no character."""

_LEAST = 16


class TextInput(InputKind):
    """Texts: a string, the bytes of a text in UTF-8, or a path to such a file; a list of strings is a batch.

    Code points (length,) are a text, and (N, length) a batch of them.
    """

    example = '"a text"'
    file = "a text in UTF-8"
    filename = "text.txt"
    media = ("text/plain",)
    texts = True

    def __init__(self, signature: Signature) -> None:
        super().__init__(signature)
        self.spec = signature.tensors[0]

    def is_batch(self, payload: object) -> bool:
        """Return whether the payload is a list of strings, or code points with the batch axis."""
        if isinstance(payload, str | bytes | bytearray | memoryview | os.PathLike):
            return False
        return _are_texts(payload) or axes(payload) == 2

    def arrays(self, payload: object) -> dict[str, Array]:
        """Return code points (N, length), filled up with padding to one of few lengths, so that texts share batches."""
        if isinstance(payload, np.ndarray) or (isinstance(payload, list | tuple) and not _are_texts(payload)):
            points = from_lists(payload, self.spec)
            return {self.spec.name: points[None] if points.ndim == 1 else points}
        texts = payload if isinstance(payload, list | tuple) else [_read(payload)]
        longest = max(map(len, texts))
        return {self.spec.name: encode_text(texts, length=padded_length(longest))}

    def check(self, arrays: Mapping[str, Array]) -> int:
        """Return the number of rows; `InputError` for padding within a text too."""
        rows = super().check(arrays)
        padding = arrays[self.spec.name] == PADDING
        within = padding[:, :-1] & ~padding[:, 1:]
        if within.any():
            row, place = (int(index[0]) for index in np.nonzero(within))
            raise InputError(
                f"input {self.spec.name!r}: row {row} has 0 at {place} and characters behind; 0 is padding, put it last"
            )
        return rows

    def from_json(self, name: str, words: object) -> object:
        """Return a JSON string, or a list of them, as the texts that they are."""
        return words


def encode_text(texts: Sequence[str], *, length: int = 0) -> Array:
    """Return the code points of texts in normal form NFC, int32 (N, length), behind them 0.

    length    at least; default: that of the longest text, and 1 if that is empty

    Raises `InputError`, with the text's number, for what is not Unicode text or holds U+0000; `TooLargeError` over
    `MAX_CHARACTERS`.
    """
    rows = [_points(number, text) for number, text in enumerate(texts)]
    found = np.full((len(rows), max(1, length, *(len(row) for row in rows), 1)), PADDING, np.int32)
    for row, points in zip(found, rows, strict=True):
        row[: len(points)] = points
    return found


def padded_length(characters: int) -> int:
    """Return a length that a text is filled up to: a multiple of 16, and over 128 one that is at most a quarter more.

    So texts of many lengths come in few shapes, which share batches. Padding changes no answer: verification holds a
    model to that.
    """
    step = max(_LEAST, 1 << max(0, characters.bit_length() - 3))
    return max(1, -(-characters // step)) * step


def _points(number: int, text: str) -> Array:
    if len(text) > MAX_CHARACTERS:
        raise TooLargeError(f"text {number}: {len(text)} characters, more than {MAX_CHARACTERS}; cut it first")
    try:
        data = unicodedata.normalize("NFC", text).encode("utf-32-le")
    except UnicodeEncodeError as error:
        raise InputError(
            f"text {number}: character {error.start} is half of a surrogate pair, expected Unicode text"
        ) from None
    if "\0" in text:
        raise InputError(f"text {number}: holds U+0000, which stands for no character; leave it out")
    return np.frombuffer(data, np.int32)


def _read(payload: object) -> str:
    what = "text"
    if isinstance(payload, os.PathLike):
        what = str(payload)
        payload = read_file(Path(payload))
    if isinstance(payload, bytes | bytearray | memoryview):
        try:
            return bytes(payload).decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise InputError(
                f"{what}: byte {error.start} is {error.object[error.start]:#04x}, which is not UTF-8; save it in UTF-8"
            ) from None
    if not isinstance(payload, str):
        raise InputError(f"got {type(payload).__name__}, expected a text, bytes in UTF-8, a path or a list of texts")
    return payload


def _are_texts(payload: object) -> bool:
    return isinstance(payload, list | tuple) and bool(payload) and all(isinstance(text, str) for text in payload)
