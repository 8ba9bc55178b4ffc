"""Who took what, and when, in a CSV file of one's own: a row each time."""

from pathlib import Path

import numpy as np

from stages.data.read.interactions import Interactions, leave_last_out
from stages.data.read.table import Table
from stages.dataset import Array, Dataset
from stages.errors import DataError


def csv_interactions(
    root: Path,
    *,
    path: str,
    user: str = "user",
    item: str = "item",
    time: str = "time",
    title: str = "",
    delimiter: str = ",",
    longest: int = 20,
    seed: int = 0,
) -> Dataset:
    """Rows of `path` (UTF-8, header line) with whole numbers for user, item and time; `root` is not used.

    `title` is the column that names an item in words; default: by its number. Each user's last item is test, the one
    before validation; `longest` items before it are learnt from, and `seed` draws the 99 others among which it is to
    be found (`stages.data.read.interactions`).
    """
    table = Table(Path(path), delimiter)
    users, items = _numbers(table, user, "user"), _numbers(table, item, "item")
    names = table.column(title, "title") if title else table.column(item, "item")
    found = Interactions(users, items, _numbers(table, time, "time"), dict(zip(items.tolist(), names, strict=True)))
    return leave_last_out(Path(path), found, "not stated (a file of your own)", longest=longest, seed=seed)


def _numbers(table: Table, name: str, option: str) -> Array:
    values = table.column(name, option)
    for (line, _), value in zip(table.rows, values, strict=True):
        if not (value.strip().isdecimal() and value.isascii() and len(value) <= 18):
            raise DataError(
                f"{table.path}, line {line}: column {name!r} holds {value[:40]!r}, expected a whole number from 0; "
                "number users and items, and give times in seconds"
            )
    return np.array([int(value) for value in values], np.int64)
