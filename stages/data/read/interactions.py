"""Who took what, and when: histories to learn from, and what each user took last to test on."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stages.dataset import Array, Dataset, Split
from stages.errors import DataError
from stages.split import dataset

NEGATIVES = 99
"""Items that a user never took, drawn by chance, among which the one taken is to be found (He et al. 2017)."""

LAST = 2**31 - 1
"""The largest id: they are int32, and 0 stands for none."""


@dataclass(frozen=True)
class Interactions:
    """One row for each time that a user took an item; ids are 1 to `LAST`.

    users, items, times    (N,) int64; times in any unit
    titles                 of the items, by id
    """

    users: Array
    items: Array
    times: Array
    titles: Mapping[int, str]


def leave_last_out(path: Path, found: Interactions, licence: str, *, longest: int, seed: int) -> Dataset:
    """Return each user's last item as test, the one before as validation, and all others to train on.

    A sample is int32 (1 + items,): the user's id, then the ids of the items taken before, oldest first, 0 in front
    where there are fewer. Training rows have the last `longest` of them, the others all, so that nothing taken before
    is recommended. Targets are places among `labels`, which are sorted by id: (N,) to train on; (N, 1 + negatives) to
    validate and test on, the right one first, then the same ones always of those that the user never took.
    Of an item taken again the first time counts; at equal times the order of the file does. Users with fewer
    than three items are only trained on. `info.ids` has `users` and `items`.
    """
    if longest < 1:
        raise DataError(f"data.longest is {longest}, expected 1 or more items to learn from")
    _require_ids(path, found)
    users, items, places = _sorted(found)
    sequences = np.split(places, np.flatnonzero(np.diff(users)) + 1)
    owners = users[np.flatnonzero(np.diff(users, prepend=0))]
    tested = [number for number, sequence in enumerate(sequences) if len(sequence) >= 3]
    if not tested:
        raise DataError(f"{path}: no user has three items or more, one each to train, validate and test; add some")
    drawn = _negatives(path, [sequences[number] for number in tested], len(items), seed)
    held = {
        part: _held_out(owners[tested], [sequences[number] for number in tested], items, drawn, back)
        for part, back in (("validation", 2), ("test", 1))
    }
    cut = {number: sequences[number][:-2] for number in tested}
    known = [cut.get(number, sequence) for number, sequence in enumerate(sequences)]
    parts = (_training(owners, known, items, longest), held["validation"], held["test"])
    labels = tuple(found.titles.get(item, str(item)) for item in items.tolist())
    made = dataset(path.name.partition(".")[0], ("ids",), labels, licence, parts)
    ids = {"users": tuple(owners.tolist()), "items": tuple(items.tolist())}
    return dataclasses.replace(made, info=dataclasses.replace(made.info, ids=ids))


def _require_ids(path: Path, found: Interactions) -> None:
    for what, ids in (("user", found.users), ("item", found.items)):
        if len(ids) and not 1 <= ids.min() <= ids.max() <= LAST:
            wrong = int(ids.min() if ids.min() < 1 else ids.max())
            raise DataError(
                f"{path}: {what} {wrong}: expected ids from 1 to {LAST} (0 stands for none); number them so"
            )


def _sorted(found: Interactions) -> tuple[Array, Array, Array]:
    """Return users by row, all item ids, and the items' places among these by row; by user, then time."""
    order = np.lexsort((np.arange(len(found.users)), found.times, found.users))
    users, items = found.users[order], found.items[order]
    first = np.sort(np.unique(np.stack([users, items], axis=1), axis=0, return_index=True)[1])
    # What is only in the titles can be asked for too, and is never recommended.
    every = np.union1d(items, np.fromiter(found.titles, np.int64, len(found.titles)))
    return users[first], every, np.searchsorted(every, items[first])


def _negatives(path: Path, sequences: list[Array], items: int, seed: int) -> Array:
    """Return (users, negatives) places of items that each user never took."""
    count = min(NEGATIVES, items - max(map(len, sequences)))
    if count < 1:
        raise DataError(f"{path}: a user took all {items} items, so there is none to recommend; add items")
    generator = np.random.default_rng(seed)
    untaken = (np.setdiff1d(np.arange(items), sequence) for sequence in sequences)
    return np.stack([generator.choice(others, count, replace=False) for others in untaken])


def _held_out(users: Array, sequences: list[Array], items: Array, negatives: Array, back: int) -> Split:
    """Return a row for each user: what came before the item that is `back` from the end, and that item."""
    longest = max(map(len, sequences)) - back
    rows = np.zeros((len(users), 1 + longest), np.int32)
    rows[:, 0] = users
    for row, sequence in zip(rows, sequences, strict=True):
        before = sequence[:-back]
        row[len(row) - len(before) :] = items[before]
    right = np.array([sequence[-back] for sequence in sequences])
    return Split(rows, np.column_stack([right, negatives]))


def _training(users: Array, sequences: list[Array], items: Array, longest: int) -> Split:
    """Return a row for each item of each sequence, with up to `longest` items before it."""
    padded = [np.concatenate([np.zeros(longest, np.int32), items[sequence]]) for sequence in sequences]
    windows = [np.lib.stride_tricks.sliding_window_view(row[:-1], longest) for row in padded if len(row) > longest]
    counts = [len(sequence) for sequence in sequences]
    histories = np.concatenate([np.repeat(users, counts)[:, None], np.concatenate(windows)], axis=1)
    return Split(histories.astype(np.int32), np.concatenate(sequences))
