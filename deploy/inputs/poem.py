"""Wishes for a poem: a title, or an object that says more. Of single characters, the model is asked many times."""

import os
import secrets
import unicodedata
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np

from deploy.arrays import Array
from deploy.bundle import Signature
from deploy.errors import InputError, TooLargeError
from deploy.generate import MAX_TITLE, Letters, Wish, quatrain
from deploy.inputs.arraylike import read_file
from deploy.inputs.kind import InputKind
from deploy.quatrain import FORMS, STOPS, is_verse
from deploy.schema import closest
from deploy.turns import Talk, together

TEMPERATURE, TOP_K = 0.6, 0
"""Of wishes that name none."""

_LARGEST = 2**53 - 1  # whole number that all readers of JSON hold exactly
_HOTTEST = 100.0


class PoemInput(InputKind):
    """Wishes: a title (a string, bytes in UTF-8, a path to such a file) or a mapping; a list of them is a batch.

    Keys of a mapping, all of them optional: `title`, `first_line`, `form` (5 or 7 letters in a line), `temperature`,
    `top_k`, `seed`. `deploy.generate.Wish` says what they mean; without a seed every poem is another one.
    """

    example = '{"title": "春夜", "form": 5}'
    file = "a title in UTF-8"
    filename = "title.txt"
    media = ("text/plain",)
    texts = True
    talks = True
    objects = ("title", "first_line", "form", "temperature", "top_k", "seed")

    def __init__(self, signature: Signature) -> None:
        super().__init__(signature)
        self._letters = Letters(signature.options["characters"])
        state = signature.tensors[1]
        self._state = np.zeros((1, *cast("tuple[int, ...]", state.shape[1:])), state.dtype)

    def is_batch(self, payload: object) -> bool:
        """Return whether the payload is a list of wishes."""
        return isinstance(payload, list | tuple)

    def arrays(self, payload: object) -> dict[str, Array]:
        """Return the input tensors of the first run; `converse` makes all of them."""
        return next(self.converse(payload))

    def converse(self, payload: object) -> Talk:
        """Return the talk that makes the poem of a wish, or those of a list of wishes."""
        wishes = [wish(one) for one in payload] if isinstance(payload, list | tuple) else [wish(payload)]
        if not wishes:
            raise InputError("the list holds no wish; give titles, or objects with a title")
        return together([quatrain(one, self._letters, self._state) for one in wishes])

    def from_json(self, name: str, words: object) -> object:
        """Return a JSON string, or a list of them, as the titles that they are."""
        return words


def wish(payload: object) -> Wish:
    """Return what a payload wishes for; `InputError` says which part of it cannot be, `TooLargeError` a long title."""
    if not isinstance(payload, Mapping):
        payload = {"title": _text(payload)}
    for key in payload:
        if key not in PoemInput.objects:
            raise InputError(f"wish: has {str(key)[:40]!r}; {closest(str(key)[:40], PoemInput.objects)}")
    first_line = _first_line(payload)
    return Wish(
        title=_title(payload.get("title", "")),
        first_line=first_line,
        form=_form(payload.get("form"), first_line),
        temperature=float(_number(payload, "temperature", TEMPERATURE, 0.0, _HOTTEST)),
        top_k=int(_number(payload, "top_k", TOP_K, 0, _LARGEST)),
        seed=int(_number(payload, "seed", secrets.randbelow(_LARGEST), 0, _LARGEST)),
    )


def _text(payload: object) -> str:
    if isinstance(payload, os.PathLike):
        payload = read_file(Path(payload))
    if isinstance(payload, bytes | bytearray | memoryview):
        try:
            return bytes(payload).decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise InputError(f"title: byte {error.start} is not UTF-8; send it in UTF-8") from None
    if not isinstance(payload, str):
        raise InputError(
            f"got {type(payload).__name__}, expected a title, or an object with any of {', '.join(PoemInput.objects)}"
        )
    return payload


def _string(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise InputError(f"{name}: got {type(value).__name__}, expected a string")
    for character in value:
        if unicodedata.category(character) == "Cs":
            raise InputError(f"{name}: holds half of a surrogate pair, expected Unicode text")
    return unicodedata.normalize("NFC", value)


def _title(value: object) -> str:
    """Return a title as training has them: blanks and line ends are one blank each."""
    title = " ".join(_string("title", value).split())
    if len(title) > MAX_TITLE:
        raise TooLargeError(f"title: {len(title)} characters, more than {MAX_TITLE}; give a shorter one")
    for character in title:
        if unicodedata.category(character) == "Cc":
            raise InputError(f"title: holds the control character U+{ord(character):04X}; leave it out")
    return title


def _first_line(payload: Mapping[Any, Any]) -> str:
    line = _string("first_line", payload.get("first_line", "")).strip().rstrip(STOPS)
    if line and (len(line) not in FORMS or not is_verse(line)):
        raise InputError(f"first_line: is {line[:20]!r}, expected 5 or 7 Chinese characters without marks between them")
    return line


def _form(value: object, first_line: str) -> int:
    if value is None:
        return len(first_line) or FORMS[0]
    if isinstance(value, bool) or value not in FORMS:
        raise InputError(f"form: is {str(value)[:20]!r}, expected 5 or 7, the number of characters in a line")
    if first_line and len(first_line) != value:
        raise InputError(f"form: is {value}, and first_line has {len(first_line)} characters; leave one of them out")
    return int(value)


def _number(payload: Mapping[Any, Any], name: str, default: float, least: float, most: float) -> float:
    """Return a number of a wish; a whole one where the default is."""
    value = payload.get(name, default)
    kinds = (int,) if isinstance(default, int) else (int, float)
    if isinstance(value, bool) or not isinstance(value, kinds) or not least <= value <= most:
        wanted = "a whole number" if isinstance(default, int) else "a number"
        raise InputError(f"{name}: is {str(value)[:20]!r}, expected {wanted} from {least} to {most}")
    return value
