"""MovieLens latest small: 100,004 ratings of 9,066 films by 671 users, with the times at which they were given."""

from pathlib import Path

import numpy as np

from stages.data.read.interactions import Interactions, leave_last_out
from stages.data.read.table import Table
from stages.dataset import Dataset
from stages.errors import DataError

_FILE = "movielens_latest_small_100k.csv.gz"


def movielens(root: Path, *, longest: int = 20, seed: int = 0) -> Dataset:
    """Films in the order in which users rated them, whatever the rating, from `root`/recommender.

    The last film of each user is test, the one before validation; `longest` films before it are learnt from, and
    `seed` draws the 99 others among which it is to be found (`stages.data.read.interactions`).
    """
    path = root / "recommender" / _FILE
    if not path.is_file():
        raise DataError(
            f"{path}: missing; export movielens of the R package dslabs there (movieId title year userId timestamp), "
            "or name another data root: --data-root"
        )
    table = Table(path)
    columns = {name: table.column(name, name) for name in ("movieId", "title", "year", "userId", "timestamp")}
    try:
        items, users, times = (np.array(columns[name], np.int64) for name in ("movieId", "userId", "timestamp"))
    except (ValueError, OverflowError) as error:
        raise DataError(f"{path}: damaged ({error}); fetch it again") from None
    titles = {
        int(item): f"{title} ({year})" if year.isdigit() else title
        for item, title, year in zip(columns["movieId"], columns["title"], columns["year"], strict=True)
    }
    licence = "MovieLens latest small, GroupLens: for research, not for sale (grouplens.org/datasets/movielens)"
    return leave_last_out(path, Interactions(users, items, times, titles), licence, longest=longest, seed=seed)
