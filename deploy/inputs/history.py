"""Histories: who asks, and what was taken last, as ids; int32 (N, 1 + length), the user first, 0 for none."""

import json
import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from deploy.arrays import Array
from deploy.bundle import Signature
from deploy.errors import InputError, TooLargeError
from deploy.inputs.arraylike import read_file
from deploy.inputs.kind import InputKind
from deploy.inputs.numbers import axes, from_lists, in_dtype
from deploy.inputs.text import padded_length
from deploy.schema import closest

MAX_RECENT = 2**16
"""Longer histories are refused."""

_LAST = 2**31 - 1


class HistoryInput(InputKind):
    """One user: {"user": 7, "recent": [318, 296]}, oldest first; both may be missing. A list of such is a batch.

    Also that object as JSON (a string, bytes, or a path to a file), and numbers as the graph takes them: the user's id,
    0 for nobody, then the items' ids, with 0 in front of them where others in the batch have more.
    """

    example = '{"user": 7, "recent": [318, 296]}'
    file = 'a JSON file like {"user": 7, "recent": [318, 296]}'
    filename = "history.json"
    objects = ("user", "recent")

    def __init__(self, signature: Signature) -> None:
        super().__init__(signature)
        self.spec = signature.tensors[0]

    def is_batch(self, payload: object) -> bool:
        """Return whether the payload is a list of objects, or numbers with the batch axis."""
        if isinstance(payload, list | tuple) and any(isinstance(one, Mapping) for one in payload):
            return True
        return isinstance(payload, np.ndarray | list | tuple) and axes(payload) == 2

    def arrays(self, payload: object) -> dict[str, Array]:
        """Return ids (N, 1 + length), filled up to one of few lengths, so that histories share batches."""
        if isinstance(payload, str | bytes | bytearray | memoryview | os.PathLike):
            payload = _read(payload)
        if isinstance(payload, Mapping):
            payload = [payload]
        if isinstance(payload, list | tuple) and any(isinstance(one, Mapping) for one in payload):
            return {self.spec.name: _encoded([_history(number, one) for number, one in enumerate(payload)])}
        if not isinstance(payload, np.ndarray | list | tuple):
            raise InputError(f"got {type(payload).__name__}, expected an object like {self.example}, or a list of them")
        ids = in_dtype(from_lists(payload, self.spec), self.spec)
        return {self.spec.name: ids[None] if ids.ndim == 1 else ids}

    def check(self, arrays: Mapping[str, Array]) -> int:
        """Return the number of rows; `InputError` for padding behind an item too."""
        rows = super().check(arrays)
        none = arrays[self.spec.name][:, 1:] == 0
        behind = none[:, 1:] & ~none[:, :-1]
        if behind.any():
            row, place = (int(index[0]) for index in np.nonzero(behind))
            raise InputError(
                f"input {self.spec.name!r}: row {row} has 0 at {place + 2} and an item before it; 0 is padding, put it "
                "right behind the user"
            )
        return rows


def _history(number: int, payload: object) -> list[int]:
    """Return the user's id and those of the items of one object."""
    where = f"history {number}"
    if not isinstance(payload, Mapping):
        raise InputError(f"{where}: got {type(payload).__name__}, expected an object like {HistoryInput.example}")
    for key in payload:
        if key not in HistoryInput.objects:
            raise InputError(f"{where}: has {str(key)[:40]!r}; {closest(str(key)[:40], HistoryInput.objects)}")
    recent = payload.get("recent", [])
    if isinstance(recent, np.ndarray):
        recent = recent.tolist()
    if not isinstance(recent, list | tuple):
        raise InputError(f"{where}: recent is {type(recent).__name__}, expected a list of ids, oldest first")
    if len(recent) > MAX_RECENT:
        raise TooLargeError(f"{where}: {len(recent)} items, more than {MAX_RECENT}; give the last ones")
    return [_id(where, "user", payload.get("user", 0), 0), *(_id(where, "recent", item, 1) for item in recent)]


def _id(where: str, name: str, value: object, least: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or not least <= value <= _LAST:
        raise InputError(f"{where}: {name} has {str(value)[:20]!r}, expected whole numbers from {least} to {_LAST}")
    return int(value)


def _encoded(histories: list[list[int]]) -> Array:
    """Return int32 (N, 1 + length): the user, 0 where there are fewer items than in others, the items."""
    rows = np.zeros((len(histories), 1 + padded_length(max(map(len, histories)) - 1)), np.int32)
    for row, (user, *items) in zip(rows, histories, strict=True):
        row[0] = user
        row[len(row) - len(items) :] = items
    return rows


def _read(payload: str | bytes | bytearray | memoryview | os.PathLike[str]) -> object:
    """Return the one object that a JSON text is."""
    what = "JSON"
    if isinstance(payload, os.PathLike):
        what = str(payload)
        payload = read_file(Path(payload))
    try:
        value = json.loads(bytes(payload) if isinstance(payload, memoryview) else payload)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{what}: not {HistoryInput.file} ({' '.join(str(error).split())[:80]})") from None
    if not isinstance(value, Mapping):
        raise InputError(f"{what}: holds {type(value).__name__}, expected one object like {HistoryInput.example}")
    return value
